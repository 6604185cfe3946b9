//! A certificate and its key, from two files.
//!
//! Owns the faults of a pair, and names the faulty file. `choice` decides which pair a client is shown, and `renewal`
//! follows files that change.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use super::certificate::{Certificate, Name};
use crate::stamp::Stamp;

/// The longest file of a pair. A chain has some 5 KiB, a key 2.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The files of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFiles {
    /// The PEM file of the certificate, and after it its issuers' certificates.
    pub certificate: PathBuf,
    /// The PEM file of the certificate's key.
    pub key: PathBuf,
}

impl PairFiles {
    /// The present stamps of both files.
    pub(super) fn stamps(&self) -> [Stamp; 2] {
        [&self.certificate, &self.key].map(|file| Stamp::of(file))
    }
}

/// A certificate, its issuers' certificates, and its key.
#[derive(Debug, Clone)]
pub struct Pair {
    files: PairFiles,
    /// The stamps of the files just before they were read.
    stamps: [Stamp; 2],
    names: Vec<Name>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    certified: Arc<CertifiedKey>,
}

/// A file of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The certificate's.
    Certificate,
    /// The key's.
    Key,
}

/// The reason why a pair cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the {} in {} cannot be used: {fault}", .part.as_str(), .file.display())]
pub struct PairError {
    part: Part,
    file: PathBuf,
    fault: Fault,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it has more than 1MiB")]
    TooLong,
    #[error("it is not PEM: {0}")]
    NotPem(&'static str),
    #[error("it has no certificate")]
    NoCertificate,
    #[error("it has a key and no certificate")]
    KeyInstead,
    #[error("it is no certificate")]
    NotACertificate,
    #[error("it is none that clients take: {0}")]
    Unacceptable(rustls::Error),
    #[error("it names no host")]
    NoNames,
    #[error("it has no key")]
    NoKey,
    #[error("it has a certificate and no key")]
    CertificateInstead,
    #[error("it is encrypted")]
    Encrypted,
    #[error("it is none of a kind that this host can use")]
    NoSuchKey,
    #[error("it is another certificate's")]
    OtherKey,
}

impl Part {
    fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
        }
    }
}

impl PairError {
    /// The file that is at fault.
    pub fn part(&self) -> Part {
        self.part
    }

    /// The remedy.
    pub fn help(&self) -> &'static str {
        match (&self.fault, self.part) {
            (Fault::Unreadable(_) | Fault::TooLong, _) => {
                "the path is relative to the site file's folder, and the user that runs the host must be able to read it"
            }
            (Fault::KeyInstead | Fault::CertificateInstead, _) => {
                "`certificate` and `key` may have been taken for one another"
            }
            (Fault::NotPem(_) | Fault::NoCertificate | Fault::NotACertificate, Part::Certificate) => {
                "write the path of a PEM file that begins with `-----BEGIN CERTIFICATE-----`"
            }
            (Fault::Unacceptable(_), _) => {
                "it must be of version 3, and have no critical extension that is not known"
            }
            (Fault::NoNames, _) => {
                "names are taken from a certificate's subject alternative names; its common name is none of them"
            }
            (Fault::Encrypted, _) => {
                "nobody is there to type a passphrase: take it off with `openssl pkey`, and let only the host's user read the file"
            }
            (Fault::NoSuchKey, _) => {
                "use an ECDSA key of P-256 or P-384, an Ed25519 key, or an RSA key of 2048 bits or more"
            }
            (Fault::OtherKey, _) => {
                "the host's own certificate comes first in its file, and those above it behind it"
            }
            _ => "write the path of a PEM file that begins with `-----BEGIN PRIVATE KEY-----`",
        }
    }
}

impl Pair {
    /// Reads a pair from its files.
    pub fn read(files: PairFiles) -> Result<Self, PairError> {
        let stamps = files.stamps();
        let at_certificate =
            |fault| PairError { part: Part::Certificate, file: files.certificate.clone(), fault };
        let at_key = |fault| PairError { part: Part::Key, file: files.key.clone(), fault };
        let chain = read_bounded(&files.certificate).and_then(|pem| chain(&pem)).map_err(at_certificate)?;
        let own = chain.first().ok_or_else(|| at_certificate(Fault::NoCertificate))?;
        let Certificate { names, not_before, not_after } =
            Certificate::read(own).map_err(|_| at_certificate(Fault::NotACertificate))?;
        if names.is_empty() {
            return Err(at_certificate(Fault::NoNames));
        }
        let key = read_bounded(&files.key).and_then(|pem| key(&pem)).map_err(at_key)?;
        let certified = match CertifiedKey::from_der(chain, key, &provider()) {
            Ok(certified) => Arc::new(certified),
            Err(rustls::Error::InconsistentKeys(_)) => return Err(at_key(Fault::OtherKey)),
            Err(error @ rustls::Error::InvalidCertificate(_)) => {
                return Err(at_certificate(Fault::Unacceptable(error)));
            }
            Err(_) => return Err(at_key(Fault::NoSuchKey)),
        };
        Ok(Self { stamps, names, not_before, not_after, certified, files })
    }

    /// A warning if the certificate is not valid yet, or no longer, which is probably not intended.
    pub fn doubt(&self) -> Option<String> {
        let now = OffsetDateTime::now_utc();
        let file = self.files.certificate.display();
        if now > self.not_after {
            Some(format!(
                "the certificate in {file} is valid no longer: it ended on {}",
                self.not_after.date()
            ))
        } else if now < self.not_before {
            Some(format!(
                "the certificate in {file} is not valid yet: it begins on {}",
                self.not_before.date()
            ))
        } else {
            None
        }
    }

    /// The files of the pair.
    pub(super) fn files(&self) -> &PairFiles {
        &self.files
    }

    pub(super) fn stamps(&self) -> &[Stamp; 2] {
        &self.stamps
    }

    /// The certificate's names, at least one.
    pub(super) fn names(&self) -> &[Name] {
        &self.names
    }

    /// The first of the certificate's names.
    pub(super) fn first_name(&self) -> String {
        self.names.first().map(Name::to_string).unwrap_or_default()
    }

    /// The last moment at which the certificate is valid.
    pub(super) fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    pub(super) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// True if both are the same certificate, whichever files they were read from.
    pub(super) fn is_the_same_as(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }
}

/// The cryptography: AWS-LC, as for requests to other servers.
pub(super) fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

fn read_bounded(file: &Path) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_FILE_BYTES.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        return Err(Fault::TooLong);
    }
    Ok(bytes)
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(not_pem)?;
    match chain.is_empty() {
        true if PrivateKeyDer::from_pem_slice(pem).is_ok() => Err(Fault::KeyInstead),
        true => Err(Fault::NoCertificate),
        false => Ok(chain),
    }
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            if memchr::memmem::find(pem, b"-----BEGIN ENCRYPTED PRIVATE KEY-----").is_some() {
                Fault::Encrypted
            } else if matches!(CertificateDer::pem_slice_iter(pem).next(), Some(Ok(_))) {
                Fault::CertificateInstead
            } else {
                Fault::NoKey
            }
        }
        error => not_pem(error),
    })
}

/// A fault in words of this host: the crate's errors print the section, byte by byte.
fn not_pem(error: pem::Error) -> Fault {
    Fault::NotPem(match error {
        pem::Error::MissingSectionEnd { .. } => "a section of it does not end",
        pem::Error::IllegalSectionStart { .. } => "a section of it does not begin as it should",
        pem::Error::Base64Decode(_) => "a section of it is not base64",
        pem::Error::SectionTooLarge => "a section of it is too long",
        _ => "it cannot be read",
    })
}
