//! The shared parts of the tests of outbound requests: servers on the loopback that answer with exactly the bytes
//! that a test gives, and requests with bodies of any shape.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};

use super::*;

pub(super) const SOON: Duration = Duration::from_millis(150);

/// A server on the loopback: it keeps every request's head, and gives what came after the head to `answer`.
pub(super) struct Server {
    pub(super) port: u16,
    pub(super) connections: Arc<AtomicUsize>,
    pub(super) heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn start(answer: impl Fn(&mut TcpStream, &mut Vec<u8>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self { port, connections: Arc::default(), heads: Arc::default() };
        let (connections, heads, answer) =
            (server.connections.clone(), server.heads.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (heads, answer) = (heads.clone(), answer.clone());
                std::thread::spawn(move || serve(stream.unwrap(), &heads, &*answer));
            }
        });
        server
    }

    /// A server that answers every request with `answer`.
    pub(super) fn says(answer: &'static str) -> Self {
        Self::start(move |stream, _| stream.write_all(answer.as_bytes()).unwrap())
    }

    /// A server that answers every request with `answer`, and closes the connection.
    pub(super) fn says_and_closes(answer: String) -> Self {
        Self::start(move |stream, _| {
            // The client may have seen enough already.
            let _ = stream.write_all(answer.as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
        })
    }

    pub(super) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn last_head(&self) -> String {
        self.heads.lock().unwrap().last().unwrap().clone()
    }

    pub(super) fn outbound(&self) -> Outbound {
        outbound(&[&self.origin()], &["127.0.0.0/8"], Vec::new())
    }
}

pub(super) fn serve(
    mut stream: TcpStream,
    heads: &Mutex<Vec<String>>,
    answer: &(dyn Fn(&mut TcpStream, &mut Vec<u8>) + Sync),
) {
    let (mut received, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        while let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = received.drain(..end + 4).collect();
            heads.lock().unwrap().push(String::from_utf8(head).unwrap());
            answer(&mut stream, &mut received);
        }
        match stream.read(&mut piece) {
            Ok(read @ 1..) => received.extend_from_slice(&piece[..read]),
            _ => return,
        }
    }
}

pub(super) fn outbound(origins: &[&str], allow: &[&str], credentials: Vec<Credential>) -> Outbound {
    let allow = allow.iter().map(|range| range.parse().unwrap()).collect();
    let client = HttpClient::new(HttpSettings { allow, ..HttpSettings::default() }).unwrap();
    let origins: BTreeSet<Origin> = origins.iter().map(|origin| origin.parse().unwrap()).collect();
    Outbound::new(&client, origins, credentials)
}

pub(super) fn budget() -> Arc<OutboundBudget> {
    Arc::new(OutboundBudget::new(1000, 1 << 20))
}

pub(super) fn get(uri: &str) -> Request<RequestBody> {
    with_body(Request::get(uri), "")
}

pub(super) fn with_body(builder: http::request::Builder, body: &'static str) -> Request<RequestBody> {
    let body = Full::new(Bytes::from_static(body.as_bytes()));
    builder.body(body.map_err(|never: Infallible| match never {}).boxed_unsync()).unwrap()
}

/// A body of these frames, and its behaviour after the last.
pub(super) struct Frames {
    pub(super) frames: VecDeque<Frame<Bytes>>,
    pub(super) then: Then,
}

#[derive(Clone, Copy)]
pub(super) enum Then {
    Ends,
    Fails,
    Stalls,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match (self.frames.pop_front(), self.then) {
            (Some(frame), _) => Poll::Ready(Some(Ok(frame))),
            (None, Then::Ends) => Poll::Ready(None),
            (None, Then::Fails) => Poll::Ready(Some(Err("the guest trapped".into()))),
            (None, Then::Stalls) => Poll::Pending,
        }
    }
}

pub(super) fn streamed(pieces: &[&'static str], then: Then) -> RequestBody {
    let frames = pieces.iter().map(|piece| Frame::data(Bytes::from_static(piece.as_bytes()))).collect();
    Frames { frames, then }.boxed_unsync()
}

pub(super) async fn send(
    outbound: &Outbound,
    request: Request<RequestBody>,
) -> Result<Response<ResponseBody>, OutboundError> {
    outbound.send(request, Timeouts::default(), &budget()).await
}

/// Reads the answer's body, and the error that it broke off with.
pub(super) async fn read(response: Response<ResponseBody>) -> (String, Option<OutboundError>) {
    let (mut body, mut text) = (response.into_body(), String::new());
    loop {
        match body.frame().await {
            None => return (text, None),
            Some(Err(error)) => return (text, Some(error)),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    text.push_str(str::from_utf8(&data).unwrap());
                }
            }
        }
    }
}

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
