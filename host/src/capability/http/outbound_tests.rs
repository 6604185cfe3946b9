//! The outbound requests of plugins: grants, addresses, heads, credentials, budgets, connections.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Request};

use super::loopback::*;
use super::*;

#[tokio::test]
async fn a_granted_origin_answers_and_sees_a_head_in_one_form() {
    let server = Server::says(
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nkeep-alive: timeout=9\r\nx-answer: 1\r\n\r\nhello",
    );
    let request = Request::post(format!("HTTP://127.0.0.1:{}/a%20b?c=d", server.port))
        .version(http::Version::HTTP_2)
        .header("host", "elsewhere.test")
        .header("connection", "x-hop, close")
        .header("x-hop", "1")
        .header("transfer-encoding", "gzip")
        .header("upgrade", "websocket")
        .header("te", "trailers")
        .header("x-kept", "1");
    let response = send(&server.outbound(), with_body(request, "abc")).await.unwrap();
    assert_eq!(response.headers()["x-answer"], "1");
    assert!(!response.headers().contains_key("keep-alive"));
    assert_eq!(read(response).await, ("hello".to_owned(), None));
    let head = server.last_head();
    let mut lines: Vec<_> = head.lines().filter(|line| !line.is_empty()).collect();
    lines[1..].sort();
    let host = format!("host: 127.0.0.1:{}", server.port);
    assert_eq!(lines, ["POST /a%20b?c=d HTTP/1.1", "content-length: 3", &host, "te: trailers", "x-kept: 1"]);
}

#[tokio::test]
async fn an_origin_that_was_not_granted_is_denied_before_anything_is_looked_up_or_counted() {
    let server = Server::says(OK);
    let outbound = server.outbound();
    let budget = Arc::new(OutboundBudget::new(1, 100));
    for uri in [
        // Were it looked up, this name would fail otherwise.
        "http://nobody.invalid/".to_owned(),
        format!("https://127.0.0.1:{}/", server.port),
        format!("http://127.0.0.2:{}/", server.port),
        format!("http://[::ffff:127.0.0.1]:{}/", server.port),
        format!("http://localhost:{}/", server.port),
        "http://127.0.0.1/".to_owned(),
    ] {
        let error = outbound.send(get(&uri), Timeouts::default(), &budget).await.unwrap_err();
        assert!(matches!(error, OutboundError::Denied { .. }), "{uri}: {error}");
        assert!(!error.is_upstreams() && !error.is_timeout());
    }
    for uri in [
        format!("http://user@127.0.0.1:{}/", server.port),
        format!("http://127.1:{}/", server.port),
        format!("http://127.0.0.1.:{}/", server.port),
        "/".to_owned(),
    ] {
        let error = outbound.send(get(&uri), Timeouts::default(), &budget).await.unwrap_err();
        assert!(matches!(error, OutboundError::UriInvalid(_)), "{uri}: {error}");
    }
    assert_eq!(server.connections(), 0);
    assert!(outbound.send(get(&server.origin()), Timeouts::default(), &budget).await.is_ok());
}

#[tokio::test]
async fn an_inner_address_is_refused_in_every_form_until_the_operator_allows_it() {
    let server = Server::says(OK);
    let port = server.port;
    let forms = [
        format!("http://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
        format!("http://[::ffff:127.0.0.1]:{port}"),
        format!("http://[::ffff:7f00:1]:{port}"),
    ];
    for origin in &forms {
        for allow in [&[][..], &["10.0.0.0/8", "::/0"]] {
            let error = send(&outbound(&[origin], allow, Vec::new()), get(origin)).await;
            // Where `localhost` is ::1 too, allowing all of IPv6 allows that, and nobody listens there.
            let refused = matches!(
                error,
                Err(OutboundError::AddressProhibited { .. } | OutboundError::ConnectionRefused { .. })
            );
            assert!(refused, "{origin}: {error:?}");
        }
    }
    assert_eq!(server.connections(), 0);
    for origin in &forms {
        let response = send(&outbound(&[origin], &["127.0.0.0/8"], Vec::new()), get(origin)).await;
        assert_eq!(read(response.unwrap()).await.0, "hello", "{origin}");
    }
}

#[tokio::test]
async fn a_credential_is_set_for_its_origin_alone_and_replaces_what_the_plugin_set() {
    let (server, other) = (Server::says(OK), Server::says(OK));
    let secret = Secret::new(b"Bearer hunter2".to_vec());
    let name = HeaderName::from_static("authorization");
    let credential = Credential::new(server.origin().parse().unwrap(), name, secret.clone()).unwrap();
    let origins = [&*server.origin(), &*other.origin()];
    let outbound = outbound(&origins, &["127.0.0.0/8"], vec![credential]);
    for (server, expected) in [(&server, "authorization: Bearer hunter2"), (&other, "authorization: guess")] {
        let request =
            Request::get(server.origin()).header("authorization", "guess").header("Authorization", "2nd");
        let request = with_body(request, "");
        send(&outbound, request).await.unwrap();
        let head = server.last_head();
        assert!(head.contains(expected), "{head}");
    }
    assert!(!server.last_head().contains("guess") && !server.last_head().contains("2nd"));
    secret.set(b"Bearer fresh".to_vec());
    send(&outbound, get(&server.origin())).await.unwrap();
    assert!(server.last_head().contains("authorization: Bearer fresh"));
    secret.set(b"hunter2\n".to_vec());
    let error = send(&outbound, get(&server.origin())).await.unwrap_err();
    assert!(matches!(error, OutboundError::Credential(_)), "{error}");
    let shown = format!("{outbound:?} {error} {error:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let server = Server::says("HTTP/1.1 302 Found\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n");
    let response = send(&server.outbound(), get(&server.origin())).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (302, &"/there".parse().unwrap())
    );
    assert_eq!(server.heads.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn no_plugin_makes_a_tunnel_or_a_trace() {
    let server = Server::says(OK);
    for method in ["CONNECT", "TRACE"] {
        let request = with_body(Request::builder().method(method).uri(server.origin()), "");
        let error = send(&server.outbound(), request).await.unwrap_err();
        assert!(matches!(error, OutboundError::MethodInvalid { .. }), "{error}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn the_requests_and_the_bytes_of_a_call_are_limited() {
    let server = Server::says(OK);
    let outbound = server.outbound();
    let budget = Arc::new(OutboundBudget::new(2, 12));
    let exchange = async |body| {
        let request = with_body(Request::post(server.origin()), body);
        let response = outbound.send(request, Timeouts::default(), &budget).await?;
        Ok(read(response).await)
    };
    assert_eq!(exchange("123").await, Ok(("hello".to_owned(), None)));
    // Four bytes are left: the request's body fits, and the answer's does not.
    let (text, error) = exchange("1").await.unwrap();
    assert_eq!((&*text, error), ("", Some(OutboundError::TooManyBytes { limit: 12 })));
    assert_eq!(exchange("").await, Err(OutboundError::TooManyRequests { limit: 2 }));
}

#[tokio::test]
async fn a_request_whose_body_is_over_the_calls_bytes_fails() {
    let server = Server::start(|_, _| {});
    let budget = Arc::new(OutboundBudget::new(1, 5));
    let request = Request::post(server.origin()).body(streamed(&["123", "456"], Then::Ends)).unwrap();
    let error = server.outbound().send(request, Timeouts::default(), &budget).await.unwrap_err();
    assert_eq!(error, OutboundError::TooManyBytes { limit: 5 });
    assert!(!error.is_upstreams());
}

#[tokio::test]
async fn a_body_that_the_plugin_does_not_finish_as_stated_fails_its_request() {
    let server = Server::start(|_, _| {});
    for (length, pieces, then, says) in [
        (None, &["123"][..], Then::Fails, "the guest trapped"),
        (Some("4"), &["123"], Then::Ends, "shorter than was stated"),
        (Some("4"), &[], Then::Ends, "shorter than was stated"),
        (Some("4"), &["123", "45"], Then::Stalls, "longer than was stated"),
        (Some("+4"), &["1234"], Then::Ends, "a content-length that is no number"),
        (Some("4, 4"), &["1234"], Then::Ends, "a content-length that is no number"),
        (Some("99999999999999999999"), &["1"], Then::Ends, "a content-length that is no number"),
    ] {
        let mut request = Request::post(server.origin()).body(streamed(pieces, then)).unwrap();
        request.headers_mut().extend(length.map(|length| (CONTENT_LENGTH, HeaderValue::from_static(length))));
        let error = send(&server.outbound(), request).await.unwrap_err();
        assert!(error.to_string().contains(says) && !error.is_upstreams(), "{says}: {error}");
    }
    let mut request = get(&server.origin());
    for length in ["0", "5"] {
        request.headers_mut().append(CONTENT_LENGTH, HeaderValue::from_static(length));
    }
    let error = send(&server.outbound(), request).await.unwrap_err();
    assert!(matches!(error, OutboundError::HeadInvalid { .. }), "{error}");
}

#[tokio::test]
async fn a_connection_that_nobody_takes_is_refused_or_given_up() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let origin = format!("http://{closed}");
    let error = send(&outbound(&[&origin], &["127.0.0.0/8"], Vec::new()), get(&origin)).await.unwrap_err();
    assert!(matches!(error, OutboundError::ConnectionRefused { .. }) && error.is_upstreams(), "{error}");

    // A queue of one, which is full: what comes after it is not answered at all.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = tokio::time::timeout(SOON, tokio::net::TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
        assert!(queued.len() < 100, "the queue has no end");
    }
    let origin = format!("http://{address}");
    let timeouts = Timeouts { connect: Some(SOON), ..Timeouts::default() };
    let outbound = outbound(&[&origin], &["127.0.0.0/8"], Vec::new());
    let error = outbound.send(get(&origin), timeouts, &budget()).await.unwrap_err();
    assert!(matches!(error, OutboundError::ConnectionTimeout { .. }), "{error}");
    assert!(error.is_timeout() && error.is_upstreams());
}

#[tokio::test]
async fn connections_are_kept_for_a_plugin_and_never_shared_with_another() {
    let server = Server::says(OK);
    let (one, other) = (server.outbound(), server.outbound());
    for (outbound, connections) in [(&one, 1), (&one, 1), (&other, 2), (&one.clone(), 2), (&other, 2)] {
        assert_eq!(read(send(outbound, get(&server.origin())).await.unwrap()).await.0, "hello");
        // The client's own tasks take the connection back: all it needs has been read.
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn what_changes_nothing_is_asked_again_when_its_connection_was_closed_meanwhile() {
    // Each connection serves one request, says nothing of closing, and closes at the next.
    let server = Server::start(|stream, _| {
        stream.write_all(OK.as_bytes()).unwrap();
        let _ = stream.read(&mut [0; 1]);
        let _ = stream.shutdown(Shutdown::Both);
    });
    let outbound = server.outbound();
    for connections in 1..=4 {
        assert_eq!(read(send(&outbound, get(&server.origin())).await.unwrap()).await.0, "hello");
        assert_eq!(server.connections(), connections);
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
    }
    // A request that may have had an effect is not repeated.
    let post = with_body(Request::post(server.origin()), "x");
    assert!(send(&outbound, post).await.is_err());
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn connections_in_use_have_a_most_and_come_back() {
    let server = Server::says("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello");
    let outbound = server.outbound();
    let timeouts = Timeouts { connect: Some(SOON), ..Timeouts::default() };
    let (budget, mut open) = (budget(), Vec::new());
    let limited = loop {
        match outbound.send(get(&server.origin()), timeouts, &budget).await {
            Ok(response) => open.push(response),
            Err(error) => break error,
        }
        assert!(open.len() <= 256, "there is no limit");
    };
    // The connections that may be busy, and those that may be idle for one origin.
    assert_eq!(open.len(), 64 + 8);
    assert!(matches!(limited, OutboundError::ConnectionTimeout { .. }), "{limited}");
    open.pop();
    let again = Timeouts::default();
    assert!(outbound.send(get(&server.origin()), again, &budget).await.is_ok());
}

#[tokio::test]
async fn all_plugins_together_have_a_most_of_connections_and_one_has_half_of_it() {
    let server = Server::says("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello");
    let allow = vec!["127.0.0.0/8".parse().unwrap()];
    let settings = HttpSettings { allow, connections: Some(6), ..HttpSettings::default() };
    let client = HttpClient::new(settings).unwrap();
    let plugins =
        [(); 3].map(|()| Outbound::new(&client, [server.origin().parse().unwrap()].into(), Vec::new()));
    let timeouts = Timeouts { connect: Some(SOON), ..Timeouts::default() };
    let (budget, mut open) = (budget(), Vec::new());
    for (plugin, most) in plugins.iter().zip([3, 3, 0]) {
        for _ in 0..most {
            open.push(plugin.send(get(&server.origin()), timeouts, &budget).await.unwrap());
        }
        let limited = plugin.send(get(&server.origin()), timeouts, &budget).await.unwrap_err();
        assert!(matches!(limited, OutboundError::ConnectionTimeout { .. }), "{limited}");
    }
    open.pop();
    let again = plugins[2].send(get(&server.origin()), Timeouts::default(), &budget).await;
    assert!(again.is_ok(), "what one has left another may have");
}

#[tokio::test]
async fn a_request_that_is_dropped_ends_its_connection() {
    let (tell, told) = std::sync::mpsc::channel();
    let server = Server::start(move |stream, _| {
        tell.send("asked").unwrap();
        assert!(matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_)));
        tell.send("gone").unwrap();
    });
    let outbound = server.outbound();
    let request = tokio::spawn(outbound.send(get(&server.origin()), Timeouts::default(), &budget()));
    let told = tokio::task::spawn_blocking(move || {
        assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok("asked"));
        told
    });
    let told = told.await.unwrap();
    request.abort();
    let gone = tokio::task::spawn_blocking(move || told.recv_timeout(Duration::from_secs(10)));
    assert_eq!(gone.await.unwrap(), Ok("gone"));
}
