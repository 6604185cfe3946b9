//! The address policy: the addresses that outbound requests may be sent to.
//!
//! Owns the ranges that are no place on the open Internet, the forms of IPv6 that carry an IPv4 address, and
//! the operator's exceptions. Leaves to `connect` to ask about every address before it connects. The ranges
//! are those of IANA's special-purpose registries (RFC 6890): every one is refused that is not both global and
//! unicast there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The addresses that the operator allows beside the open Internet.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    /// The allowed ranges. An IPv4 range covers the IPv4-mapped form of its addresses (`::ffff:10.0.0.1`) too; an
    /// IPv6 range does not.
    pub allow: Vec<IpNet>,
}

/// An address that requests may not be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {kind}")]
pub struct Prohibited {
    /// The address.
    pub address: IpAddr,
    /// The kind of address, as a noun with its article.
    pub kind: &'static str,
}

impl AddressPolicy {
    /// Refuses an address that requests may not be sent to.
    pub fn check(&self, address: IpAddr) -> Result<(), Prohibited> {
        // The system sends to an IPv4-mapped address over IPv4: it is that address and nothing else.
        let meant = address.to_canonical();
        if self.allow.iter().any(|range| range.contains(&meant)) {
            return Ok(());
        }
        let kind = match meant {
            IpAddr::V4(address) => kind_of_ipv4(address),
            IpAddr::V6(address) => self.kind_of_ipv6(address),
        };
        kind.map_or(Ok(()), |kind| Err(Prohibited { address, kind }))
    }

    fn kind_of_ipv6(&self, address: Ipv6Addr) -> Option<&'static str> {
        if NAT64.contains(&address) {
            return self.carries(address, "a NAT64 form of an address that is refused");
        }
        if let Some((_, kind)) = NOT_GLOBAL_IPV6.iter().find(|(range, _)| range.contains(&address)) {
            return Some(kind);
        }
        if is_isatap(address) {
            return self.carries(address, "an ISATAP form of an address that is refused");
        }
        None
    }

    /// Returns `kind` if the IPv4 address in the last four bytes of `self` is refused.
    fn carries(&self, address: Ipv6Addr, kind: &'static str) -> Option<&'static str> {
        let [.., a, b, c, d] = address.octets();
        self.check(IpAddr::V4(Ipv4Addr::new(a, b, c, d))).err().map(|_| kind)
    }
}

fn kind_of_ipv4(address: Ipv4Addr) -> Option<&'static str> {
    NOT_GLOBAL_IPV4.iter().find(|(range, _)| range.contains(&address)).map(|(_, kind)| *kind)
}

/// True for an interface identifier of RFC 5214 §6.1: `0000:5efe` or `0200:5efe`, then the IPv4 address.
fn is_isatap(address: Ipv6Addr) -> bool {
    let [_, _, _, _, high, low, _, _] = address.segments();
    high & !0x0200 == 0 && low == 0x5efe
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

/// A range by its first three segments.
const fn v6(a: u16, b: u16, c: u16, bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), bits)
}

/// RFC 6052 §2.1: the one prefix under which an IPv4 address has its place in the open Internet.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

const NOT_GLOBAL_IPV4: [(Ipv4Net, &str); 17] = [
    (v4(0, 0, 0, 0, 8), "an address of this very network (0.0.0.0/8)"),
    (v4(10, 0, 0, 0, 8), "a private address (10.0.0.0/8)"),
    (v4(100, 64, 0, 0, 10), "an address behind a carrier's NAT (100.64.0.0/10)"),
    (v4(127, 0, 0, 0, 8), "a loopback address (127.0.0.0/8)"),
    // A public address, at which Azure's own services answer Azure's machines.
    (v4(168, 63, 129, 16, 32), "an address of a cloud's metadata (168.63.129.16)"),
    (v4(169, 254, 0, 0, 16), "a link-local address (169.254.0.0/16)"),
    (v4(172, 16, 0, 0, 12), "a private address (172.16.0.0/12)"),
    (v4(192, 0, 0, 0, 24), "an address of IETF protocols (192.0.0.0/24)"),
    (v4(192, 0, 2, 0, 24), "an address of documentation (192.0.2.0/24)"),
    (v4(192, 88, 99, 0, 24), "an address of 6to4 relays (192.88.99.0/24)"),
    (v4(192, 168, 0, 0, 16), "a private address (192.168.0.0/16)"),
    (v4(198, 18, 0, 0, 15), "an address of benchmarks (198.18.0.0/15)"),
    (v4(198, 51, 100, 0, 24), "an address of documentation (198.51.100.0/24)"),
    (v4(203, 0, 113, 0, 24), "an address of documentation (203.0.113.0/24)"),
    (v4(224, 0, 0, 0, 4), "a multicast address (224.0.0.0/4)"),
    (v4(255, 255, 255, 255, 32), "the broadcast address"),
    (v4(240, 0, 0, 0, 4), "a reserved address (240.0.0.0/4)"),
];

/// The ranges that are not global unicast. The first that matches is named, so the broad ranges come last.
const NOT_GLOBAL_IPV6: [(Ipv6Net, &str); 19] = [
    (v6(0, 0, 0, 128), "the unspecified address"),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "the loopback address"),
    (v6(0, 0, 0, 96), "an IPv4-compatible address (::/96)"),
    (v6(0x64, 0xff9b, 1, 48), "an address of a local NAT64 (64:ff9b:1::/48)"),
    (v6(0x100, 0, 0, 64), "an address that discards (100::/64)"),
    (v6(0x2001, 0, 0, 23), "an address of IETF protocols, such as Teredo's (2001::/23)"),
    (v6(0x2001, 0xdb8, 0, 32), "an address of documentation (2001:db8::/32)"),
    // Whatever IPv4 address is in it: 6to4 relays are obsolete (RFC 7526), so it leads to any relay that still runs.
    (v6(0x2002, 0, 0, 16), "a 6to4 address (2002::/16)"),
    (v6(0x3fff, 0, 0, 20), "an address of documentation (3fff::/20)"),
    (v6(0x5f00, 0, 0, 16), "a segment identifier (5f00::/16)"),
    (v6(0xfc00, 0, 0, 7), "a unique-local address (fc00::/7)"),
    (v6(0xfe80, 0, 0, 10), "a link-local address (fe80::/10)"),
    (v6(0xfec0, 0, 0, 10), "a site-local address (fec0::/10)"),
    (v6(0xff00, 0, 0, 8), "a multicast address (ff00::/8)"),
    (v6(0, 0, 0, 3), "a reserved address (::/3)"),
    (v6(0x4000, 0, 0, 3), "a reserved address (4000::/3)"),
    (v6(0x6000, 0, 0, 3), "a reserved address (6000::/3)"),
    (v6(0x8000, 0, 0, 2), "a reserved address (8000::/2)"),
    (v6(0xc000, 0, 0, 2), "a reserved address (c000::/2)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow: &[&str]) -> AddressPolicy {
        AddressPolicy { allow: allow.iter().map(|range| range.parse().unwrap()).collect() }
    }

    fn refused(policy: &AddressPolicy, address: &str) -> Option<String> {
        policy.check(address.parse().unwrap()).err().map(|prohibited| prohibited.to_string())
    }

    /// Ranges by their first and last address, with the global addresses directly before and after, where there are
    /// some.
    const EDGES: [(&str, &str, &str, &str, &str); 38] = [
        ("", "0.0.0.0", "0.255.255.255", "1.0.0.0", "this very network"),
        ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0", "private"),
        ("100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0", "carrier's NAT"),
        ("126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0", "loopback"),
        ("168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17", "cloud's metadata"),
        ("169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0", "link-local"),
        ("172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0", "private"),
        ("191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0", "IETF protocols"),
        ("192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0", "documentation"),
        ("192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0", "6to4 relays"),
        ("192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0", "private"),
        ("198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0", "benchmarks"),
        ("198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0", "documentation"),
        ("203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0", "documentation"),
        ("223.255.255.255", "224.0.0.0", "239.255.255.255", "", "multicast"),
        ("", "240.0.0.0", "255.255.255.254", "", "reserved"),
        ("", "255.255.255.255", "255.255.255.255", "", "broadcast"),
        ("", "::", "::", "", "unspecified"),
        ("", "::1", "::1", "", "loopback"),
        ("", "::2", "::ffff:ffff", "", "IPv4-compatible"),
        ("", "::1:0:0", "::fffe:ffff:ffff", "", "reserved"),
        ("", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "", "local NAT64"),
        ("", "64:ff9b::1:0:0", "64:ff9b:0:ffff:ffff:ffff:ffff:ffff", "", "reserved"),
        ("", "100::", "100::ffff:ffff:ffff:ffff", "", "discards"),
        ("", "100:0:0:1::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::", "reserved"),
        (
            "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001::",
            "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:200::",
            "Teredo",
        ),
        (
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            "documentation",
        ),
        (
            "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2002::",
            "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2003::",
            "6to4",
        ),
        (
            "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff::",
            "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff:1000::",
            "documentation",
        ),
        (
            "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "4000::",
            "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "",
            "reserved",
        ),
        ("", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "segment identifier"),
        ("", "5f01::", "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "reserved"),
        ("", "8000::", "bfff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "reserved"),
        ("", "c000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "reserved"),
        ("", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "unique-local"),
        ("", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "link-local"),
        ("", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "site-local"),
        ("", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "multicast"),
    ];

    #[test]
    fn every_range_that_is_not_global_is_refused_from_its_first_address_to_its_last() {
        let policy = policy(&[]);
        for (before, first, last, behind, kind) in EDGES {
            for address in [first, last] {
                let told = refused(&policy, address).unwrap_or_else(|| panic!("{address} is allowed"));
                assert!(told.starts_with(&format!("{address} is ")) && told.contains(kind), "{told}");
            }
            for address in [before, behind].into_iter().filter(|address| !address.is_empty()) {
                assert_eq!(refused(&policy, address), None, "{address}");
            }
        }
    }

    #[test]
    fn an_ipv6_form_of_an_ipv4_address_is_judged_by_that_address() {
        let policy = policy(&[]);
        for (_, first, last, _, _) in EDGES.iter().filter(|edge| edge.1.contains('.')) {
            for inner in [first, last] {
                for outer in [
                    "::ffff:INNER",
                    "::INNER",
                    "64:ff9b::INNER",
                    "64:ff9b:1::INNER",
                    "2600::5efe:INNER",
                    "2600::200:5efe:INNER",
                ] {
                    let address = outer.replace("INNER", inner);
                    assert!(refused(&policy, &address).is_some(), "{address}");
                }
            }
        }
        for address in ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2600::5efe:8.8.8.8", "2600::200:5efe:8.8.8.8"]
        {
            assert_eq!(refused(&policy, address), None, "{address}");
        }
        for address in ["::8.8.8.8", "64:ff9b:1::8.8.8.8", "2002:808:808::1", "2001:0:808:808::1"] {
            assert!(refused(&policy, address).is_some(), "{address}");
        }
        // Forms that people often write.
        for address in
            ["::ffff:7f00:1", "2002:7f00:1::", "64:ff9b::a9fe:a9fe", "fd00:ec2::254", "100.100.100.200"]
        {
            assert!(refused(&policy, address).is_some(), "{address}");
        }
    }

    #[test]
    fn what_the_operator_allows_is_that_range_and_no_other() {
        let narrow = policy(&["10.1.0.0/16", "fd00:1::/32"]);
        for address in ["10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd00:1::5"] {
            assert_eq!(refused(&narrow, address), None, "{address}");
        }
        for address in [
            "10.0.255.255",
            "10.2.0.0",
            "::ffff:10.2.0.0",
            "::10.1.2.3",
            "127.0.0.1",
            "fd00:2::5",
            "2002:a01:203::",
        ] {
            assert!(refused(&narrow, address).is_some(), "{address}");
        }
    }

    #[test]
    fn allowing_all_of_ipv6_allows_nothing_of_ipv4() {
        let wide = policy(&["::/0"]);
        assert_eq!(refused(&wide, "::1"), None);
        for address in ["127.0.0.1", "::ffff:127.0.0.1"] {
            assert!(refused(&wide, address).is_some(), "{address}");
        }
    }
}
