//! Addresses that are no place on the open Internet: granted or not, none of them is connected to, unless the operator
//! has allowed that very range. In the network of these tests every address leads to the canary: what it has not seen,
//! the host has not sent.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jackfield_tests::alone;

use super::upstream::{Seen, Upstream, found, ok};
use super::{fetch, reason, start};

/// An address, what it is, and the range by which an operator allows it.
const ADDRESSES: [(&str, &str, &str); 44] = [
    ("127.0.0.1", "a loopback address", "127.0.0.0/8"),
    ("127.255.255.254", "a loopback address", "127.0.0.0/8"),
    ("0.0.0.0", "an address of this very network", "0.0.0.0/8"),
    ("0.0.0.1", "an address of this very network", "0.0.0.0/8"),
    ("10.0.0.1", "a private address", "10.0.0.0/8"),
    ("172.16.0.1", "a private address", "172.16.0.0/12"),
    ("172.31.255.254", "a private address", "172.16.0.0/12"),
    ("192.168.0.1", "a private address", "192.168.0.0/16"),
    ("100.64.0.1", "behind a carrier's NAT", "100.64.0.0/10"),
    ("100.100.100.200", "behind a carrier's NAT", "100.64.0.0/10"),
    ("169.254.169.254", "a link-local address", "169.254.0.0/16"),
    ("169.254.170.2", "a link-local address", "169.254.0.0/16"),
    ("168.63.129.16", "a cloud's metadata", "168.63.129.16/32"),
    ("192.0.0.192", "IETF protocols", "192.0.0.0/24"),
    ("192.0.2.1", "documentation", "192.0.2.0/24"),
    ("192.88.99.1", "6to4 relays", "192.88.99.0/24"),
    ("198.18.0.1", "benchmarks", "198.18.0.0/15"),
    ("198.51.100.1", "documentation", "198.51.100.0/24"),
    ("203.0.113.1", "documentation", "203.0.113.0/24"),
    ("224.0.0.1", "a multicast address", "224.0.0.0/4"),
    ("240.0.0.1", "a reserved address", "240.0.0.0/4"),
    ("255.255.255.255", "the broadcast address", "255.255.255.255/32"),
    ("[::]", "the unspecified address", "::/128"),
    ("[::1]", "the loopback address", "::1/128"),
    ("[::ffff:127.0.0.1]", "a loopback address", "127.0.0.0/8"),
    ("[::ffff:7f00:1]", "a loopback address", "127.0.0.0/8"),
    ("[0:0:0:0:0:ffff:a9fe:a9fe]", "a link-local address", "169.254.0.0/16"),
    ("[::127.0.0.1]", "an IPv4-compatible address", "::/96"),
    ("[64:ff9b::7f00:1]", "a NAT64 form", "127.0.0.0/8"),
    ("[64:ff9b::a9fe:a9fe]", "a NAT64 form", "169.254.0.0/16"),
    ("[64:ff9b:1::7f00:1]", "a local NAT64", "64:ff9b:1::/48"),
    ("[2002:7f00:1::]", "a 6to4 address", "2002::/16"),
    ("[2600::5efe:7f00:1]", "an ISATAP form", "127.0.0.0/8"),
    ("[2600::200:5efe:a00:1]", "an ISATAP form", "10.0.0.0/8"),
    ("[fd00:ec2::254]", "a unique-local address", "fd00:ec2::/32"),
    ("[fe80::1]", "a link-local address", "fe80::/10"),
    ("[fec0::1]", "a site-local address", "fec0::/10"),
    ("[ff02::1]", "a multicast address", "ff00::/8"),
    ("[100::1]", "discards", "100::/64"),
    ("[2001::1]", "IETF protocols", "2001::/23"),
    ("[2001:db8::1]", "documentation", "2001:db8::/32"),
    ("[3fff::1]", "documentation", "3fff::/20"),
    ("[5f00::1]", "a segment identifier", "5f00::/16"),
    ("[4000::1]", "a reserved address", "4000::/3"),
];

/// No connection is ever made to these: they are groups', or, without a zone, on no link.
const UNCONNECTABLE: [&str; 4] = ["224.0.0.1", "255.255.255.255", "[fe80::1]", "[ff02::1]"];

/// An address that is on the open Internet; in the network of these tests it leads to the canary too.
pub(super) const OPEN: &str = "11.0.0.1";

fn address(text: &str) -> IpAddr {
    text.trim_matches(['[', ']']).parse().expect("it is an address")
}

/// An origin for each of them, and one outside. Two forms of one address are one origin.
fn origins() -> Vec<String> {
    let mut known = BTreeSet::new();
    let inside = ADDRESSES.iter().filter(|(text, _, _)| known.insert(address(text)));
    inside.map(|(text, _, _)| format!("http://{text}")).chain([format!("http://{OPEN}")]).collect()
}

/// Whoever asks at port 80 of any address is told which it was.
async fn canary() -> Upstream {
    Upstream::start("[::]:80", |seen| ok(&seen.to.to_string())).await
}

#[test]
fn an_address_inside_is_refused_although_its_origin_is_granted() {
    alone("outbound::inside::an_address_inside_is_refused_although_its_origin_is_granted", async || {
        let canary = canary().await;
        // Without the host, each of them is reached.
        for (text, _, _) in ADDRESSES {
            let connecting = tokio::net::TcpStream::connect(SocketAddr::new(address(text), 80));
            let connected = tokio::time::timeout(Duration::from_secs(5), connecting).await;
            let is_connected = connected.is_ok_and(|connected| connected.is_ok());
            assert_eq!(is_connected, !UNCONNECTABLE.contains(&text), "{text}");
        }

        let origins = origins();
        let granted: Vec<&str> = origins.iter().map(String::as_str).collect();
        let host = start(&[], &granted, "").await;
        println!("{:<30} refused", "granted");
        for (text, kind, _) in ADDRESSES {
            let answer = fetch(&host, &format!("http://{text}/")).await;
            let reason = reason(&host, &answer);
            println!("{text:<30} {} ({reason})", answer.text().trim());
            assert_eq!(answer.expect(502).text(), "destination-IP-prohibited\n", "{text}");
            assert!(reason.contains(kind) && reason.contains("[host.outbound] allow"), "{text}: {reason}");
        }
        let seen: Vec<Seen> = canary.seen().into_iter().filter(|seen| !seen.head.is_empty()).collect();
        assert_eq!(seen, [], "somebody was asked");
        // The canary is there, and so is the way out.
        assert_eq!(fetch(&host, &format!("http://{OPEN}")).await.expect(200).text(), OPEN);
    });
}

#[test]
fn an_address_inside_is_reached_if_the_operator_allows_its_very_range() {
    alone(
        "outbound::inside::an_address_inside_is_reached_if_the_operator_allows_its_very_range",
        async || {
            let canary = canary().await;
            let origins = origins();
            let granted: Vec<&str> = origins.iter().map(String::as_str).collect();
            let ranges: Vec<&str> = ADDRESSES.iter().map(|(_, _, range)| *range).collect();
            let host = start(&ranges, &granted, "").await;
            for (text, _, range) in ADDRESSES {
                let answer = fetch(&host, &format!("http://{text}/")).await;
                println!(
                    "{text:<30} allowed by {range:<20} {} {}",
                    answer.status.as_u16(),
                    answer.text().trim()
                );
                if UNCONNECTABLE.contains(&text) {
                    assert_eq!(answer.expect(502).text(), "destination-unavailable\n", "{text}");
                    continue;
                }
                // What is unspecified is this machine.
                let expected = match text {
                    "0.0.0.0" => "127.0.0.1".parse().unwrap(),
                    "[::]" => "::1".parse().unwrap(),
                    text => address(text).to_canonical(),
                };
                assert_eq!(answer.expect(200).text(), expected.to_string(), "{text}");
                let seen = canary.seen().pop().expect("it was asked");
                // Addresses are written in one form: that of the grant, and of everything that is sent.
                let written = match address(text) {
                    IpAddr::V4(address) => address.to_string(),
                    IpAddr::V6(address) => format!("[{address}]"),
                };
                assert_eq!((seen.to, seen.values("host")), (expected, vec![written.as_str()]));
            }

            // One range, and nothing beside it.
            for only in ["10.0.0.0/8", "fd00:ec2::/32", "169.254.169.254/32"] {
                let host = start(&[only], &granted, "").await;
                let mut reached = Vec::new();
                for (text, _, _) in ADDRESSES {
                    let answer = fetch(&host, &format!("http://{text}/")).await;
                    if answer.status.as_u16() == 200 {
                        reached.push(text);
                    } else {
                        assert_eq!(answer.text(), "destination-IP-prohibited\n", "{text}");
                    }
                }
                let expected: &[&str] = match only {
                    "10.0.0.0/8" => &["10.0.0.1", "[2600::200:5efe:a00:1]"],
                    "fd00:ec2::/32" => &["[fd00:ec2::254]"],
                    _ => &["169.254.169.254", "[0:0:0:0:0:ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]"],
                };
                assert_eq!(reached, expected, "{only}");
            }
        },
    );
}

#[test]
fn a_redirect_is_an_answer_and_to_follow_it_a_request_like_any_other() {
    alone(
        "outbound::inside::a_redirect_is_an_answer_and_to_follow_it_a_request_like_any_other",
        async || {
            const METADATA: &str = "http://169.254.169.254/latest/meta-data/";
            let upstream = Upstream::start("[::]:80", |seen| {
                if seen.to == address(OPEN) { found(METADATA) } else { ok("credentials\n") }
            })
            .await;
            let open = format!("http://{OPEN}");
            for (granted, refusal) in [
                (vec![open.as_str()], "HTTP-request-denied\n"),
                (vec![open.as_str(), "http://169.254.169.254"], "destination-IP-prohibited\n"),
            ] {
                let host = start(&[], &granted, "").await;
                let answer = fetch(&host, &open).await;
                assert_eq!(answer.expect(302).header("location"), Some(METADATA), "{answer}");
                let location = answer.header("location").unwrap();
                assert_eq!(fetch(&host, location).await.expect(502).text(), refusal);
            }
            let asked: Vec<IpAddr> = upstream.seen().iter().map(|seen| seen.to).collect();
            assert_eq!(asked, [address(OPEN), address(OPEN)]);
        },
    );
}

#[test]
fn a_grant_is_for_one_scheme_one_host_and_one_port() {
    alone("outbound::inside::a_grant_is_for_one_scheme_one_host_and_one_port", async || {
        let mut others = Vec::new();
        for port in [443, 8080, 65535] {
            others.push(Upstream::start(&format!("[::]:{port}"), |_| ok("reached\n")).await);
        }
        let canary = canary().await;
        let host = start(&[], &[&format!("http://{OPEN}"), "http://11.0.0.2:8080"], "").await;
        for denied in [
            "https://11.0.0.1",
            "https://11.0.0.1:80",
            "http://11.0.0.1:443",
            "http://11.0.0.1:8080",
            "http://11.0.0.1:65535",
            "http://11.0.0.2",
            "http://11.0.0.2:80",
            "http://11.0.0.3",
            "http://[::ffff:11.0.0.1]",
            "http://11.0.0.1.test",
            "http://test/http://11.0.0.1",
            "http://test?http://11.0.0.1",
        ] {
            let answer = fetch(&host, denied).await;
            assert_eq!(answer.expect(502).text(), "HTTP-request-denied\n", "{denied}");
            assert!(reason(&host, &answer).contains("not among the origins"), "{denied}");
        }
        assert!(canary.seen().is_empty() && others.iter().all(|other| other.seen().is_empty()));

        // The same origin, however its port is written, and whatever its path looks like.
        for granted in ["http://11.0.0.1:80", "http://11.0.0.1/@10.0.0.1", "http://11.0.0.1//10.0.0.1/"] {
            assert_eq!(fetch(&host, granted).await.expect(200).text(), OPEN, "{granted}");
        }
        assert!(canary.seen().iter().all(|seen| seen.values("host") == [OPEN]), "{:#?}", canary.seen());
        assert_eq!(fetch(&host, "http://11.0.0.2:8080").await.expect(200).text(), "reached\n");
        assert_eq!(others[1].seen()[0].values("host"), ["11.0.0.2:8080"]);
    });
}

#[test]
fn a_request_that_makes_a_tunnel_or_shows_what_the_host_added_is_not_sent() {
    alone(
        "outbound::inside::a_request_that_makes_a_tunnel_or_shows_what_the_host_added_is_not_sent",
        async || {
            let canary = canary().await;
            let open = format!("http://{OPEN}");
            let host = start(&[], &[&open], "").await;
            let path = super::path(&open);
            for method in ["CONNECT", "TRACE"] {
                let answer = host.get(&format!("{path}&method={method}")).await;
                assert_eq!(answer.expect(502).text(), "HTTP-request-method-invalid\n", "{method}");
            }
            // The guest cannot even set what says where a request goes, or how it is framed.
            for field in [
                "host",
                "connection",
                "transfer-encoding",
                "upgrade",
                "http2-settings",
                "proxy-authorization",
            ] {
                let answer = host.get(&format!("{path}&name={field}&value=elsewhere.test")).await;
                assert_eq!(answer.expect(502).text(), "refused: forbidden\n", "{field}");
            }
            for url in ["http://11.0.0.1/a\r\nhost: elsewhere.test\r\n", "http://11.0.0.1/a b"] {
                assert_eq!(fetch(&host, url).await.expect(502).text(), "refused: path\n", "{url}");
            }
            assert_eq!(canary.seen(), []);
            assert_eq!(host.get(&path).await.expect(200).text(), OPEN);
        },
    );
}
