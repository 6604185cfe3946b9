//! The choice of the certificate that a client is shown.
//!
//! It is one with the name that the client asks for; else one with a wildcard for that name, whose `*` is one label
//! (RFC 9525 §6.3); else, and without a name, the first of all: a client that wanted another certificate reports that
//! itself, which tells its user more than a refused connection. Of several with one name, it is the first whose key
//! the client can check.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SignatureScheme};

use super::certificate::Name;
use super::pair::Pair;

/// The certificates in use. Connections that have begun keep theirs.
#[derive(Debug)]
pub(super) struct CertificateChoice(ArcSwap<Table>);

#[derive(Debug, Default)]
struct Table {
    first: Option<Arc<CertifiedKey>>,
    exact: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    below: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
}

impl CertificateChoice {
    pub(super) fn new<'a>(pairs: impl Iterator<Item = &'a Pair>) -> Self {
        Self(ArcSwap::from_pointee(Table::new(pairs)))
    }

    /// Puts these pairs into use, in this order, from the next handshake on.
    pub(super) fn set<'a>(&self, pairs: impl Iterator<Item = &'a Pair>) {
        self.0.store(Arc::new(Table::new(pairs)));
    }
}

/// The certificates of a host, for a server of it that speaks TLS too. Clones are the same certificates.
#[derive(Debug, Clone)]
pub struct Certificates {
    config: Arc<ServerConfig>,
    choice: Arc<CertificateChoice>,
}

impl Certificates {
    pub(super) fn new(config: Arc<ServerConfig>, choice: Arc<CertificateChoice>) -> Self {
        Self { config, choice }
    }

    /// The settings of TLS, by which these certificates are shown.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// True if a certificate is for this host name.
    pub fn have_name(&self, name: &str) -> bool {
        self.choice.0.load().named(name).is_some()
    }
}

impl ResolvesServerCert for CertificateChoice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().find(hello.server_name(), hello.signature_schemes())
    }
}

impl Table {
    fn new<'a>(pairs: impl Iterator<Item = &'a Pair>) -> Self {
        let mut table = Self::default();
        for pair in pairs {
            table.first.get_or_insert_with(|| pair.certified().clone());
            for name in pair.names() {
                let (of_names, name) = match name {
                    Name::Exact(name) => (&mut table.exact, name),
                    Name::Below(parent) => (&mut table.below, parent),
                    Name::Address(_) => continue,
                };
                of_names.entry(name.clone()).or_default().push(pair.certified().clone());
            }
        }
        table
    }

    fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let Some(found) = name.and_then(|name| self.named(name)) else { return self.first.clone() };
        let suits = |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(schemes).is_some();
        found.iter().find(suits).or(found.first()).cloned()
    }

    fn named(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let below = || self.below.get(name.split_once('.')?.1);
        self.exact.get(name).or_else(below).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};

    use super::*;
    use crate::listen::tls::pair::PairFiles;

    /// One certificate for each item, by its number.
    fn table(certified: &[(&'static rcgen::SignatureAlgorithm, &[&str])]) -> (Table, Vec<Arc<CertifiedKey>>) {
        let folder = tempfile::tempdir().unwrap();
        let pairs: Vec<Pair> = certified
            .iter()
            .map(|(algorithm, names)| {
                let key = KeyPair::generate_for(algorithm).unwrap();
                let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
                let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
                let [file, key_file] = ["pair.pem", "pair.key"].map(|file| folder.path().join(file));
                std::fs::write(&file, certificate.pem()).unwrap();
                std::fs::write(&key_file, key.serialize_pem()).unwrap();
                Pair::read(PairFiles { certificate: file, key: key_file }).unwrap()
            })
            .collect();
        (Table::new(pairs.iter()), pairs.iter().map(|pair| pair.certified().clone()).collect())
    }

    #[test]
    fn of_several_for_one_name_the_client_is_shown_one_whose_key_it_can_check() {
        let names: &[&str] = &["a.test", "*.b.test"];
        let (table, certified) = table(&[(&PKCS_ED25519, names), (&PKCS_ECDSA_P256_SHA256, names)]);
        let (ed25519, p256) = (SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256);
        for (name, schemes, expected) in [
            ("a.test", &[p256, ed25519][..], 0),
            ("A.test.", &[p256], 1),
            ("c.b.test", &[p256], 1),
            // The client can check no key: the handshake fails, as it should.
            ("a.test", &[SignatureScheme::RSA_PSS_SHA256], 0),
            ("other.test", &[p256], 0),
        ] {
            let found = table.find(Some(name), schemes).unwrap();
            assert!(Arc::ptr_eq(&found, &certified[expected]), "{name}");
        }
    }

    #[test]
    fn without_a_certificate_there_is_none() {
        assert!(Table::default().find(Some("a.test"), &[]).is_none());
    }
}
