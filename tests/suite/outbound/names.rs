//! Names: what one is worth is what the addresses are worth that it leads to, each time anew.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use jackfield_tests::alone;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::inside::OPEN;
use super::upstream::{Upstream, ok};
use super::{fetch, reason, start};

/// A question that a resolver asks: a name, and whether for IPv4 or IPv6.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Question {
    pub(super) name: String,
    pub(super) kind: u16,
    /// How many times it was asked before.
    pub(super) before: usize,
}

const A: u16 = 1;
const AAAA: u16 = 28;
const CNAME: u16 = 5;

/// The server that the machine's resolver asks, in a network of its own.
pub(super) struct Dns {
    asked: Arc<Mutex<BTreeMap<(String, u16), usize>>>,
    running: JoinHandle<()>,
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Dns {
    /// Answers each question with those of the addresses that are of its kind. What begins with `alias` is another name
    /// of them.
    pub(super) async fn start(answer: impl Fn(&Question) -> Vec<IpAddr> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:53").await.expect("the resolver's port is free");
        let asked = Arc::<Mutex<BTreeMap<(String, u16), usize>>>::default();
        let counted = asked.clone();
        let running = tokio::spawn(async move {
            let mut packet = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                let query = &packet[..length];
                let (name, kind) = question(query);
                let before = {
                    let mut asked = counted.lock().expect("nobody panics with it");
                    let count = asked.entry((name.clone(), kind)).or_default();
                    *count += 1;
                    *count - 1
                };
                let addresses = answer(&Question { name: name.clone(), kind, before });
                let _ = socket.send_to(&reply(query, &name, kind, &addresses), from).await;
            }
        });
        Self { asked, running }
    }

    /// How often each question was asked.
    pub(super) fn asked(&self) -> BTreeMap<(String, u16), usize> {
        self.asked.lock().expect("nobody panics with it").clone()
    }
}

const HEAD_BYTES: usize = 12;

/// The name and the kind that a query asks for.
fn question(query: &[u8]) -> (String, u16) {
    let (mut labels, mut at) = (Vec::new(), HEAD_BYTES);
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_lowercase());
        at = end;
    }
    (labels.join("."), u16::from_be_bytes([query[at + 1], query[at + 2]]))
}

/// An answer (RFC 1035 §4.1) with the addresses of its kind.
fn reply(query: &[u8], name: &str, kind: u16, addresses: &[IpAddr]) -> Vec<u8> {
    let question = encode(name).len() + 4;
    let mut records: Vec<Vec<u8>> = Vec::new();
    let mut owner = vec![0xc0, 12];
    if name.starts_with("alias") {
        let other = encode("the-other-name.test");
        records.push(record(&owner, CNAME, &other));
        owner = other;
    }
    for address in addresses {
        match address {
            IpAddr::V4(address) if kind == A => records.push(record(&owner, A, &address.octets())),
            IpAddr::V6(address) if kind == AAAA => records.push(record(&owner, AAAA, &address.octets())),
            _ => {}
        }
    }
    let count = u8::try_from(records.len()).expect("they are few");
    let mut reply = query[..2].to_vec();
    reply.extend([0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0]);
    reply.extend(&query[HEAD_BYTES..HEAD_BYTES + question]);
    reply.extend(records.concat());
    reply
}

/// A record of the Internet's class that is not to be kept.
fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("it is short").to_be_bytes();
    [owner, &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 0], &length, data].concat()
}

fn encode(name: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).expect("it is short")], label.as_bytes()].concat();
    name.split('.').flat_map(label).chain([0]).collect()
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().expect("it is an address")).collect()
}

/// Names by the addresses that they lead to, all of them inside.
const INSIDE: [(&str, &[&str]); 15] = [
    ("loopback.test", &["127.0.0.1"]),
    ("private.test", &["10.0.0.1"]),
    ("metadata.test", &["169.254.169.254"]),
    ("carrier.test", &["100.100.100.200"]),
    ("this-network.test", &["0.0.0.0"]),
    ("several.test", &["10.0.0.1", "127.0.0.1", "192.168.0.1", "fd00:ec2::254", "::1"]),
    ("loopback6.test", &["::1"]),
    ("unspecified6.test", &["::"]),
    ("metadata6.test", &["fd00:ec2::254"]),
    ("link6.test", &["fe80::1"]),
    ("mapped.test", &["::ffff:127.0.0.1"]),
    ("nat64.test", &["64:ff9b::a9fe:a9fe"]),
    ("sixtofour.test", &["2002:7f00:1::"]),
    ("alias.test", &["10.0.0.1"]),
    ("xn--6qq79v.test", &["172.16.0.1"]),
];

#[test]
fn a_name_that_leads_inside_is_refused_although_it_is_granted() {
    alone("outbound::names::a_name_that_leads_inside_is_refused_although_it_is_granted", async || {
        let canary = Upstream::start("[::]:80", |_| ok("reached\n")).await;
        let _dns = Dns::start(|question| {
            let known = INSIDE.iter().find(|(name, _)| *name == question.name);
            known.map_or_else(Vec::new, |(_, inside)| addresses(inside))
        })
        .await;
        let mut origins: Vec<String> = INSIDE.iter().map(|(name, _)| format!("http://{name}")).collect();
        origins.extend(["http://localhost".to_owned(), "http://nobody.test".to_owned()]);
        let granted: Vec<&str> = origins.iter().map(String::as_str).collect();
        let host = start(&[], &granted, "").await;
        println!("{:<30} refused", "name");
        for origin in &granted {
            let answer = fetch(&host, origin).await;
            let expected =
                if origin.contains("nobody") { "DNS-error\n" } else { "destination-IP-prohibited\n" };
            println!("{origin:<30} {} ({})", answer.text().trim(), reason(&host, &answer));
            assert_eq!(answer.expect(502).text(), expected, "{origin}");
        }
        assert_eq!(canary.seen(), []);
        // Nothing of it is about names: allowed, each is reached.
        let host = start(&["0.0.0.0/0", "::/0"], &granted, "").await;
        for origin in granted.iter().filter(|origin| !origin.contains("nobody") && !origin.contains("link6"))
        {
            assert_eq!(fetch(&host, origin).await.expect(200).text(), "reached\n", "{origin}");
        }
    });
}

#[test]
fn of_a_names_addresses_those_inside_are_left_out() {
    alone("outbound::names::of_a_names_addresses_those_inside_are_left_out", async || {
        let canary = Upstream::start("[::]:80", |_| ok("reached\n")).await;
        let _dns =
            Dns::start(|_| addresses(&["10.0.0.1", "127.0.0.1", OPEN, "::1", "::ffff:10.0.0.1"])).await;
        let host = start(&[], &["http://mixed.test"], "").await;
        for _ in 0..5 {
            fetch(&host, "http://mixed.test").await.expect(200);
        }
        let seen: Vec<String> = canary.seen().iter().map(|seen| seen.to.to_string()).collect();
        assert_eq!(seen, [OPEN; 5]);
    });
}

#[test]
fn a_connection_goes_to_the_address_that_was_checked_whatever_its_name_leads_to_next() {
    alone(
        "outbound::names::a_connection_goes_to_the_address_that_was_checked_whatever_its_name_leads_to_next",
        async || {
            let canary = Upstream::start("[::]:80", |_| ok("reached\n")).await;
            // Outside when it is asked first, inside ever after; and the other way round.
            let dns = Dns::start(|question| match (question.name.as_str(), question.before % 2) {
                ("rebinds.test", 0) | ("returns.test", 1) => addresses(&[OPEN]),
                _ => addresses(&["127.0.0.1"]),
            })
            .await;
            let host = start(&[], &["http://rebinds.test", "http://returns.test"], "").await;
            for turn in 0..6 {
                for (name, is_inside) in [("rebinds", turn % 2 == 1), ("returns", turn % 2 == 0)] {
                    let origin = format!("http://{name}.test");
                    let answer = fetch(&host, &origin).await;
                    let expected = if is_inside { "destination-IP-prohibited\n" } else { "reached\n" };
                    println!("{origin} lookup {turn}: {} {}", answer.text().trim(), reason(&host, &answer));
                    assert_eq!(answer.text(), expected, "{origin}: lookup {turn}");
                }
            }
            let seen: Vec<String> = canary.seen().iter().map(|seen| seen.to.to_string()).collect();
            assert_eq!(seen, [OPEN; 6]);
            // One lookup for each connection: no second one could answer otherwise.
            for name in ["rebinds.test", "returns.test"] {
                assert_eq!(dns.asked().get(&(name.to_owned(), A)), Some(&6), "{:?}", dns.asked());
            }
        },
    );
}

#[test]
fn a_name_has_one_form_in_which_it_is_asked_for() {
    alone("outbound::names::a_name_has_one_form_in_which_it_is_asked_for", async || {
        let canary = Upstream::start("[::]:80", |_| ok("reached\n")).await;
        let dns = Dns::start(|_| addresses(&[OPEN])).await;
        let host = start(&[], &["http://API.Example.test:80"], "").await;
        for same in ["http://api.example.test", "http://API.EXAMPLE.TEST:80/", "http://api.example.test:80/x"]
        {
            assert_eq!(fetch(&host, same).await.expect(200).text(), "reached\n", "{same}");
        }
        for other in ["http://api.example.test:8080", "https://api.example.test", "http://example.test"] {
            assert_eq!(fetch(&host, other).await.expect(502).text(), "HTTP-request-denied\n", "{other}");
        }
        assert!(canary.seen().iter().all(|seen| seen.values("host") == ["api.example.test"]));
        let asked: Vec<String> = dns.asked().into_keys().map(|(name, _)| name).collect();
        assert!(asked.iter().all(|name| name == "api.example.test"), "{asked:?}");
    });
}
