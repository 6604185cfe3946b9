//! A request in the making.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::answer::{Answer, Story};
use crate::{Host, PATIENCE};

/// A request, sent on a connection of its own.
#[must_use = "it is sent by `send`"]
pub struct RequestBuilder<'a> {
    host: &'a Host,
    request: http::request::Builder,
    names_host: bool,
    body: Bytes,
    path: String,
}

impl<'a> RequestBuilder<'a> {
    pub(crate) fn new(host: &'a Host, method: &str, path: &str) -> Self {
        let method = Method::from_bytes(method.as_bytes()).expect("a test knows its methods");
        Self {
            host,
            request: Request::builder().method(method).uri(path),
            names_host: false,
            body: Bytes::new(),
            path: path.into(),
        }
    }

    /// Adds a header field. Without one named `host`, the host's address is asked for.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.names_host |= name.eq_ignore_ascii_case("host");
        self.request = self.request.header(name, value.as_ref());
        self
    }

    /// Gives it a body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Gives it a JSON body and the content type for it.
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// Sends it.
    ///
    /// # Panics
    /// If no whole answer comes back in time.
    pub async fn send(self) -> Answer {
        let what = format!("{} {}", self.request.method_ref().expect("it has a method"), self.path);
        let host = self.host;
        self.try_send().await.unwrap_or_else(|error| {
            panic!("{what} got no answer: {error:#}\n── log ──\n{}", host.log_lines().join("\n"))
        })
    }

    /// Sends it; an error if no whole answer comes back in time.
    pub async fn try_send(self) -> anyhow::Result<Answer> {
        let Self { host, mut request, names_host, body, path } = self;
        if !names_host {
            request = request.header("host", host.address().to_string());
        }
        let request = request.body(Full::new(body))?;
        let method = request.method().clone();
        let (head, body) = tokio::time::timeout(PATIENCE, exchange(host.address(), request)).await??;
        let id = head.headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let story = Story { method, path, site: host.site(), log: host.log_lines_of(id) };
        Ok(Answer { status: head.status, headers: head.headers, body, story })
    }
}

async fn exchange(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(http::response::Parts, Bytes)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok((head, body))
}
