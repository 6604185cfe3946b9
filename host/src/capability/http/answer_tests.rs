//! Answers from servers: whole or broken off, in time or late, valid HTTP or not.

use std::collections::VecDeque;
use std::io::{Read, Write};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body::Frame;
use http_body_util::BodyExt;

use super::loopback::*;
use super::*;

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_taken_for_whole() {
    for (answer, read_before) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", "hello"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhello", "hello"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "hello"),
    ] {
        let server = Server::says_and_closes(answer.to_owned());
        let response = send(&server.outbound(), get(&server.origin())).await.unwrap();
        let (text, error) = read(response).await;
        assert_eq!(text, read_before, "{answer}");
        let error = error.unwrap_or_else(|| panic!("whole: {answer}"));
        assert!(
            matches!(error, OutboundError::ConnectionTerminated { .. }) && error.is_upstreams(),
            "{error}"
        );
    }
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-le"] {
        let server = Server::says_and_closes(answer.to_owned());
        let error = send(&server.outbound(), get(&server.origin())).await.unwrap_err();
        assert!(matches!(error, OutboundError::ConnectionTerminated { .. }), "{answer}: {error}");
    }
}

#[tokio::test]
async fn an_answer_without_a_length_ends_with_its_connection() {
    let server = Server::says_and_closes("HTTP/1.1 200 OK\r\n\r\nhello".to_owned());
    let response = send(&server.outbound(), get(&server.origin())).await.unwrap();
    assert_eq!(read(response).await, ("hello".to_owned(), None));
}

#[tokio::test]
async fn what_is_no_answer_is_refused() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        "SSH-2.0-OpenSSH_9.9\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
    ] {
        let server = Server::says_and_closes(answer.to_owned());
        let error = send(&server.outbound(), get(&server.origin())).await.unwrap_err();
        assert!(
            matches!(error, OutboundError::HttpProtocol { .. }) && error.is_upstreams(),
            "{answer}: {error}"
        );
    }
}

#[tokio::test]
async fn the_head_of_an_answer_has_a_most() {
    let fields = |count: usize| "x: 1\r\n".repeat(count);
    let large = |bytes: usize| format!("x: {}\r\n", "a".repeat(bytes));
    for (fields, fits) in
        [(fields(127), true), (fields(128), false), (large(60_000), true), (large(66_000), false)]
    {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n{fields}\r\nhello");
        let server = Server::says_and_closes(answer);
        match send(&server.outbound(), get(&server.origin())).await {
            Ok(response) if fits => assert_eq!(read(response).await.0, "hello"),
            Err(OutboundError::ResponseHeadTooLarge { .. }) if !fits => {}
            other => panic!("{} bytes: {:?}", fields.len(), other.map(|_| "taken")),
        }
    }
}

#[tokio::test]
async fn interim_answers_are_skipped() {
    let server = Server::says(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n\
         HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    );
    let response = send(&server.outbound(), get(&server.origin())).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers().get("link")), (200, None));
    assert_eq!(read(response).await, ("hello".to_owned(), None));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_waited_for_so_long_and_no_longer() {
    let server = Server::start(|_, _| {});
    let timeouts = Timeouts { first_byte: Some(SOON), ..Timeouts::default() };
    let error = server.outbound().send(get(&server.origin()), timeouts, &budget()).await.unwrap_err();
    assert!(matches!(error, OutboundError::ResponseTimeout { .. }), "{error}");
    assert!(error.is_timeout() && error.is_upstreams());

    // If the plugin stops giving a body, the plugin is to blame.
    let request = Request::post(server.origin()).body(streamed(&["123"], Then::Stalls)).unwrap();
    let error = server.outbound().send(request, timeouts, &budget()).await.unwrap_err();
    assert!(matches!(error, OutboundError::RequestBody { .. }), "{error}");
    assert!(!error.is_timeout() && !error.is_upstreams());
}

#[tokio::test]
async fn an_answer_that_pauses_is_waited_for_so_long_and_no_longer() {
    let server = Server::says("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello");
    let timeouts = Timeouts { between_bytes: Some(SOON), ..Timeouts::default() };
    let response = server.outbound().send(get(&server.origin()), timeouts, &budget()).await.unwrap();
    let (text, error) = read(response).await;
    assert_eq!(text, "hello");
    assert!(matches!(error, Some(OutboundError::BetweenBytesTimeout { .. })), "{error:?}");
}

#[tokio::test]
async fn a_plugin_that_pauses_loses_nothing_of_the_answer() {
    let server = Server::says(OK);
    let timeouts = Timeouts { between_bytes: Some(SOON), ..Timeouts::default() };
    let response = server.outbound().send(get(&server.origin()), timeouts, &budget()).await.unwrap();
    tokio::time::sleep(SOON * 2).await;
    assert_eq!(read(response).await, ("hello".to_owned(), None));
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let server = Server::start(|stream, received| {
        let mut piece = [0; 1024];
        while !received.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut piece).unwrap();
            received.extend_from_slice(&piece[..read]);
        }
        assert!(String::from_utf8_lossy(received).ends_with("0\r\nx-sum: 1\r\n\r\n"));
        received.clear();
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-total\r\n\r\n\
                      5\r\nhello\r\n0\r\nx-total: 5\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let sum = HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static("1"))]);
    let frames = VecDeque::from([Frame::data(Bytes::from_static(b"abc")), Frame::trailers(sum)]);
    let body = Frames { frames, then: Then::Ends }.boxed_unsync();
    let request = Request::post(server.origin()).header("trailer", "x-sum").body(body).unwrap();
    let response = send(&server.outbound(), request).await.unwrap();
    let whole = response.into_body().collect().await.unwrap();
    assert_eq!(whole.trailers().unwrap()["x-total"], "5");
    assert_eq!(whole.to_bytes(), "hello");
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_is_whole() {
    let server = Server::says(OK);
    let request = Request::post(server.origin()).body(streamed(&["123"], Then::Stalls)).unwrap();
    let response = send(&server.outbound(), request).await.unwrap();
    assert_eq!(read(response).await, ("hello".to_owned(), None));
}
