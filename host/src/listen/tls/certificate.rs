//! The parts of a certificate that the host itself reads (RFC 5280 §4.1): its names and its dates.
//!
//! The rest is for clients to judge; rustls also checks the certificate when it compares the certificate with its
//! key. Read with `der`, one crate: x509-parser would bring a dozen (asn1-rs and its macros, der-parser, nom,
//! oid-registry, …), and parse every extension of a certificate for the sake of one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode, ErrorKind, Reader, SliceReader, Tag, TagNumber, Tagged};
use rustls::pki_types::DnsName;
use time::OffsetDateTime;

/// A certificate's names and dates.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    /// The certificate's names, which are its subject alternative names only.
    pub(super) names: Vec<Name>,
    /// The first moment at which the certificate is valid.
    pub(super) not_before: OffsetDateTime,
    /// The last moment at which the certificate is valid.
    pub(super) not_after: OffsetDateTime,
}

/// A name that a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// One name, in lower case.
    Exact(Box<str>),
    /// All names with one label before this name, in lower case: `example.com` for `*.example.com`.
    Below(Box<str>),
    /// An address. No client can ask for it by name.
    Address(IpAddr),
}

/// `id-ce-subjectAltName`, 2.5.29.17.
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

const VERSION: Tag = context_specific(0, true);
const EXTENSIONS: Tag = context_specific(3, true);
const DNS_NAME: Tag = context_specific(2, false);
const IP_ADDRESS: Tag = context_specific(7, false);

const fn context_specific(number: u32, constructed: bool) -> Tag {
    Tag::ContextSpecific { constructed, number: TagNumber(number) }
}

impl Certificate {
    /// Reads a certificate from its DER.
    pub(super) fn read(bytes: &[u8]) -> der::Result<Self> {
        let signed = parts(sequence(AnyRef::from_der(bytes)?)?)?;
        let fields = parts(sequence(first(&signed)?)?)?;
        // A certificate of version 1 has no version field.
        let fields = match fields.split_first() {
            Some((version, fields)) if version.tag() == VERSION => fields,
            _ => &fields,
        };
        let [_serial, _algorithm, _issuer, validity, rest @ ..] = fields else { return Err(unlike()) };
        let [not_before, not_after] = parts(sequence(*validity)?)?[..] else { return Err(unlike()) };
        let extensions = rest.iter().find(|field| field.tag() == EXTENSIONS);
        Ok(Self {
            names: extensions.map_or(Ok(Vec::new()), |extensions| names(*extensions))?,
            not_before: moment(not_before)?,
            not_after: moment(not_after)?,
        })
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(parent) => write!(f, "*.{parent}"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl Name {
    /// Reads a name; none if no client can ask for it, such as `w*.example.com`, or an e-mail address.
    fn read(name: &AnyRef<'_>) -> Option<Self> {
        match name.tag() {
            DNS_NAME => {
                let name = std::str::from_utf8(name.value()).ok()?.to_ascii_lowercase();
                let is_name = |name: &str| DnsName::try_from(name).is_ok() && !name.ends_with('.');
                match name.strip_prefix("*.") {
                    Some(parent) => is_name(parent).then(|| Self::Below(parent.into())),
                    None => is_name(&name).then(|| Self::Exact(name.into())),
                }
            }
            IP_ADDRESS => match *name.value() {
                [a, b, c, d] => Some(Self::Address(Ipv4Addr::new(a, b, c, d).into())),
                _ => {
                    <[u8; 16]>::try_from(name.value()).ok().map(|v6| Self::Address(Ipv6Addr::from(v6).into()))
                }
            },
            _ => None,
        }
    }
}

fn names(extensions: AnyRef<'_>) -> der::Result<Vec<Name>> {
    let mut names = Vec::new();
    for extension in parts(sequence(AnyRef::from_der(extensions.value())?)?)? {
        let extension = parts(sequence(extension)?)?;
        let (id, value) = (first(&extension)?, *extension.last().ok_or_else(unlike)?);
        if id.tag() == Tag::ObjectIdentifier && id.value() == SUBJECT_ALTERNATIVE_NAME {
            let value = expect(value, Tag::OctetString)?;
            let alternatives = parts(sequence(AnyRef::from_der(value.value())?)?)?;
            names.extend(alternatives.iter().filter_map(Name::read));
        }
    }
    Ok(names)
}

fn moment(time: AnyRef<'_>) -> der::Result<OffsetDateTime> {
    let since_epoch = match time.tag() {
        Tag::UtcTime => time.decode_as::<UtcTime>()?.to_unix_duration(),
        _ => time.decode_as::<GeneralizedTime>()?.to_unix_duration(),
    };
    let seconds = i64::try_from(since_epoch.as_secs()).map_err(|_| unlike())?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| unlike())
}

/// The parts of a constructed value.
fn parts(whole: AnyRef<'_>) -> der::Result<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(whole.value())?;
    let mut parts = Vec::new();
    while !reader.is_finished() {
        parts.push(AnyRef::decode(&mut reader)?);
    }
    Ok(parts)
}

fn first<'a>(parts: &[AnyRef<'a>]) -> der::Result<AnyRef<'a>> {
    parts.first().copied().ok_or_else(unlike)
}

fn sequence(value: AnyRef<'_>) -> der::Result<AnyRef<'_>> {
    expect(value, Tag::Sequence)
}

fn expect(value: AnyRef<'_>, tag: Tag) -> der::Result<AnyRef<'_>> {
    if value.tag() == tag { Ok(value) } else { Err(unlike()) }
}

/// The error of DER that is not a certificate.
fn unlike() -> der::Error {
    ErrorKind::Failed.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, CustomExtension, KeyPair, SanType};

    use super::*;

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        change(&mut parameters);
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_and_dates_are_those_that_the_certificate_was_made_with() {
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let der = made(|parameters| {
            parameters.not_before = rcgen::date_time_ymd(2001, 2, 3);
            // Later than the range of `UTCTime`.
            parameters.not_after = rcgen::date_time_ymd(2051, 2, 3);
            parameters.subject_alt_names = vec![
                dns("Shop.Example"),
                dns("*.shop.example"),
                dns("w*.shop.example"),
                dns("*"),
                SanType::Rfc822Name("a@shop.example".try_into().unwrap()),
                SanType::IpAddress([192, 0, 2, 1].into()),
                SanType::IpAddress("2001:db8::1".parse().unwrap()),
            ];
        });
        let read = Certificate::read(&der).unwrap();
        let names: Vec<_> = read.names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["shop.example", "*.shop.example", "192.0.2.1", "2001:db8::1"]);
        assert_eq!(read.not_before.date().to_string(), "2001-02-03");
        assert_eq!(read.not_after.date().to_string(), "2051-02-03");
    }

    #[test]
    fn a_certificate_without_alternative_names_has_none() {
        for der in [made(|_| ()), made(|parameters| parameters.use_authority_key_identifier_extension = true)]
        {
            assert_eq!(Certificate::read(&der).unwrap().names, []);
        }
    }

    #[test]
    fn names_that_are_no_der_are_refused() {
        let id = [2, 5, 29, 17];
        let der = made(|parameters| {
            parameters.custom_extensions = vec![CustomExtension::from_oid_content(&id, vec![0x30, 9])];
        });
        assert!(Certificate::read(&der).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_a_certificate_panic(
            at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>(), bytes: Vec<u8>,
        ) {
            let _ = Certificate::read(&bytes);
            let mut der = include_bytes!("testdata/certificate.der").to_vec();
            prop_assert!(Certificate::read(&der).is_ok());
            let at = at.index(der.len());
            der[at] = byte;
            let _ = Certificate::read(&der);
            der.truncate(cut.index(der.len()));
            prop_assert!(Certificate::read(&der).is_err());
        }
    }
}
