//! The key: under whose name a request is counted.
//!
//! Keys of different kinds begin differently, so that no header value can pass for an address, and all
//! are far shorter than the 256 bytes that the limiter takes.

use std::net::Ipv6Addr;

use sha2::{Digest, Sha256};

use crate::bindings::jackfield::plugin::types::Header;
use crate::policy::KeyBy;

/// The limiter's key for a request with these header fields from this client.
pub(crate) fn of(by: &KeyBy, headers: &[Header], client: Option<&str>) -> String {
    match by {
        KeyBy::Tenant => "tenant".to_owned(),
        KeyBy::Client => of_client(client),
        KeyBy::Header(name) => match only_value(headers, name) {
            // A digest: values may be of any length and any bytes, two of them never meet under one
            // key, and a token does not lie about in the limiter's memory.
            Some(value) => Sha256::digest(value)
                .iter()
                .fold("header ".to_owned(), |key, byte| format!("{key}{byte:02x}")),
            None => of_client(client),
        },
    }
}

/// The value of the one field of this name. None if it is absent, empty, or there are several: which of
/// them the plugin behind would believe is not known here.
fn only_value<'a>(headers: &'a [Header], name: &str) -> Option<&'a [u8]> {
    let mut values = headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_slice());
    match (values.next(), values.next()) {
        (Some(value), None) if !value.is_empty() => Some(value),
        _ => None,
    }
}

/// Without an address (a Unix socket) all clients share a key: there is nothing to tell them apart by.
fn of_client(address: Option<&str>) -> String {
    let address = address.unwrap_or("unknown");
    let Ok(v6) = address.parse::<Ipv6Addr>() else { return format!("client {address}") };
    // IPv4 in IPv6's clothes, as a socket for both sees it.
    if let Some(v4) = v6.to_ipv4_mapped() {
        return format!("client {v4}");
    }
    // One customer has a whole /64 (RFC 6177): counted one by one, its addresses would never run out.
    let [a, b, c, d, ..] = v6.segments();
    format!("client {a:x}:{b:x}:{c:x}:{d:x}::/64")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &[u8]) -> Header {
        (name.to_owned(), value.to_vec())
    }

    #[test]
    fn clients_are_told_apart_by_address_and_ipv6_by_network() {
        for (address, key) in [
            (Some("192.0.2.7"), "client 192.0.2.7"),
            (Some("::ffff:192.0.2.7"), "client 192.0.2.7"),
            (Some("2001:db8:1:2:3:4:5:6"), "client 2001:db8:1:2::/64"),
            (Some("2001:db8:1:2::9"), "client 2001:db8:1:2::/64"),
            (Some("::1"), "client 0:0:0:0::/64"),
            (None, "client unknown"),
        ] {
            assert_eq!(of(&KeyBy::Client, &[], address), key);
        }
    }

    #[test]
    fn all_requests_of_a_tenant_share_a_key() {
        assert_eq!(of(&KeyBy::Tenant, &[], Some("192.0.2.7")), of(&KeyBy::Tenant, &[], None));
    }

    #[test]
    fn a_header_value_of_any_length_is_a_key_of_its_own() {
        let by = KeyBy::Header("x-api-key".to_owned());
        let long = |last: u8| [vec![b'a'; 8000], vec![last]].concat();
        let values: [&[u8]; 5] = [b"a", b"b", b"\xff\xfe", &long(b'1'), &long(b'2')];
        let mut keys: Vec<_> = values.iter().map(|v| of(&by, &[header("x-api-key", v)], None)).collect();
        assert!(keys.iter().all(|key| key.len() == 71 && key.starts_with("header ")), "{keys:?}");
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), values.len());
    }

    #[test]
    fn without_one_clear_value_the_address_counts() {
        let by = KeyBy::Header("x-api-key".to_owned());
        for headers in [
            vec![],
            vec![header("other", b"a")],
            vec![header("x-api-key", b"")],
            vec![header("x-api-key", b"a"), header("x-api-key", b"b")],
        ] {
            assert_eq!(of(&by, &headers, Some("192.0.2.7")), "client 192.0.2.7");
        }
    }

    #[test]
    fn a_header_cannot_pass_for_an_address() {
        let by = KeyBy::Header("x-api-key".to_owned());
        assert_ne!(of(&by, &[header("x-api-key", b"client 192.0.2.7")], None), "client 192.0.2.7");
    }
}
