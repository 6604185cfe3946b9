//! Origins in every form that a person may write, and the origin that is read from each.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::origin::*;

#[test]
fn an_origin_is_read_and_written_in_one_form() {
    for (text, written) in [
        ("https://api.example.com", "https://api.example.com"),
        ("HTTPS://API.Example.COM/", "https://api.example.com"),
        ("https://api.example.com:443", "https://api.example.com"),
        ("http://api.example.com:443", "http://api.example.com:443"),
        ("http://api.example.com:80/", "http://api.example.com"),
        ("http://localhost:65535", "http://localhost:65535"),
        ("http://my_service-1:8080", "http://my_service-1:8080"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("http://1.2.3.4.example", "http://1.2.3.4.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://0x.example", "http://0x.example"),
        ("http://[::1]", "http://[::1]"),
        ("https://[2001:DB8:0:0::0001]:8443", "https://[2001:db8::1]:8443"),
        ("http://[::ffff:127.0.0.1]:80", "http://[::ffff:127.0.0.1]"),
        ("http://[0:0:0:0:0:ffff:7f00:1]", "http://[::ffff:127.0.0.1]"),
    ] {
        let origin: Origin = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(origin.to_string(), written, "{text}");
        assert_eq!(written.parse(), Ok(origin), "{text}");
    }
}

#[test]
fn what_is_no_origin_is_refused_with_what_would_be() {
    for (text, says) in [
        ("api.example.com", "begins with its scheme"),
        ("//api.example.com", "begins with its scheme"),
        ("ftp://api.example.com", "`ftp` is no scheme"),
        ("gopher://x", "`gopher` is no scheme"),
        (" https://x", "is no scheme"),
        ("://x", "`` is no scheme"),
        ("https://", "no host"),
        ("https:///", "no host"),
        ("https://:443", "no host"),
        ("https://user:secret@example.com", "no user name"),
        ("https://example.com@evil.test", "no user name"),
        ("https://@example.com", "no user name"),
        ("https://example.com/api", "remove `/api`"),
        ("https://example.com//", "remove `//`"),
        ("https://example.com?x=1", "remove `?x=1`"),
        ("https://example.com#x", "remove `#x`"),
        ("https://example.com\\x", "remove `\\x`"),
        ("https://*.example.com", "not a pattern"),
        ("https://*", "not a pattern"),
        ("https://bücher.example", "xn--"),
        ("https://１２７.0.0.1", "xn--"),
        ("https://example。com", "xn--"),
        ("https://%6c%6fcalhost", "percent-encoded"),
        ("https://exa mple.com", "` ` cannot be"),
        ("https://example.com ", "` ` cannot be"),
        ("https://exam\tple.com", r"`\t` cannot be"),
        ("https://exam\0ple.com", r"`\u{0}` cannot be"),
        ("https://a,b", "`,` cannot be"),
        ("https://example..com", "empty label"),
        ("https://.example.com", "empty label"),
        ("https://example.com.", "ends with a dot"),
        ("https://127.0.0.1.", "ends with a dot"),
        ("https://-example.com", "is no label"),
        ("https://example-.com", "is no label"),
        ("https://example.com:", "`` is no port"),
        ("https://example.com:0", "`0` is no port"),
        ("https://example.com:080", "`080` is no port"),
        ("https://example.com:65536", "`65536` is no port"),
        ("https://example.com:+80", "`+80` is no port"),
        ("https://example.com:80:80", "is no IPv6 address"),
        ("https://2001:db8::1", "is no IPv6 address"),
        ("https://::1", "is no IPv6 address"),
        ("https://[::1", "is no IPv6 address"),
        ("https://[127.0.0.1]", "is no IPv6 address"),
        ("https://[::1]x", "is no IPv6 address"),
        ("https://[v1.x]", "is no IPv6 address"),
        ("https://[fe80::1%eth0]", "has a zone"),
        ("https://[fe80::1%25eth0]:80", "has a zone"),
    ] {
        let error = text.parse::<Origin>().expect_err(text).to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn an_old_form_of_an_ipv4_address_is_refused_and_its_usual_form_told() {
    for (host, meant) in [
        ("2130706433", Some("127.0.0.1")),
        ("017700000001", Some("127.0.0.1")),
        ("0x7f000001", Some("127.0.0.1")),
        ("0X7F.1", Some("127.0.0.1")),
        ("127.1", Some("127.0.0.1")),
        ("127.0.1", Some("127.0.0.1")),
        ("0177.0.0.1", Some("127.0.0.1")),
        ("127.0.0.01", Some("127.0.0.1")),
        ("0x7f.0x0.0x0.0x1", Some("127.0.0.1")),
        ("0xa9fea9fe", Some("169.254.169.254")),
        ("169.16689662", Some("169.254.169.254")),
        ("0", Some("0.0.0.0")),
        ("0x", Some("0.0.0.0")),
        ("010.0.0.1", Some("8.0.0.1")),
        ("256.0.0.1", None),
        ("1.2.3.4.5", None),
        ("4294967296", None),
        ("127.0.0.08", None),
        ("example.1", None),
        ("1.2.3.0x100", None),
    ] {
        let meant = meant.map(|address| address.parse().unwrap());
        let expected = OriginError::UnusualIpv4 { host: host.to_ascii_lowercase(), meant };
        assert_eq!(format!("http://{host}").parse::<Origin>(), Err(expected), "{host}");
    }
}

#[test]
fn names_have_a_most_and_labels_too() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    assert_eq!(longest.len(), MAX_NAME_BYTES);
    assert!(format!("https://{longest}").parse::<Origin>().is_ok());
    assert_eq!(
        format!("https://{longest}b").parse::<Origin>(),
        Err(OriginError::TooLong { bytes: MAX_NAME_BYTES + 1 })
    );
    assert_eq!(
        format!("https://a{label}.com").parse::<Origin>(),
        Err(OriginError::Label { label: format!("a{label}") })
    );
}

#[test]
fn a_requests_target_has_the_origin_that_its_grant_has() {
    for (uri, origin) in [
        ("https://API.example.com/a?b", "https://api.example.com"),
        ("https://api.example.com:443/", "https://api.example.com"),
        ("http://[::1]:8080/x", "http://[::1]:8080"),
    ] {
        assert_eq!(Origin::of(&uri.parse().unwrap()).unwrap().to_string(), origin, "{uri}");
    }
    for (uri, error) in [
        ("/only/a/path", OriginError::NoScheme),
        ("api.example.com:443", OriginError::NoScheme),
        ("https://api.example.com@evil.test/", OriginError::Userinfo),
        ("ws://api.example.com/", OriginError::Scheme { scheme: "ws".to_owned() }),
        ("https://api.example.com:99999/", OriginError::Port { port: "99999".to_owned() }),
        ("https://api.example.com./", OriginError::TrailingDot { host: "api.example.com.".to_owned() }),
    ] {
        assert_eq!(Origin::of(&uri.parse().unwrap()), Err(error), "{uri}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_what_is_read_is_written_alike(
        text in r"(https?://)?(\PC{0,20}|[0-9a-fx.:\[\]@/]{0,24})"
    ) {
        if let Ok(origin) = text.parse::<Origin>() {
            prop_assert_eq!(origin.to_string().parse(), Ok(origin));
        }
    }

    #[test]
    fn every_form_that_inet_aton_reads_is_told_by_its_usual_one(address: u32) {
        let expected = Some(Ipv4Addr::from(address));
        prop_assert_eq!(meant_by(&address.to_string()), expected);
        prop_assert_eq!(meant_by(&format!("0{address:o}")), expected);
        prop_assert_eq!(meant_by(&format!("0x{address:x}")), expected);
    }
}

/// The address that the error names for a refused host.
fn meant_by(host: &str) -> Option<Ipv4Addr> {
    match format!("http://{host}").parse::<Origin>() {
        Err(OriginError::UnusualIpv4 { meant, .. }) => meant,
        other => panic!("{host}: {other:?}"),
    }
}
