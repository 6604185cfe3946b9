//! The PROXY protocol, version 2: a header before anything else, in which a proxy names the client of the connection.
//!
//! Only the binary form is read; the text of version 1 has no length, so it could not be read without reading too
//! far. All but the addresses (checksum, TLS, names) is skipped. See the HAProxy project's `proxy-protocol.txt`,
//! §2.2.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The first bytes of every header, and of no other protocol.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The length of the first part: signature, version and command, family and transport, and the length of the rest.
const FIXED_BYTES: usize = 16;

/// The most bytes after the fixed part. The largest addresses, those of Unix sockets, take 216; the rest is for
/// further information from proxies.
const MAX_REST_BYTES: usize = 4 << 10;

/// The owner of a connection that a proxy made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionOwner {
    /// The proxy itself, for a health check.
    Proxy,
    /// A client, and its address; none if it has no address that the host knows (a Unix socket's).
    Client(Option<IpAddr>),
}

/// The reason why a header is missing or not valid.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum HeaderError {
    #[error("the connection does not begin with a header of the PROXY protocol, version 2")]
    NoHeader,
    #[error("the header of the PROXY protocol has a version or a command that is not known")]
    Command,
    #[error("the header of the PROXY protocol has a family or a transport that is not known")]
    Family,
    #[error("the header of the PROXY protocol is longer than {MAX_REST_BYTES} bytes")]
    TooLong,
    #[error("the header of the PROXY protocol is too short for its addresses")]
    TooShort,
    #[error("the header of the PROXY protocol did not come whole")]
    BrokenOff,
}

/// The part of a header that has a fixed length.
#[derive(Debug, PartialEq, Eq)]
struct FixedPart {
    is_proxied: bool,
    family: Family,
    rest_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Unspecified,
    V4,
    V6,
    Unix,
}

/// Reads a header, and nothing after it.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<ConnectionOwner, HeaderError> {
    let broken_off = |_: io::Error| HeaderError::BrokenOff;
    let mut fixed = [0; FIXED_BYTES];
    let mut came = 0;
    // A client of another protocol may send less than a header, and wait.
    while came < FIXED_BYTES {
        let rest = fixed.get_mut(came..).unwrap_or_default();
        let more = stream.read(rest).await.map_err(broken_off)?;
        if more == 0 {
            return Err(HeaderError::BrokenOff);
        }
        came = came.saturating_add(more);
        let signature = fixed.get(..came.min(SIGNATURE.len())).unwrap_or_default();
        if !SIGNATURE.starts_with(signature) {
            return Err(HeaderError::NoHeader);
        }
    }
    let fixed = FixedPart::parse(&fixed)?;
    let mut rest = vec![0; fixed.rest_bytes];
    stream.read_exact(&mut rest).await.map_err(broken_off)?;
    fixed.origin(&rest)
}

/// Reads a header at the beginning of these bytes, for the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn parse(bytes: &[u8]) -> Result<ConnectionOwner, HeaderError> {
    let (fixed, rest) = bytes.split_first_chunk::<FIXED_BYTES>().ok_or(HeaderError::BrokenOff)?;
    if !fixed.starts_with(SIGNATURE) {
        return Err(HeaderError::NoHeader);
    }
    let fixed = FixedPart::parse(fixed)?;
    fixed.origin(rest.get(..fixed.rest_bytes).ok_or(HeaderError::BrokenOff)?)
}

impl FixedPart {
    fn parse(bytes: &[u8; FIXED_BYTES]) -> Result<Self, HeaderError> {
        let [.., version_and_command, family_and_transport, high, low] = *bytes;
        let is_proxied = match version_and_command {
            0x20 => false,
            0x21 => true,
            _ => return Err(HeaderError::Command),
        };
        let family = match family_and_transport {
            0x00 => Family::Unspecified,
            0x11 => Family::V4,
            0x21 => Family::V6,
            0x31 => Family::Unix,
            // Datagrams are no connection.
            _ => return Err(HeaderError::Family),
        };
        let rest_bytes = usize::from(u16::from_be_bytes([high, low]));
        if rest_bytes > MAX_REST_BYTES {
            return Err(HeaderError::TooLong);
        }
        Ok(Self { is_proxied, family, rest_bytes })
    }

    fn origin(&self, rest: &[u8]) -> Result<ConnectionOwner, HeaderError> {
        // Each family has two addresses and then two ports; the destination's are this host's.
        let source: Option<IpAddr> = match self.family {
            Family::Unspecified => None,
            Family::V4 => Some(Ipv4Addr::from(*addresses::<4, 12>(rest)?).into()),
            Family::V6 => Some(Ipv6Addr::from(*addresses::<16, 36>(rest)?).into()),
            Family::Unix => {
                addresses::<108, 216>(rest)?;
                None
            }
        };
        Ok(if self.is_proxied {
            ConnectionOwner::Client(source.map(|address| address.to_canonical()))
        } else {
            ConnectionOwner::Proxy
        })
    }
}

/// The first of the addresses, if all of them are there.
fn addresses<const ONE: usize, const ALL: usize>(rest: &[u8]) -> Result<&[u8; ONE], HeaderError> {
    let all = rest.first_chunk::<ALL>().ok_or(HeaderError::TooShort)?;
    all.first_chunk::<ONE>().ok_or(HeaderError::TooShort)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE.as_slice(), &[command, family], &length, rest].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 7, 127, 0, 0, 1, 0x9c, 0x40, 0x1f, 0x90];

    async fn read_all(bytes: &[u8]) -> (Result<ConnectionOwner, HeaderError>, usize) {
        let mut stream = bytes;
        let origin = read(&mut stream).await;
        (origin, stream.len())
    }

    /// The fuzzer's corpus (`fuzz/fuzz_targets/proxy_protocol.rs`).
    #[tokio::test]
    async fn nothing_behind_a_header_of_the_fuzzers_corpus_is_read() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/proxy_protocol");
        let entries: Vec<_> = std::fs::read_dir(corpus).unwrap().collect();
        assert!(entries.len() > 20, "only {} are there", entries.len());
        for entry in entries {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let (read, behind) = read_all(&bytes).await;
            assert_eq!(read.is_ok(), parse(&bytes).is_ok(), "{}", bytes.escape_ascii());
            if read.is_ok() {
                let rest = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
                assert_eq!(behind, bytes.len() - 16 - rest, "{}", bytes.escape_ascii());
            }
        }
    }

    #[tokio::test]
    async fn a_header_says_whose_connection_it_is() {
        let client = |text: &str| Ok(ConnectionOwner::Client(Some(text.parse().unwrap())));
        let v6 = |address: &str| {
            let source = address.parse::<Ipv6Addr>().unwrap().octets();
            [source.as_slice(), &Ipv6Addr::LOCALHOST.octets(), &[0, 1, 0, 2]].concat()
        };
        let with_more = [V4.as_slice(), &[0x04, 0, 1, 0]].concat();
        let table: Vec<(&str, Vec<u8>, Result<ConnectionOwner, HeaderError>)> = vec![
            ("IPv4", header(0x21, 0x11, &V4), client("192.0.2.7")),
            ("IPv6", header(0x21, 0x21, &v6("2001:db8::7")), client("2001:db8::7")),
            ("IPv4 in IPv6", header(0x21, 0x21, &v6("::ffff:192.0.2.7")), client("192.0.2.7")),
            ("a Unix socket", header(0x21, 0x31, &[0; 216]), Ok(ConnectionOwner::Client(None))),
            ("nobody in particular", header(0x21, 0x00, &[]), Ok(ConnectionOwner::Client(None))),
            ("the proxy itself", header(0x20, 0x11, &V4), Ok(ConnectionOwner::Proxy)),
            ("the proxy itself, with nothing more", header(0x20, 0x00, &[]), Ok(ConnectionOwner::Proxy)),
            ("what else it tells", header(0x21, 0x11, &with_more), client("192.0.2.7")),
            ("version 1", header(0x11, 0x11, &V4), Err(HeaderError::Command)),
            ("another command", header(0x22, 0x11, &V4), Err(HeaderError::Command)),
            ("datagrams", header(0x21, 0x12, &V4), Err(HeaderError::Family)),
            ("another family", header(0x21, 0x41, &V4), Err(HeaderError::Family)),
            ("half an address", header(0x21, 0x11, &V4[..11]), Err(HeaderError::TooShort)),
            ("a long story", header(0x21, 0x11, &[0; 5000]), Err(HeaderError::TooLong)),
            ("a request", b"GET / HTTP/1.1\r\n\r\n".to_vec(), Err(HeaderError::NoHeader)),
            ("the text form", b"PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n".to_vec(), Err(HeaderError::NoHeader)),
            ("half a header", header(0x21, 0x11, &V4)[..20].to_vec(), Err(HeaderError::BrokenOff)),
        ];
        for (what, bytes, expected) in table {
            let behind = b"GET / HTTP/1.1\r\n";
            let is_whole = expected.is_ok();
            let sent = if is_whole { [bytes.as_slice(), behind].concat() } else { bytes };
            assert_eq!(parse(&sent), expected, "{what}");
            let (read, left) = read_all(&sent).await;
            assert_eq!(read, expected, "{what}");
            if is_whole {
                assert_eq!(left, behind.len(), "{what}: nothing behind the header is read");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_known_by_its_first_byte() {
        let (mut client, mut host) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut client, b"G").await.unwrap();
        assert_eq!(read(&mut host).await, Err(HeaderError::NoHeader));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(command in any::<u8>(), family in any::<u8>(), rest in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&header(command, family, &rest));
            let _ = parse(&rest);
        }
    }
}
