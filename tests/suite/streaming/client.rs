//! A caller that takes its time: it sends a body piece by piece, and takes an answer as it comes.
//!
//! Owns one connection of either version of HTTP. Whatever it waits for has to come in time, and it hangs up when it is
//! dropped.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jackfield_tests::{Host, PATIENCE};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The version of HTTP that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// Both versions: what holds for one has to hold for the other.
pub(crate) const BOTH: [Version; 2] = [Version::Http1, Version::Http2];

/// What comes in time, or the test fails.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

type OutgoingBody = UnsyncBoxBody<Bytes, io::Error>;

enum Sender {
    Http1(http1::SendRequest<OutgoingBody>),
    Http2(http2::SendRequest<OutgoingBody>),
}

/// A connection that a caller has made.
pub(crate) struct Caller {
    sender: Sender,
    authority: String,
    line: Line,
}

/// The task that moves a connection's bytes: without it the other end sees it closed.
struct Line(JoinHandle<()>);

impl Drop for Line {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Caller {
    /// Connects; little fits into the connection before it is read from.
    pub(crate) async fn connect(host: &Host, version: Version) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.set_send_buffer_size(64 << 10).unwrap();
        let stream = TokioIo::new(in_time("a connection", socket.connect(host.address())).await.unwrap());
        let (sender, line) = match version {
            Version::Http1 => {
                let (sender, connection) = http1::handshake(stream).await.unwrap();
                (Sender::Http1(sender), tokio::spawn(async { drop(connection.await) }))
            }
            Version::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
                (Sender::Http2(sender), tokio::spawn(async { drop(connection.await) }))
            }
        };
        Self { sender, authority: host.address().to_string(), line: Line(line) }
    }

    /// A GET, until its answer's head.
    pub(crate) async fn get(self, path: &str) -> Arriving {
        self.send("GET", path, &[], Full::default()).await
    }

    /// A POST whose body comes later, piece by piece.
    pub(crate) fn post(self, path: &str) -> (Pieces, impl Future<Output = Arriving>) {
        self.post_with(path, &[])
    }

    /// The same with these header fields. The request is on its way whether its answer is waited for or not.
    pub(crate) fn post_with(
        self,
        path: &str,
        headers: &'static [(&'static str, &'static str)],
    ) -> (Pieces, impl Future<Output = Arriving>) {
        let (pieces, body) = Pieces::new();
        let path = path.to_owned();
        let answer = tokio::spawn(async move { self.send("POST", &path, headers, body).await });
        (pieces, async { answer.await.expect("the answer has a head") })
    }

    /// Any request, until its answer's head.
    pub(crate) async fn send<B>(
        mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: B,
    ) -> Arriving
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let what = format!("the head of the answer to {method} {path}");
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_err(io::Error::other).boxed_unsync();
        let answer = match &mut self.sender {
            Sender::Http1(sender) => {
                let request = request.uri(path).header("host", &self.authority).body(body).unwrap();
                in_time(&what, sender.send_request(request)).await
            }
            Sender::Http2(sender) => {
                let uri = format!("http://{}{path}", self.authority);
                in_time(&what, sender.send_request(request.uri(uri).body(body).unwrap())).await
            }
        };
        let (head, body) = answer.unwrap_or_else(|error| panic!("{what}: {error}")).into_parts();
        Arriving { head, body, got: Vec::new(), trailers: None, _sender: self.sender, _line: self.line }
    }
}

/// A body in the making. Dropped, it is at its end.
pub(crate) struct Pieces(mpsc::Sender<io::Result<Frame<Bytes>>>);

struct PiecesBody(mpsc::Receiver<io::Result<Frame<Bytes>>>);

impl Body for PiecesBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context)
    }
}

impl Pieces {
    /// A body, and what is put into it; one piece waits to be taken at most.
    pub(crate) fn new() -> (Self, impl Body<Data = Bytes, Error = io::Error> + Send + 'static) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), PiecesBody(receiver))
    }

    /// Sends a piece, as soon as the connection takes it; false once it takes no more.
    pub(crate) async fn send(&self, piece: impl Into<Bytes>) -> bool {
        in_time("room for a piece", self.0.send(Ok(Frame::data(piece.into())))).await.is_ok()
    }

    /// The same, for as long as it takes.
    pub(crate) async fn send_patiently(&self, piece: Bytes) -> bool {
        self.0.send(Ok(Frame::data(piece))).await.is_ok()
    }

    /// Ends it with a trailer.
    pub(crate) async fn end_with(self, name: &'static str, value: &'static str) {
        let mut trailers = HeaderMap::new();
        trailers.insert(name, value.parse().unwrap());
        let _ = in_time("room for the trailers", self.0.send(Ok(Frame::trailers(trailers)))).await;
    }

    /// Breaks it off.
    pub(crate) async fn break_off(self) {
        let _ = in_time("room for an end", self.0.send(Err(io::Error::other("the caller gives up")))).await;
    }
}

/// An answer of which the head is there.
pub(crate) struct Arriving {
    pub(crate) head: response::Parts,
    pub(crate) trailers: Option<HeaderMap>,
    body: Incoming,
    got: Vec<u8>,
    _sender: Sender,
    _line: Line,
}

impl Arriving {
    pub(crate) fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn request_id(&self) -> String {
        self.header("x-request-id").expect("every answer has an id").to_owned()
    }

    /// The next piece of the body; none at its end, an error if it breaks off.
    pub(crate) async fn piece(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            let frame = match in_time("a piece of the answer", self.body.frame()).await? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(error)),
            };
            match frame.into_data() {
                Ok(piece) => return Some(Ok(piece)),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
    }

    /// Takes the body until `text` has come, and no further than its piece; everything up to there.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        loop {
            let got = String::from_utf8_lossy(&self.got).into_owned();
            if got.contains(text) {
                return got;
            }
            match self.piece().await {
                Some(Ok(piece)) => self.got.extend_from_slice(&piece),
                Some(Err(error)) => panic!("`{text}` did not come: {error}; only {got:?}"),
                None => panic!("`{text}` did not come, only {got:?}"),
            }
        }
    }

    /// The whole body, with what was taken of it before; an error if it breaks off.
    pub(crate) async fn whole(&mut self) -> Result<Vec<u8>, hyper::Error> {
        while let Some(piece) = self.piece().await {
            self.got.extend_from_slice(&piece?);
        }
        Ok(std::mem::take(&mut self.got))
    }

    /// The whole body as text.
    pub(crate) async fn text(&mut self) -> String {
        String::from_utf8(self.whole().await.expect("the body is whole")).expect("it is text")
    }

    /// Expects the body to break off; how much of it came.
    pub(crate) async fn expect_broken(&mut self, what: &str) -> usize {
        while let Some(piece) = self.piece().await {
            match piece {
                Ok(piece) => self.got.extend_from_slice(&piece),
                Err(_) => return self.got.len(),
            }
        }
        panic!("{what}: a body that broke off was taken for whole: {:?}", String::from_utf8_lossy(&self.got));
    }
}
