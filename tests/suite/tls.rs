//! TLS: who is shown which certificate, what is spoken inside, and what becomes of clients and of files that are not as
//! they should be.

mod client;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use http::Version;
use jackfield::listen::Address;
use jackfield_tests::{Host, Options, PATIENCE, Process, raw, replace, site_folder, together};
use rustix::process::Signal;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::commands;
use client::{Authority, Client};

/// Two tenants, of which one has a wildcard.
const SITE: &str = r#"
    [tenants.shop]
    hosts = ["shop.test", "*.shop.test"]
    plugins.page = { component = "guest_misbehave.wasm", limits = { response-body = "32MiB", cpu = "10s" } }
    routes = [{ path = "/{*rest}", plugin = "page" }]
    [tenants.blog]
    hosts = ["blog.test"]
    plugins.page = { component = "guest_misbehave.wasm" }
    routes = [{ path = "/{*rest}", plugin = "page" }]
"#;

async fn start(host: String) -> Host {
    Host::start_with(SITE, Options { host, ..Options::default() }).await
}

/// A host with one certificate, for all that the tenants have.
async fn start_simple(authority: &Authority, more: &str) -> Host {
    authority.certify("site", &["shop.test", "*.shop.test", "blog.test"]);
    start(authority.host(&["site"]) + more).await
}

fn closed_by(host: &Host, reason: &str) -> f64 {
    host.metric(&format!("jackfield_connections_closed_total{{reason=\"{reason}\"}}"))
}

fn shaken(host: &Host, result: &str) -> f64 {
    host.metric(&format!("jackfield_tls_handshakes_total{{result=\"{result}\"}}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_spoken_in_the_version_that_client_and_host_agree_on() {
    let authority = Authority::new();
    let host = start_simple(&authority, "").await;
    for versions in [&[&TLS13], &[&TLS12]] {
        for (protocols, version) in [
            (&["h2", "http/1.1"][..], Version::HTTP_2),
            (&["http/1.1", "h2"], Version::HTTP_2),
            (&["h2"], Version::HTTP_2),
            (&["http/1.1"], Version::HTTP_11),
            (&["spdy/1", "http/1.1"], Version::HTTP_11),
            (&[], Version::HTTP_11),
        ] {
            let client = authority.client_of(protocols, versions);
            let connected = client.connect(host.address(), "shop.test").await.unwrap();
            let told = connected.get("https://shop.test/context/1").await.unwrap();
            assert_eq!((told.status.as_u16(), told.version), (200, version), "{protocols:?}: {told:?}");
            assert!(told.text.contains("\nscheme=https\n"), "{}", told.text);
            assert!(told.text.contains("Some(\"127.0.0.1\")"), "{}", told.text);
        }
    }
    assert_eq!(shaken(&host, "full") + shaken(&host, "resumed"), 12.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_agreed_on_http_1_cannot_begin_http_2() {
    let authority = Authority::new();
    let host = start_simple(&authority, "").await;
    let client = authority.client(&["http/1.1"]);
    let mut stream = client.connect(host.address(), "shop.test").await.unwrap().0;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 "), "{}", answer.escape_ascii());

    // Nor does whoever agreed on neither get a connection.
    let refused = authority.client(&["spdy/1"]).connect(host.address(), "shop.test").await;
    let refused = refused.err().expect("there is nothing that both speak").to_string();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    host.wait_until("it is counted", async || closed_by(&host, "handshake") == 1.0).await;
    assert_eq!(shaken(&host, "failed"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_in_tls_that_it_sends_no_more_is_answered() {
    let authority = Authority::new();
    let host = start_simple(&authority, "").await;
    for versions in [&[&TLS13], &[&TLS12]] {
        let client = authority.client_of(&["http/1.1"], versions);
        let mut stream = client.connect(host.address(), "shop.test").await.unwrap().0;
        stream.write_all(b"GET /sleep?ms=200 HTTP/1.1\r\nhost: shop.test\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
        read.expect("it is closed").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("slept\n"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let authority = Authority::new();
    let first = authority.certify("first", &["default.test"]);
    let wild = authority.certify("wild", &["*.shop.test", "127.0.0.1"]);
    let exact = authority.certify("exact", &["shop.test", "API.shop.test"]);
    let host = start(authority.host(&["first", "wild", "exact"])).await;
    let client = authority.client(&[]);
    for (name, expected, which) in [
        ("default.test", &first, "first"),
        ("shop.test", &exact, "exact"),
        ("SHOP.Test", &exact, "exact"),
        ("api.shop.test", &exact, "exact"),
        ("www.shop.test", &wild, "wild"),
        ("a.www.shop.test", &first, "first: `*` is one label"),
        ("other.test", &first, "first: unknown"),
        ("127.0.0.1", &first, "first: an address is no name"),
    ] {
        assert!(client.shown(host.address(), name).await == *expected, "{name}: {which}");
    }
    // Whoever checks what he is shown finds that it is not for him.
    let refused = client.connect(host.address(), "other.test").await.err().expect("it is for another name");
    assert!(refused.to_string().contains("certificate"), "{refused}");
    client.connect(host.address(), "www.shop.test").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_one_tenants_and_another_ones_hosts_are_misdirected_there() {
    let authority = Authority::new();
    let host = start_simple(&authority, "").await;
    for protocols in [&["h2"][..], &["http/1.1"]] {
        let client = authority.client(protocols);
        let mut asking = client.connect(host.address(), "shop.test").await.unwrap().asking().await.unwrap();
        for (url, status) in [
            ("https://shop.test/ok", 200),
            ("https://SHOP.test:8443/ok", 200),
            ("https://www.shop.test/ok", 200),
            ("https://blog.test/ok", 421),
            ("https://unknown.test/ok", 404),
            ("https://shop.test/ok", 200),
        ] {
            let told = asking.get(url).await.unwrap();
            assert_eq!(told.status.as_u16(), status, "{url}: {told:?}");
            assert_eq!(told.text.contains("urn:jackfield:problem:misdirected"), status == 421, "{told:?}");
        }
    }
    let line = host.wait_for_log("its line", |line| line["problem"] == "misdirected").await;
    assert_eq!((&line["status"], &line["blame"]), (&421.into(), &"client".into()), "{line}");

    // A name that is nobody's is no tenant's connection; without a name there is none to hold the host against.
    let mut careless = authority.client(&[]);
    careless.0.enable_sni = false;
    let nameless = careless.connect(host.address(), "shop.test").await;
    assert!(nameless.is_ok(), "the first certificate has the name");
    let told = nameless.unwrap().get("https://blog.test/ok").await.unwrap();
    assert_eq!(told.status, 200, "{told:?}");
    authority.certify("else", &["else.test"]);
    let host = start(authority.host(&["else"])).await;
    let stranger = authority.client(&[]).connect(host.address(), "else.test").await.unwrap();
    assert_eq!(stranger.get("https://shop.test/ok").await.unwrap().status, 421);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_name_of_a_trusted_proxy_is_not_held_against_what_it_asks_for() {
    let authority = Authority::new();
    for (proxy, status) in [
        ("trusted = [\"127.0.0.0/8\"]\nserver-name = \"any\"", 200),
        // The key says nothing of whoever is no proxy, and a proxy is held to its name without it.
        ("trusted = [\"10.0.0.0/8\"]\nserver-name = \"any\"", 421),
        ("trusted = [\"127.0.0.0/8\"]", 421),
        ("trusted = [\"127.0.0.0/8\"]\nserver-name = \"tenant\"", 421),
    ] {
        let host = start_simple(&authority, &format!("[host.proxy]\n{proxy}\n")).await;
        for protocols in [&["h2"][..], &["http/1.1"]] {
            let client = authority.client(protocols);
            let proxy_connection = client.connect(host.address(), "shop.test").await.unwrap();
            let mut asking = proxy_connection.asking().await.unwrap();
            assert_eq!(asking.get("https://shop.test/ok").await.unwrap().status, 200);
            assert_eq!(asking.get("https://blog.test/ok").await.unwrap().status, status, "{proxy}");
        }
    }
}

/// A ClientHello of TLS 1.2 or an older version, with these cipher suites, the curve x25519, and signatures by P-256.
fn hello(version: u8, suites: &[u16]) -> Vec<u8> {
    const EXTENSIONS: &[u8] = &[0, 10, 0, 4, 0, 2, 0, 29, 0, 13, 0, 4, 0, 2, 4, 3, 0, 11, 0, 2, 1, 0];
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let mut body = vec![3, version];
    body.extend([7; 32]);
    body.extend([0, 0, suites.len() as u8]);
    body.extend(suites);
    body.extend([1, 0, 0, EXTENSIONS.len() as u8]);
    body.extend(EXTENSIONS);
    let mut bytes = vec![0x16, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8];
    bytes.extend(body);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_of_tls_and_weak_suites_are_refused() {
    const ECDHE_ECDSA_AES_128_CBC: u16 = 0xc009;
    const ECDHE_ECDSA_AES_128_GCM: u16 = 0xc02b;
    const RSA_AES_128_CBC: u16 = 0x002f;
    const RSA_AES_128_GCM: u16 = 0x009c;
    const HANDSHAKE: u8 = 0x16;
    const ALERT: u8 = 0x15;
    let authority = Authority::new();
    let host = start_simple(&authority, "").await;
    let all = [ECDHE_ECDSA_AES_128_CBC, RSA_AES_128_CBC, RSA_AES_128_GCM, ECDHE_ECDSA_AES_128_GCM];
    for (what, version, suites, expected) in [
        ("SSL 3", 0, &all[..], ALERT),
        ("TLS 1.0", 1, &all, ALERT),
        ("TLS 1.1", 2, &all, ALERT),
        ("TLS 1.2 without ephemeral keys or AEAD", 3, &all[..3], ALERT),
        ("TLS 1.2", 3, &all, HANDSHAKE),
    ] {
        let mut stream = TcpStream::connect(host.address()).await.unwrap();
        stream.write_all(&hello(version, suites)).await.unwrap();
        let mut answer = [0; 7];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer[0], expected, "{what}: {answer:?}");
        let is_fatal = answer[5] == 2;
        assert!(expected != ALERT || is_fatal, "{what}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_resumes_its_session_also_when_the_certificate_was_renewed_since() {
    let authority = Authority::new();
    let host = start_simple(&authority, "").await;
    for versions in [&[&TLS13], &[&TLS12]] {
        let client = authority.client_of(&["h2"], versions);
        let ask = async |name: &str| {
            let connected = client.connect(host.address(), name).await.unwrap();
            let is_resumed = connected.is_resumed();
            let told = connected.get(&format!("https://{name}/ok")).await.unwrap();
            assert_eq!(told.status, 200, "{told:?}");
            is_resumed
        };
        assert!(!ask("shop.test").await);
        assert!(ask("shop.test").await);
        // What was agreed on for one name is not taken for another.
        assert!(!ask("blog.test").await);
        renew(&authority, &host).await;
        assert!(ask("shop.test").await);
    }
    assert_eq!(shaken(&host, "resumed"), 4.0);
}

/// Another certificate in the same files, as soon as it is in use.
async fn renew(authority: &Authority, host: &Host) {
    let renewed = authority.certify("site", &["shop.test", "*.shop.test", "blog.test"]);
    let client = authority.client(&[]);
    host.running().reload();
    host.wait_until("it is in use", async || client.shown(host.address(), "shop.test").await == renewed)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_in_use_without_a_request_that_fails() {
    let authority = Authority::new();
    let host = start_simple(&authority, "").await;
    let client = authority.client(&["h2", "http/1.1"]);
    let mut kept = client.connect(host.address(), "shop.test").await.unwrap().asking().await.unwrap();
    kept.get("https://shop.test/ok").await.unwrap();
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (address, over) = (host.address(), is_over.clone());
    let callers = tokio::spawn(async move {
        let mut answered = 0;
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            let connected = client.connect(address, "shop.test").await.unwrap();
            assert_eq!(connected.get("https://shop.test/ok").await.unwrap().status, 200);
            answered += 1;
        }
        answered
    });
    for _ in 0..3 {
        renew(&authority, &host).await;
    }
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(callers.await.unwrap() > 0);
    let line = host.wait_for_log("its line", |line| line["message"] == "certificate changed").await;
    assert_eq!(line["name"], "shop.test", "{line}");
    assert_eq!(kept.get("https://shop.test/ok").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_cannot_be_used_leaves_the_old_certificate_and_is_told_once() {
    let authority = Authority::new();
    let host = start_simple(&authority, "").await;
    let client = authority.client(&[]);
    let shown = async || client.shown(host.address(), "shop.test").await;
    let before = shown().await;
    let told = || {
        let lines = host.log().into_iter().filter(|line| line["level"] == "error");
        lines.map(|line| line["error"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let looked = async |errors: usize| {
        host.wait_until("it is told", async || {
            host.running().reload();
            told().len() == errors
        })
        .await;
        assert!(shown().await == before);
    };
    replace(&authority.file("site.pem"), b"-----BEGIN CERTIFICATE-----\nhalf");
    looked(1).await;
    // Somebody else's: half of a pair that is on its way.
    let [pem, key] = ["site.pem", "site.key"].map(|file| authority.file(file));
    authority.certify("next", &["shop.test", "blog.test"]);
    std::fs::rename(authority.file("next.pem"), &pem).unwrap();
    looked(2).await;
    std::fs::remove_file(&key).unwrap();
    looked(3).await;
    let told = told();
    for (told, expected) in told.iter().zip(["does not end", "another certificate's", "cannot be read"]) {
        assert!(told.contains(expected), "{told:?}");
    }
    // The other half comes, by a link that is turned.
    symlink(authority.file("next.key"), &key).unwrap();
    let has_changed = |line: &serde_json::Value| line["message"] == "certificate changed";
    host.wait_for_log("without being told to look", has_changed).await;
    assert!(shown().await != before);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_stop_in_their_handshake_are_cut_and_keep_nobody_from_theirs() {
    let authority = Authority::new();
    let host = start_simple(&authority, "[host.timeouts]\nhandshake = \"5s\"").await;
    let client = authority.client(&["h2"]);
    let name = "shop.test".try_into().unwrap();
    let mut begun = Vec::new();
    let mut session = rustls::ClientConnection::new(Arc::new(client.0.clone()), name).unwrap();
    session.write_tls(&mut begun).unwrap();
    let mut stopped = Vec::new();
    for number in 0..120 {
        let mut stream = TcpStream::connect(host.address()).await.unwrap();
        let said = match number % 3 {
            0 => &begun[..0],
            1 => &begun[..100],
            _ => &begun[..],
        };
        stream.write_all(said).await.unwrap();
        stopped.push(stream);
    }
    host.wait_until("all are there", async || host.metric("jackfield_connections") == 120.0).await;
    for _ in 0..5 {
        let connected = client.connect(host.address(), "shop.test").await.unwrap();
        assert_eq!(connected.get("https://shop.test/ok").await.unwrap().status, 200);
    }
    assert_eq!(closed_by(&host, "handshake"), 0.0, "those who stopped are still there");
    host.wait_until("they are cut", async || closed_by(&host, "handshake") == 120.0).await;
    let ends = together(stopped.iter_mut().map(|stream| async {
        let mut rest = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await
    }));
    assert!(ends.await.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stops_does_not_wait_for_handshakes_that_do_not_come() {
    let authority = Authority::new();
    let mut host = start_simple(&authority, "[host.timeouts]\nhandshake = \"5min\"\ngrace = \"5min\"").await;
    let _silent = TcpStream::connect(host.address()).await.unwrap();
    host.wait_until("it is there", async || host.metric("jackfield_connections") == 1.0).await;
    tokio::time::timeout(PATIENCE, host.stop()).await.expect("it stops in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_mistakes_a_port_with_tls_for_one_without_is_told_and_the_other_way_round() {
    let authority = Authority::new();
    authority.certify("site", &["shop.test"]);
    let listen = "listen = [{ address = \"127.0.0.1:0\", tls = true }, \"127.0.0.1:0\"]\n";
    let host = start(listen.to_owned() + &authority.pairs(&["site"])).await;
    let [Address::Tcp(with_tls), Address::Tcp(without)] = host.running().addresses() else {
        panic!("both are TCP");
    };
    let body = "x".repeat(100_000);
    let request = format!("POST / HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 100000\r\n\r\n{body}");
    let answer = raw(*with_tls, request).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("connection: close\r\n") && answer.contains("ask for https"), "{answer}");
    host.wait_until("it is counted", async || closed_by(&host, "handshake") == 1.0).await;

    let refused = authority.client(&["h2"]).connect(*without, "shop.test").await;
    assert!(refused.is_err());
    assert_eq!(raw(*without, "GET /ok HTTP/1.0\r\nhost: shop.test\r\n\r\n").await.get(9..12), Some("200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_speaks_tls_as_well() {
    let authority = Authority::new();
    authority.certify("site", &["shop.test"]);
    let socket = authority.file("socket");
    let listen =
        format!("listen = [\"127.0.0.1:0\", {{ address = \"unix:{}\", tls = true }}]\n", socket.display());
    let _host = start(listen + &authority.pairs(&["site"])).await;
    for protocol in ["h2", "http/1.1"] {
        let stream = UnixStream::connect(&socket).await.unwrap();
        let connected = authority.client(&[protocol]).connect_over(stream, "shop.test").await.unwrap();
        let told = connected.get("https://shop.test/context/1").await.unwrap();
        assert!(told.text.contains("\nscheme=https\n"), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_connection_is_said_and_a_broken_answer_is_not_taken_for_whole() {
    let authority = Authority::new();
    let mut host = start_simple(&authority, "[host.timeouts]\ngrace = \"200ms\"").await;
    let (address, client) = (host.address(), authority.client(&["http/1.1"]));
    let ask = async |request: &str| {
        let mut stream = client.connect(address, "shop.test").await.unwrap().0;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        (answer, read.map_err(|error| error.kind()))
    };
    // Without `close_notify` reading ends with an error.
    let (answer, read) = ask("GET /ok HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", answer.escape_ascii());
    assert!(read.is_ok(), "{read:?}");
    // An answer larger than any buffer comes whole, and its end is said as well.
    let (answer, read) = ask("GET /body?bytes=5000000 HTTP/1.0\r\nhost: shop.test\r\n\r\n").await;
    assert!(answer.len() > 5_000_000 && read.is_ok(), "{} bytes, {read:?}", answer.len());
    // A connection that is cut does not say that it ends.
    let mut cut = client.connect(host.address(), "shop.test").await.unwrap().0;
    cut.write_all(b"GET /sleep?ms=60000 HTTP/1.1\r\nhost: shop.test\r\n\r\n").await.unwrap();
    host.wait_until("it is served", async || host.metric("jackfield_requests_in_flight") == 1.0).await;
    host.stop().await;
    let read = tokio::time::timeout(PATIENCE, cut.read(&mut [0; 10])).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_each_certificate_is_a_metric_and_one_that_is_over_is_told() {
    let authority = Authority::new();
    authority.certify_as("old", &["old.test"], |parameters| {
        parameters.not_after = rcgen::date_time_ymd(2020, 1, 2);
    });
    for name in ["one", "two"] {
        let year = if name == "one" { 2061 } else { 2060 };
        authority.certify_as(name, &["shop.test", "*.shop.test"], |parameters| {
            parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
        });
    }
    let host = start(authority.host(&["one", "two", "old"])).await;
    let ends =
        |name: &str| host.metric(&format!("jackfield_tls_certificate_expiry_seconds{{name=\"{name}\"}}"));
    assert_eq!(ends("old.test"), 1_577_923_200.0);
    // Of two for one name it is the first end that somebody wants to know.
    assert_eq!(ends("shop.test"), 2_840_140_800.0);
    let warned = |line: &serde_json::Value| {
        line["level"] == "warn" && line["message"].as_str().unwrap_or_default().contains("2020-01-02")
    };
    host.wait_for_log("the warning", warned).await;
}

#[test]
fn certificates_that_cannot_be_used_are_all_told_at_their_places() {
    let authority = Authority::new();
    let folder = site_folder("[tenants.shop]\nhosts = [\"*\"]\n");
    let site = std::fs::read_to_string(folder.path().join("site.toml")).unwrap();
    let site =
        site.replace("listen = [\"127.0.0.1:0\"]", "listen = [{ address = \"127.0.0.1:0\", tls = true }]");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let pairs = |pairs: &[(&str, &str)]| -> String {
        let pair = |(certificate, key): &(&str, &str)| {
            format!("[[host.tls]]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n")
        };
        pairs.iter().map(pair).collect()
    };
    authority.certify("site", &["shop.test"]);
    authority.certify("other", &["shop.test"]);
    authority.certify("nameless", &[]);
    authority.certify_as("over", &["shop.test"], |parameters| {
        parameters.not_after = rcgen::date_time_ymd(2020, 1, 2);
    });
    authority.certify_as("early", &["shop.test"], |parameters| {
        parameters.not_before = rcgen::date_time_ymd(2090, 1, 2);
    });
    for name in ["site", "other", "nameless", "over", "early"] {
        for kind in ["pem", "key"] {
            let file = format!("{name}.{kind}");
            std::fs::copy(authority.file(&file), folder.path().join(&file)).unwrap();
        }
    }
    let begin = "-----BEGIN";
    write("empty.pem", "");
    write("half.pem", &format!("{begin} CERTIFICATE-----\nAAAA\n"));
    write("nonsense.pem", &format!("{begin} CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    let encrypted = "ENCRYPTED PRIVATE KEY-----";
    write("encrypted.key", &format!("{begin} {encrypted}\nAAAA\n-----END {encrypted}\n"));
    write("nonsense.key", &format!("{begin} PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"));
    let bad = pairs(&[
        ("site.pem", "site.key"),
        ("none.pem", "none.key"),
        ("empty.pem", "site.key"),
        ("half.pem", "site.key"),
        ("nonsense.pem", "site.key"),
        ("site.key", "site.pem"),
        ("nameless.pem", "nameless.key"),
        ("over.pem", "over.key"),
        ("early.pem", "early.key"),
        ("site.pem", "other.key"),
        ("site.pem", "site.pem"),
        ("site.pem", "empty.pem"),
        ("site.pem", "encrypted.key"),
        ("site.pem", "nonsense.key"),
        ("site.pem", "none.key"),
    ]);
    write("site.toml", &site.replace("[tenants", &format!("{bad}[tenants")));
    commands::expect("check-bad-certificates", folder.path(), &["check", "site.toml"]);
    let doubtful = pairs(&[("over.pem", "over.key"), ("early.pem", "early.key")]);
    write("doubtful.toml", &site.replace("[tenants", &format!("{doubtful}[tenants")));
    commands::expect("check-doubtful-certificates", folder.path(), &["check", "doubtful.toml"]);
    commands::expect(
        "check-doubtful-certificates-json",
        folder.path(),
        &["check", "doubtful.toml", "--json"],
    );
    let one = pairs(&[("site.pem", "other.key")]);
    write("site.toml", &site.replace("[tenants", &format!("{one}[tenants")));
    commands::expect("serve-bad-certificates", folder.path(), &["serve"]);
}

fn connected(client: &Client, address: SocketAddr) -> rustls::pki_types::CertificateDer<'static> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(client.shown(address, "shop.test"))
}

#[test]
fn a_confined_process_takes_a_renewed_certificate_at_sighup() {
    let authority = Authority::new();
    let first = authority.certify("site", &["shop.test"]);
    let folder = site_folder("[tenants.shop]\nhosts = [\"*\"]\n");
    let file = folder.path().join("site.toml");
    let site = std::fs::read_to_string(&file).unwrap();
    let tls = authority.host(&["site"]);
    let site = site.replace("listen = [\"127.0.0.1:0\"]\n", "").replace("[host]\n", "");
    // Its own keys of `[host]` come first.
    let (keys, tenants) = site.split_once("[tenants").unwrap();
    let (listen, pairs) = tls.split_once('\n').unwrap();
    std::fs::write(&file, format!("[host]\n{listen}\n{keys}\n{pairs}\n[tenants{tenants}")).unwrap();
    let process = Process::start(folder.path(), ["serve"]);
    let client = authority.client(&[]);
    let address = process.address();
    assert!(connected(&client, address) == first);
    let renewed = authority.certify("site", &["shop.test"]);
    process.signal(Signal::HUP);
    process.wait_for_line("certificate changed");
    assert!(connected(&client, address) == renewed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_has_the_certificates_of_the_host_and_answers_to_their_names() {
    let authority = Authority::new();
    authority.certify("site", &["shop.test", "*.shop.test"]);
    let admin = "admin = [{ address = \"127.0.0.1:0\", tls = true }]\n";
    let host = start(format!("{admin}{}", authority.host(&["site"]))).await;
    let address = host.admin_over_tcp().address();
    for (protocol, version) in [("h2", Version::HTTP_2), ("http/1.1", Version::HTTP_11)] {
        let client = authority.client(&[protocol]);
        for (asked, status) in
            [("shop.test", 401), ("a.shop.test", 401), ("127.0.0.1", 401), ("other.test", 421)]
        {
            let connected = client.connect(address, "shop.test").await.unwrap();
            let told = connected.get(&format!("https://{asked}/v1/host")).await.unwrap();
            assert_eq!((told.status.as_u16(), told.version), (status, version), "{asked}: {}", told.text);
        }
    }
}
