//! Servers that fail a plugin, plugins that only say so, and callers who leave: what each of them is told, and who is
//! to blame.

use std::io;
use std::sync::Arc;

use jackfield_tests::{PATIENCE, together};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

use super::upstream::{Upstream, ok};
use super::{fetch, path, reason, start, told};
use crate::streaming::client::{BOTH, Caller, in_time};

const LOOPBACK: &str = "127.0.0.0/8";
const REQUESTS: &str = r#"jackfield_requests_total{tenant="shop",plugin="guest",status="#;
const UPSTREAM_CALLS: &str =
    r#"jackfield_calls_total{tenant="shop",plugin="guest",plug="handler",outcome="upstream"}"#;

/// What a server does with a request instead of answering it.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Closes,
    Resets,
    IsSilent,
    SpeaksAnotherLanguage,
    SendsHalfAHead,
    SendsAnEndlessHead,
    SwitchesProtocols,
}

impl Fault {
    async fn befalls(self, mut stream: TcpStream) -> io::Result<()> {
        match self {
            Self::Closes => {}
            Self::Resets => stream.set_zero_linger()?,
            Self::IsSilent => std::future::pending().await,
            Self::SpeaksAnotherLanguage => stream.write_all(b"220 mail.test ESMTP\r\n").await?,
            Self::SendsHalfAHead => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").await?,
            Self::SendsAnEndlessHead => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
                for number in 0..200_000 {
                    stream.write_all(format!("x-{number}: {number}\r\n").as_bytes()).await?;
                }
            }
            Self::SwitchesProtocols => {
                let head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
                stream.write_all(head).await?;
            }
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_the_plugin_is_to_blame_for_the_502_or_504() {
    let faults = [
        (Fault::Closes, 502, "connection-terminated"),
        (Fault::Resets, 502, "connection-terminated"),
        (Fault::IsSilent, 504, "HTTP-response-timeout"),
        (Fault::SpeaksAnotherLanguage, 502, "HTTP-protocol-error"),
        (Fault::SendsHalfAHead, 502, "connection-terminated"),
        (Fault::SendsAnEndlessHead, 502, "HTTP-response-header-section-size"),
        (Fault::SwitchesProtocols, 502, "HTTP-protocol-error"),
    ];
    let mut upstreams = Vec::new();
    for (fault, ..) in faults {
        upstreams.push(Upstream::scripted(move |stream, _| fault.befalls(stream)).await);
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut cases: Vec<(String, String, u16, &str)> =
        vec![("nobody listens".into(), format!("http://{nobody}"), 502, "connection-refused")];
    for (upstream, (fault, status, code)) in upstreams.iter().zip(faults) {
        cases.push((format!("{fault:?}"), upstream.origin(), status, code));
    }
    let origins: Vec<&str> = cases.iter().map(|(_, origin, ..)| origin.as_str()).collect();
    let host = start(&[LOOPBACK], &origins, "").await;
    for (what, origin, status, code) in &cases {
        // The plugin is told what it was, and may make of it what it likes.
        let path = format!("{}&first-byte-ms=300", path(origin));
        let handled = host.get(&path).await;
        assert_eq!(handled.expect(502).text(), format!("{code}\n"), "{what}");
        let (line, why) = (host.access_line(handled.request_id()).await, reason(&host, &handled));
        println!("{what:<24} {code:<36} {status} ({why})");
        assert!(why.contains(origin), "{what}: {why}");
        assert_eq!((line.get("problem"), line.get("blame")), (None, None), "{line}");

        let failed = host.get(&format!("{path}&or-fail")).await;
        failed.expect_problem(*status, "upstream");
        assert!(!failed.text().contains("127.0.0.1"), "the caller is told where it was: {failed}");
        assert_eq!(told(&host, &failed).await, ("upstream".into(), "upstream".into()), "{what}");
    }
    assert_eq!(host.metric(UPSTREAM_CALLS), 8.0);
    assert_eq!(host.metric(&format!(r#"{REQUESTS}"502",blame="upstream"}}"#)), 7.0);
    assert_eq!(host.metric(&format!(r#"{REQUESTS}"504",blame="upstream"}}"#)), 1.0);
    assert_eq!(host.metric(&format!(r#"{REQUESTS}"502",blame="none"}}"#)), 8.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_only_says_that_a_server_failed_is_to_blame_itself() {
    let upstream = Upstream::start("127.0.0.1:0", |_| ok("reached\n")).await;
    let host = start(&[LOOPBACK], &[&upstream.origin()], "").await;
    let denied = format!("{}&or-fail", path("http://10.0.0.1"));
    for path in ["/error-code?name=connection-refused", "/error-code?name=HTTP-response-timeout", &denied] {
        let answer = host.get(path).await;
        answer.expect_problem(500, "plugin-failed");
        assert_eq!(told(&host, &answer).await, ("plugin-failed".into(), "plugin".into()), "{path}");
    }
    assert_eq!(host.metric(UPSTREAM_CALLS), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_server_fails_after_its_head_is_broken_off_for_the_caller_too() {
    // What begins, and what comes of it once the caller has the first piece; where nothing does, the connection stays.
    let begun: [(&str, Option<&str>); 5] = [
        ("content-length: 100\r\n\r\nhalf of it\n", Some("")),
        ("transfer-encoding: chunked\r\n\r\nb\r\nhalf of it\n\r\n", Some("")),
        ("transfer-encoding: chunked\r\n\r\nb\r\nhalf of it\n\r\n", Some("nonsense\r\n")),
        ("content-length: 100\r\n\r\nhalf of it\n", None),
        ("transfer-encoding: chunked\r\n\r\nb\r\nhalf of it\n\r\n", None),
    ];
    for (begins, goes_on) in begun {
        let has_piece = Arc::new(Notify::new());
        let go_on = has_piece.clone();
        let upstream = Upstream::scripted(move |mut stream, _| {
            let go_on = go_on.clone();
            async move {
                stream.write_all(format!("HTTP/1.1 200 OK\r\n{begins}").as_bytes()).await?;
                match goes_on {
                    None => std::future::pending().await,
                    Some(text) => {
                        go_on.notified().await;
                        stream.write_all(text.as_bytes()).await
                    }
                }
            }
        })
        .await;
        let host = start(&[LOOPBACK], &[&upstream.origin()], "").await;
        for version in BOTH {
            let path = format!("{}&between-bytes-ms=1000", path(&upstream.origin()));
            let mut answer = Caller::connect(&host, version).await.get(&path).await;
            assert_eq!(answer.status(), 200);
            let id = answer.request_id();
            answer.until("half of it\n").await;
            if goes_on.is_some() {
                has_piece.notify_one();
            }
            answer.expect_broken(&format!("{version:?} {begins:?} {goes_on:?}")).await;
            let line = host.access_line(&id).await;
            println!("{begins:?} {goes_on:?}: {} {}", line["problem"], line["blame"]);
            assert!(line["problem"].is_string(), "{line}");
            let said = host.log_of(&id);
            assert!(
                said.iter().any(|line| line["message"] == "a host call of the plugin failed"),
                "{said:#?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_sees_its_connection_end_when_the_caller_has_left() {
    let (sender, mut ended) = mpsc::channel(4);
    let upstream = Upstream::scripted(move |mut stream, _| {
        let sender = sender.clone();
        async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\none\n\r\n").await?;
            let end = stream.read(&mut [0; 100]).await;
            let _ = sender.send(end.map_err(|error| error.kind())).await;
            Ok(())
        }
    })
    .await;
    let host = start(&[LOOPBACK], &[&upstream.origin()], "").await;
    for version in BOTH {
        let mut answer = Caller::connect(&host, version).await.get(&path(&upstream.origin())).await;
        answer.until("one\n").await;
        drop(answer);
        let end = in_time("the server's connection to end", ended.recv()).await.unwrap();
        assert!(matches!(end, Ok(0) | Err(io::ErrorKind::ConnectionReset)), "{version:?}: {end:?}");
        let in_flight = r#"jackfield_calls_in_flight{tenant="shop",plugin="guest"}"#;
        host.wait_until("the guest was stopped", async || host.metric(in_flight) == 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_over_its_wall_ends_its_requests_too() {
    let (sender, mut ended) = mpsc::channel(4);
    let upstream = Upstream::scripted(move |mut stream, _| {
        let sender = sender.clone();
        async move {
            let end = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 100])).await;
            let _ = sender.send(matches!(end, Ok(Ok(0) | Err(_)))).await;
            Ok(())
        }
    })
    .await;
    let host = start(&[LOOPBACK], &[&upstream.origin()], "limits = { wall = \"300ms\" }").await;
    let answer = fetch(&host, &upstream.origin()).await;
    answer.expect_problem(504, "wall");
    assert_eq!(told(&host, &answer).await, ("wall".into(), "plugin".into()));
    assert!(in_time("the server's connection to end", ended.recv()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_holds_up_nobody_who_asks_another() {
    let silent = Upstream::scripted(|stream, _| async move {
        let _stream = stream;
        std::future::pending().await
    })
    .await;
    let good = Upstream::start("127.0.0.1:0", |_| ok("reached\n")).await;
    let host = start(&[LOOPBACK], &[&silent.origin(), &good.origin()], "").await;
    let waiting = together((0..16).map(|_| async {
        let answer = host.get(&format!("{}&first-byte-ms=2000", path(&silent.origin()))).await;
        assert_eq!(answer.expect(502).text(), "HTTP-response-timeout\n");
    }));
    let asking = async {
        host.wait_until("all of them wait", async || silent.seen().len() == 16).await;
        for _ in 0..10 {
            assert_eq!(fetch(&host, &good.origin()).await.expect(200).text(), "reached\n");
        }
    };
    tokio::join!(waiting, asking);
}
