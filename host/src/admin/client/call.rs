//! One call: a request on a connection of its own, and the whole answer within its time.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, IF_MATCH, RETRY_AFTER};
use http::response::Parts;
use http::{Method, Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::address::HostAddress;
use super::connect::{connect, tls};
use super::problem::{ClientError, Problem};
use super::token::Token;

/// The longest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// The time to connect, with the name, TCP and TLS together.
const CONNECT: Duration = Duration::from_secs(10);

const JSON: &str = "application/json";

/// A host, as one client sees it.
#[derive(Clone)]
pub struct Client {
    address: HostAddress,
    token: Option<Token>,
    tls: TlsConnector,
}

/// The whole answer to a call that was not refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status: one of 200 to 299.
    pub status: StatusCode,
    /// The version of the thing, for a condition.
    pub etag: Option<String>,
    /// The body; null if there is none.
    pub json: Value,
    address: String,
}

/// A request without its address.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: &'a str,
    pub(super) body: CallBody,
    pub(super) if_match: Option<&'a str>,
    /// The time for the whole call.
    pub(super) patience: Duration,
}

pub(super) enum CallBody {
    Nothing,
    Json(Value),
    /// A component.
    Wasm(UnsyncBoxBody<Bytes, io::Error>),
}

/// The head of an answer whose body is still to come.
pub(super) struct Opened {
    pub(super) head: Parts,
    pub(super) body: Incoming,
    /// Reads and writes the connection.
    pub(super) connection: AbortOnDropHandle<()>,
}

impl Client {
    /// A client of the host at this address. Nothing is connected yet. A Unix socket takes no token.
    ///
    /// # Errors
    /// If the token would cross a network in plain text.
    pub fn new(
        address: HostAddress,
        token: Option<Token>,
        authorities: RootCertStore,
    ) -> Result<Self, ClientError> {
        if token.is_some() {
            address.check_token()?;
        }
        let token = token.filter(|_| !matches!(address, HostAddress::Unix(_)));
        Ok(Self { address, token, tls: tls(authorities).map_err(ClientError::Tls)? })
    }

    /// The host's address.
    pub fn address(&self) -> &HostAddress {
        &self.address
    }

    /// Makes a call, and gives its answer.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Answer, ClientError> {
        let patience = call.patience;
        let answered = timeout(patience, async {
            let mut request = self.request(call.method, call.path).header(ACCEPT, JSON);
            if let Some(etag) = call.if_match {
                request = request.header(IF_MATCH, etag);
            }
            let body = match call.body {
                CallBody::Nothing => Empty::new().map_err(never).boxed_unsync(),
                CallBody::Json(json) => {
                    request = request.header(CONTENT_TYPE, JSON);
                    Full::new(Bytes::from(json.to_string())).map_err(never).boxed_unsync()
                }
                CallBody::Wasm(body) => {
                    request = request.header(CONTENT_TYPE, "application/wasm");
                    body
                }
            };
            let request = request.body(body).map_err(|error| self.strange(error))?;
            self.answer(self.open(request).await?).await
        });
        answered.await.unwrap_or_else(|_| Err(self.late(patience)))
    }

    /// The head of a request.
    pub(super) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(path).header(HOST, self.address.authority());
        match self.token.as_ref().and_then(Token::authorization) {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }

    /// Connects and sends a request, up to the head of the answer.
    pub(super) async fn open(
        &self,
        request: Request<UnsyncBoxBody<Bytes, io::Error>>,
    ) -> Result<Opened, ClientError> {
        let connected = timeout(CONNECT, connect(&self.address, &self.tls)).await;
        let failed = |source| ClientError::Connect { address: self.address.to_string(), source };
        let stream = connected.map_err(|_| self.late(CONNECT))?.map_err(failed)?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.broken(error))?;
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            // Its error is that of the request.
            let _ = connection.await;
        }));
        let answer = sender.send_request(request).await.map_err(|error| self.broken(error))?;
        let (head, body) = answer.into_parts();
        Ok(Opened { head, body, connection })
    }

    /// Reads the whole answer.
    pub(super) async fn answer(&self, opened: Opened) -> Result<Answer, ClientError> {
        let Opened { head, body, connection } = opened;
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                self.strange("the answer has more than 16MiB")
            } else {
                self.broken(error)
            }
        })?;
        drop(connection);
        let bytes = body.to_bytes();
        let field = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let json: Value = match serde_json::from_slice(&bytes) {
            Ok(json) => json,
            Err(_) if bytes.is_empty() => Value::Null,
            Err(_) => return Err(self.strange(format_args!("the body of {} is not JSON", head.status))),
        };
        if head.status.is_success() {
            let etag = field(ETAG).map(str::to_owned);
            return Ok(Answer { status: head.status, etag, json, address: self.address.to_string() });
        }
        let retry_after = field(RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
        match Problem::parse(head.status.as_u16(), retry_after, json) {
            Some(problem) => Err(ClientError::Problem(Box::new(problem))),
            None => Err(self.strange(format_args!("it is {}, without a reason", head.status))),
        }
    }

    pub(super) fn late(&self, time: Duration) -> ClientError {
        ClientError::Late { address: self.address.to_string(), time }
    }

    pub(super) fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Broken { address: self.address.to_string(), source: source.into() }
    }

    pub(super) fn strange(&self, why: impl ToString) -> ClientError {
        ClientError::Strange { address: self.address.to_string(), why: why.to_string() }
    }
}

impl Answer {
    /// The body as a value of this kind.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        T::deserialize(&self.json).map_err(|error| ClientError::Strange {
            address: self.address.clone(),
            why: format!("the answer has another form: {error}"),
        })
    }
}

fn never(never: std::convert::Infallible) -> io::Error {
    match never {}
}
