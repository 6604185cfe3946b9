//! Who is asking: what a plugin is told of its caller cannot be made up, but by proxies that the operator trusts.

use std::net::SocketAddr;

use jackfield_tests::{Host, Options, PATIENCE, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TRUSTED: &str = "[host.proxy]\ntrusted = [\"127.0.0.0/8\", \"10.0.0.0/8\"]";

/// Made up: nobody who is to be believed has this address.
const LIES: &str = "x-forwarded-for: 198.51.100.1\r\nforwarded: for=198.51.100.2;proto=https\r\n\
    x-forwarded-proto: https\r\nx-forwarded-host: other.example\r\nx-real-ip: 198.51.100.3\r\n";

async fn start(host: &str) -> Host {
    let site = Site::shop().plugin("guest", "guest_misbehave.wasm").route("/{*rest}");
    Host::start_with(&site, Options { host: host.into(), ..Options::default() }).await
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n{fields}connection: close\r\n\r\n")
}

/// The header of the PROXY protocol that a proxy sends for a connection from `client`.
fn passed_on(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let SocketAddr::V4(client) = client else { panic!("one of IPv4") };
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend(client.ip().octets());
    header.extend([127, 0, 0, 1]);
    header.extend(client.port().to_be_bytes());
    header.extend(80_u16.to_be_bytes());
    header
}

/// What comes until the host closes the connection, however it does.
async fn until_closed(host: &Host, sent: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(host.address()).await.unwrap();
    // The host may have closed before it was sent everything, and a reset is an end as well.
    let _ = stream.write_all(sent).await;
    let mut answer = Vec::new();
    let _ =
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the host closes it");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_of_itself_is_replaced_by_the_truth() {
    let host = start("").await;
    let context = host.raw(get("/context", LIES)).await;
    assert!(context.contains("client-address=Some(\"127.0.0.1\")\nscheme=http\n"), "{context}");
    for fields in [LIES, ""] {
        let echo = host.raw(get("/echo", fields)).await;
        let told: Vec<_> =
            echo.lines().filter(|line| line.contains("forwarded") || line.contains("real-ip")).collect();
        let truth = ["header x-forwarded-for: 127.0.0.1", "header x-forwarded-proto: http"];
        assert_eq!(told.len(), 2, "{echo}");
        assert!(truth.iter().all(|line| told.contains(line)), "{echo}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_is_believed_as_far_as_its_own_word_goes() {
    let host = start(TRUSTED).await;
    let fields = "x-forwarded-for: 198.51.100.1, 192.0.2.7, 10.1.2.3\r\nx-forwarded-proto: https\r\n\
        forwarded: for=198.51.100.2\r\n";
    let context = host.raw(get("/context", fields)).await;
    assert!(context.contains("client-address=Some(\"192.0.2.7\")\nscheme=https\n"), "{context}");
    let echo = host.raw(get("/echo", fields)).await;
    assert!(echo.contains("header x-forwarded-for: 192.0.2.7\n"), "{echo}");
    assert!(
        echo.contains("header x-forwarded-proto: https\n") && !echo.contains("header forwarded"),
        "{echo}"
    );
    let id = echo.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    assert_eq!(host.access_line(id).await["client"], "192.0.2.7");

    let host = start(&format!("{TRUSTED}\nfields = \"forwarded\"")).await;
    let fields = "forwarded: for=198.51.100.1, for=\"192.0.2.7:4711\";proto=https\r\nx-forwarded-for: 198.51.100.2\r\n";
    let context = host.raw(get("/context", fields)).await;
    assert!(context.contains("client-address=Some(\"192.0.2.7\")\nscheme=https\n"), "{context}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_whose_a_trusted_proxy_says_it_is() {
    let listen = "listen = [{ address = \"127.0.0.1:0\", proxy-protocol = true }]";
    let host = start(&format!("{listen}\n{TRUSTED}")).await;
    let mut sent = passed_on("192.0.2.7:4711");
    // What the client itself says is no proxy's word.
    sent.extend(get("/context", LIES).into_bytes());
    let context = host.raw(&sent).await;
    assert!(context.contains("client-address=Some(\"192.0.2.7\")\nscheme=http\n"), "{context}");

    // Byte by byte is as good as at once.
    let mut stream = TcpStream::connect(host.address()).await.unwrap();
    for byte in &sent {
        stream.write_all(std::slice::from_ref(byte)).await.unwrap();
    }
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.contains("client-address=Some(\"192.0.2.7\")"), "{answer}");

    // The proxy asks for itself.
    let mut own = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00".to_vec();
    own.extend(get("/context", "").into_bytes());
    assert!(host.raw(&own).await.contains("client-address=Some(\"127.0.0.1\")"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_does_not_say_whose_it_is_is_closed() {
    let listen = "listen = [{ address = \"127.0.0.1:0\", proxy-protocol = true }]";
    let host = start(&format!("{listen}\n{TRUSTED}\n[host.timeouts]\nhandshake = \"300ms\"")).await;
    let whole = passed_on("192.0.2.7:4711");
    let closed = r#"jackfield_connections_closed_total{reason="handshake"}"#;
    let not_headers: [&[u8]; 5] = [
        get("/ok", "").leak().as_bytes(),
        b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n",
        // Half a header, and then nothing.
        &whole[..10],
        &whole[..20],
        b"",
    ];
    for (count, sent) in (1..).zip(not_headers) {
        assert_eq!(until_closed(&host, sent).await, b"", "{}", sent.escape_ascii());
        host.wait_until("it is counted", async || host.metric(closed) == f64::from(count)).await;
    }

    let other = start(&format!("{listen}\n[host.proxy]\ntrusted = [\"10.0.0.0/8\"]")).await;
    let answer = until_closed(&other, &[&whole, get("/ok", "").as_bytes()].concat()).await;
    assert!(answer.is_empty(), "who is not trusted is not believed");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_has_so_many_connections_and_others_theirs() {
    let listen =
        "listen = [{ address = \"127.0.0.1:0\", proxy-protocol = true }]\nconnections-per-client = 2";
    let host = start(&format!("{listen}\n{TRUSTED}")).await;
    let open = async |client: &str| {
        let mut stream = TcpStream::connect(host.address()).await.unwrap();
        let request = [passed_on(client), b"GET /ok HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()].concat();
        stream.write_all(&request).await.unwrap();
        let mut answer = [0; 12];
        let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap();
        read.is_ok_and(|_| &answer == b"HTTP/1.1 200").then_some(stream)
    };
    let first = open("192.0.2.7:1").await;
    let second = open("192.0.2.7:2").await;
    assert!(first.is_some() && second.is_some());
    assert!(open("192.0.2.7:3").await.is_none(), "a third is closed");
    assert!(open("192.0.2.8:1").await.is_some(), "another client's is not");
    assert_eq!(host.metric(r#"jackfield_connections_closed_total{reason="too-many"}"#), 1.0);
    drop(first);
    host.wait_until("its place is free again", async || open("192.0.2.7:4").await.is_some()).await;
    drop(second);
}
