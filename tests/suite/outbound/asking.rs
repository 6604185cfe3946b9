//! Plugins that ask other servers: bodies both ways, what a plugin without the grant is told, and how much one call may
//! ask for.

use std::sync::Arc;

use jackfield_tests::Host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};

use super::upstream::{Upstream, ok};
use super::{fetch, guest_at, path, reason, start, start_site};
use crate::streaming::client::{BOTH, Caller, in_time};

const LOOPBACK: &str = "127.0.0.0/8";

/// The path at which the guest does something with `url`.
fn doing(what: &str, url: &str) -> String {
    path(url).replacen("/fetch", what, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_answers_reaches_the_caller_piece_by_piece() {
    let more = Arc::new(Notify::new());
    let wanted = more.clone();
    let upstream = Upstream::scripted(move |mut stream, _| {
        let wanted = wanted.clone();
        async move {
            let head = "HTTP/1.1 201 Created\r\ncontent-type: text/x-pieces\r\n\
                        transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
            stream.write_all(format!("{head}4\r\none\n\r\n").as_bytes()).await?;
            wanted.notified().await;
            stream.write_all(b"4\r\ntwo\n\r\n0\r\n\r\n").await
        }
    })
    .await;
    let host = start(&[LOOPBACK], &[&upstream.origin()], "").await;
    for version in BOTH {
        let mut answer = Caller::connect(&host, version).await.get(&path(&upstream.origin())).await;
        assert_eq!((answer.status(), answer.header("content-type")), (201, Some("text/x-pieces")));
        // The rest is sent when this is here: nobody waits for a whole body.
        answer.until("one\n").await;
        more.notify_one();
        assert_eq!(answer.text().await, "one\ntwo\n", "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_sends_reaches_the_server_piece_by_piece() {
    let (sender, mut arrived) = mpsc::channel(16);
    let upstream = Upstream::scripted(move |mut stream, seen| {
        let sender = sender.clone();
        async move {
            assert_eq!(seen.values("transfer-encoding"), ["chunked"]);
            let (mut body, mut piece) = (String::new(), [0; 1000]);
            while !body.ends_with("\r\n0\r\n\r\n") {
                let got = stream.read(&mut piece).await?;
                let text = String::from_utf8_lossy(&piece[..got]).into_owned();
                body += &text;
                if got == 0 || sender.send(body.clone()).await.is_err() {
                    return Ok(());
                }
            }
            stream.write_all(ok("thanks\n").as_bytes()).await
        }
    })
    .await;
    let host = start(&[LOOPBACK], &[&upstream.origin()], "").await;
    let path = doing("/post-upstream", &upstream.origin());
    for version in BOTH {
        let (pieces, answer) = Caller::connect(&host, version).await.post(&path);
        for text in ["first", "second", "third"] {
            assert!(pieces.send(text).await);
            while !in_time("the server to have it", arrived.recv()).await.unwrap().contains(text) {}
        }
        drop(pieces);
        assert_eq!(answer.await.text().await, "thanks\n", "{version:?}");
        while arrived.try_recv().is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_for_the_next_request_and_not_shared_with_another_plugin() {
    // Answers as many requests a connection as come.
    let upstream = Upstream::scripted(|mut stream, _| async move {
        let answer = ok("again\n").replace("connection: close\r\n", "");
        loop {
            stream.write_all(answer.as_bytes()).await?;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
        }
    })
    .await;
    let origin = upstream.origin();
    let site = guest_at(&[&origin], "")
        .plugin("other", "guest_http.wasm")
        .grants(format!("http = ['{origin}']"))
        .route("/fetch")
        .with("headers = { x-other = '1' }");
    let host = start_site("allow = [\"127.0.0.0/8\"]", &site).await;
    for _ in 0..5 {
        assert_eq!(fetch(&host, &origin).await.expect(200).text(), "again\n");
    }
    assert_eq!(upstream.seen().len(), 1);
    for _ in 0..5 {
        host.request("GET", &path(&origin)).header("x-other", "1").send().await.expect(200);
    }
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_without_the_grant_reaches_nobody() {
    let upstream = Upstream::start("127.0.0.1:0", |_| ok("reached\n")).await;
    let origin = upstream.origin();
    // Neither what its tenant may grant, nor what its neighbour has, is its own.
    let site = guest_at(&[&origin], "")
        .plugin("other", "guest_http.wasm")
        .route("/fetch")
        .with("headers = { x-other = '1' }");
    let host = start_site("allow = [\"127.0.0.0/8\"]", &site).await;
    let answer = host.request("GET", &path(&origin)).header("x-other", "1").send().await;
    assert_eq!(answer.expect(502).text(), "HTTP-request-denied\n");
    let why = reason(&host, &answer);
    assert!(why.contains(&origin) && why.contains("no grant `http`"), "{why}");
    assert_eq!(upstream.seen(), []);
    assert_eq!(fetch(&host, &origin).await.expect(200).text(), "reached\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_its_tenant_may_not_grant_is_refused_with_the_site() {
    let site = guest_at(&["http://10.0.0.1"], "").replacen("http://10.0.0.1", "http://10.0.0.2", 1);
    let told = Host::try_start(&site, Default::default()).await.err().expect("it is refused");
    assert!(told.contains("the tenant `shop` may not grant the origin `http://10.0.0.1`"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_asks_so_many_times_and_no_more() {
    for (instances, reused) in [("fresh", 0.0), ("reused", 2.0)] {
        let upstream = Upstream::start("127.0.0.1:0", |_| ok("12345")).await;
        let more = format!("instances = \"{instances}\"\nlimits = {{ outbound = 3 }}");
        let host = start(&[LOOPBACK], &[&upstream.origin()], &more).await;
        // Each call has its own budget.
        for _ in 0..2 {
            let answer = host.get(&format!("{}&n=5", doing("/fetch-many", &upstream.origin()))).await;
            assert_eq!(
                answer.expect(200).text(),
                "200 5\n200 5\n200 5\n".to_owned() + &"connection-limit-reached\n".repeat(2)
            );
            let why = reason(&host, &answer);
            assert!(why.contains("3 outbound requests") && why.contains("limit `outbound`"), "{why}");
        }
        assert_eq!(upstream.seen().len(), 6);
        // What is not sent is not counted either.
        let denied = host.get(&format!("{}&n=9", doing("/fetch-many", "http://elsewhere.test"))).await;
        assert_eq!(denied.expect(200).text(), "HTTP-request-denied\n".repeat(9));
        assert_eq!(
            host.metric(r#"jackfield_calls_reused_total{tenant="shop",plugin="guest"}"#),
            reused,
            "a request that was answered leaves nothing behind"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_sends_and_receives_so_many_bytes_and_no_more() {
    let body = "x".repeat(1000);
    let upstream = Upstream::start("127.0.0.1:0", move |_| ok(&body)).await;
    let host = start(&[LOOPBACK], &[&upstream.origin()], "limits = { outbound-bytes = \"2500B\" }").await;
    let answer = host.get(&format!("{}&n=4", doing("/fetch-many", &upstream.origin()))).await;
    let outcomes: Vec<String> = answer.expect(200).text().lines().map(str::to_owned).collect();
    assert_eq!(outcomes[..2], ["200 1000", "200 1000"]);
    assert!(outcomes[2..].iter().all(|outcome| !outcome.starts_with("200")), "{outcomes:?}");
    let why = reason(&host, &answer);
    assert!(why.contains("2500 bytes") && why.contains("limit `outbound-bytes`"), "{why}");

    // An answer that had begun is broken off, never taken for whole; a body that is sent is, too.
    let long = "x".repeat(1_000_000);
    let upstream = Upstream::start("127.0.0.1:0", move |_| ok(&long)).await;
    let limits = "limits = { outbound-bytes = \"500KiB\", request-body = \"2MiB\" }";
    let host = start(&[LOOPBACK], &[&upstream.origin()], limits).await;
    for version in BOTH {
        let caller = Caller::connect(&host, version).await;
        let got = caller.get(&path(&upstream.origin())).await.expect_broken("the answer").await;
        assert!(got <= 500 << 10, "{got}");
    }
    let reading = Upstream::scripted(|mut stream, _| async move {
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop)
    })
    .await;
    let host = start(&[LOOPBACK], &[&reading.origin()], limits).await;
    let path = doing("/post-upstream", &reading.origin());
    let posted = host.request("POST", &path).body("y".repeat(1_000_000)).send().await;
    assert_eq!(posted.expect(502).text(), "HTTP-response-body-size\n");
}
