//! TLS: from a connection's first bytes to the stream inside, and the name that its client asked for.
//!
//! TLS 1.2 and 1.3 by rustls. All its cipher suites are ECDHE with AEAD, none of those that HTTP/2 forbids (RFC 9113
//! appendix A). ALPN decides here on the version of HTTP, which is never guessed afterwards: `h2`, else HTTP/1. A
//! client that wants neither gets no connection (RFC 7301 §3.2).
//!
//! | file | owns |
//! |---|---|
//! | `pair`, `certificate` | a certificate and its key, from two files, and the faults that they can have |
//! | `choice` | the certificate that a client is shown |
//! | `renewal` | certificates whose files change |

mod certificate;
mod choice;
mod pair;
mod renewal;

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls::server::ServerSessionMemoryCache;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use super::http::Protocol;
use super::socket::{Wire, WireCommand, WireHandle};
use crate::observe::{Handshake, Metrics};
use crate::request::Ledger;
use renewal::Renewal;

pub use choice::Certificates;
pub use pair::{Pair, PairError, PairFiles, Part};

const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// The most sessions that are kept, for clients of TLS 1.2 that take no ticket, which are few. All other clients keep
/// their sessions themselves, in tickets that last at most 12 hours and outlive a change of certificate.
const MAX_SESSIONS: usize = 1024;

/// The response to a client that speaks HTTP on a port with TLS. No byte of its request has been read, so there is no
/// request that could have an id, a line in the log, or a count.
const PLAIN_REFUSED: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
content-type: application/problem+json\r\n\
content-length: 153\r\n\
connection: close\r\n\
\r\n\
{\"type\":\"urn:jackfield:problem:bad-request\",\"title\":\"The request is malformed\",\"status\":400,\
\"detail\":\"TLS is spoken here: ask for https instead of http\"}";

/// The TLS of this host.
pub struct Tls {
    config: Arc<ServerConfig>,
    certificates: Certificates,
    turns: Semaphore,
    metrics: Metrics,
    /// Notified when the certificates' files are to be looked at.
    look_now: Arc<Notify>,
    _renewing: AbortOnDropHandle<()>,
}

/// The reason why TLS cannot be set up: there are no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up TLS")]
pub struct TlsError(#[source] rustls::Error);

/// A connection whose handshake is over.
pub(super) struct TlsConnection<S: AsFd> {
    /// The stream, boxed: the futures above have room for it several times, once for each step that hands it on.
    pub(super) stream: Box<TlsStream<Wire<S>>>,
    pub(super) protocol: Protocol,
    /// The name that the client asked for, in lower case.
    pub(super) server_name: Option<Arc<str>>,
}

/// The reason why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("it took too long")]
    Late,
    #[error("the client left")]
    Left,
    #[error("the client speaks HTTP without TLS")]
    Plain,
    #[error(transparent)]
    Failed(#[from] io::Error),
}

impl Tls {
    /// TLS with these certificates, whose files are followed from now on. At most `at_once` handshakes are computed
    /// at once. Without a certificate, every handshake fails.
    pub fn start(pairs: Vec<Pair>, at_once: usize, ledger: &Ledger) -> Result<Self, TlsError> {
        let renewal = Renewal::new(pairs, ledger.clone());
        let mut config = ServerConfig::builder_with_provider(Arc::new(pair::provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError)?
            .with_no_client_auth()
            .with_cert_resolver(renewal.choice());
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        config.session_storage = ServerSessionMemoryCache::new(MAX_SESSIONS);
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(TlsError)?;
        let look_now = Arc::<Notify>::default();
        let config = Arc::new(config);
        Ok(Self {
            certificates: Certificates::new(config.clone(), renewal.choice()),
            config,
            turns: Semaphore::new(at_once.min(Semaphore::MAX_PERMITS)),
            metrics: ledger.metrics.clone(),
            _renewing: AbortOnDropHandle::new(tokio::spawn(renewal.run(look_now.clone()))),
            look_now,
        })
    }

    /// The certificates in use, for another server of this host.
    pub fn certificates(&self) -> Certificates {
        self.certificates.clone()
    }

    /// Looks at the certificates' files now.
    pub(super) fn look(&self) {
        self.look_now.notify_one();
    }

    /// The handshake of a connection before its first byte is read, within `patience`.
    pub(super) async fn accept<S: AsFd + AsyncRead + AsyncWrite + Unpin>(
        &self,
        wire: Wire<S>,
        handle: &WireHandle,
        patience: Duration,
    ) -> Result<TlsConnection<S>, HandshakeError> {
        let shaken = tokio::time::timeout(patience, self.shake_hands(wire, handle)).await;
        let shaken = shaken.unwrap_or(Err(HandshakeError::Late));
        self.metrics.handshake(match &shaken {
            Ok(connection)
                if connection.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) =>
            {
                Handshake::Resumed
            }
            Ok(_) => Handshake::Full,
            Err(_) => Handshake::Failed,
        });
        shaken
    }

    async fn shake_hands<S: AsFd + AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut wire: Wire<S>,
        handle: &WireHandle,
    ) -> Result<TlsConnection<S>, HandshakeError> {
        // Until a byte comes, the connection takes next to no memory.
        match wire.first_bytes().await? {
            [] => return Err(HandshakeError::Left),
            // A method of HTTP begins with such a byte, and no record of TLS does.
            [b'A'..=b'Z', ..] => {
                handle.command(WireCommand::CloseLingering);
                refuse_plain(wire).await;
                return Err(HandshakeError::Plain);
            }
            _ => {}
        }
        let handshake = TlsAcceptor::from(self.config.clone()).accept(wire);
        let stream = Box::new(self.by_turns(handshake).await?);
        let session = stream.get_ref().1;
        let protocol =
            if session.alpn_protocol() == Some(HTTP_2) { Protocol::Http2 } else { Protocol::Http1 };
        let server_name = session.server_name().map(|name| name.to_ascii_lowercase().into());
        Ok(TlsConnection { stream, protocol, server_name })
    }

    /// Runs a handshake, with a turn for each step, and without one while the client is waited for. A signature takes
    /// up to a millisecond, in which its thread does nothing else: whatever the number of handshakes, the other
    /// threads serve the open connections. And a client that stops in the middle keeps no turn from another.
    async fn by_turns<F: Future + Unpin>(&self, mut handshake: F) -> F::Output {
        loop {
            let turn = self.turns.acquire().await;
            let step = poll_fn(|context| Poll::Ready(Pin::new(&mut handshake).poll(context))).await;
            drop(turn);
            if let Poll::Ready(output) = step {
                return output;
            }
            // The step has registered this task to be woken by the socket.
            let mut is_woken = false;
            poll_fn(|_| if std::mem::replace(&mut is_woken, true) { Poll::Ready(()) } else { Poll::Pending })
                .await;
        }
    }
}

/// Tells a client that the port speaks TLS. If the client is gone, the answer is dropped.
async fn refuse_plain(mut wire: impl AsyncWrite + Unpin) {
    if wire.write_all(PLAIN_REFUSED).await.is_ok() {
        let _ = wire.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_without_tls_is_told_with_a_whole_answer() {
        let text = std::str::from_utf8(PLAIN_REFUSED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{} bytes", body.len());
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["type"], "urn:jackfield:problem:bad-request");
    }
}
