//! The wire: one client's socket, as all layers above it see it.
//!
//! ```text
//! hyper ── Http1Stream or Http2Stream ── TLS, if it is spoken ── Wire ── socket
//!            └───────────── events, commands ─────── WireHandle ──┘
//! ```
//!
//! The wire does four things that neither hyper nor the system does.
//! - **It gives first bytes again.** They show whether a client speaks TLS ([`Wire::first_bytes`]), and rustls needs
//!   them too.
//! - **It is paced.** A write that makes no progress for too long ends the connection, and so does a client that takes
//!   less than a certain rate while it is waited for ([`Pace`]).
//! - **It looks for its client.** While a request is under way hyper reads nothing more than it needs, so it sees no end
//!   behind bytes that nobody reads. The socket is asked when the connection commands it.
//! - **It closes in two steps** (RFC 9112 §9.6) where bytes may be unread: first nothing more is sent, then what still
//!   comes is thrown away for a while. A socket that is closed with bytes unread resets the connection, and the reset
//!   overtakes the response that says why the client need not send the rest. And it resets a connection whose response is
//!   broken off: in HTTP/1.0 a response without a length ends with its connection (RFC 9112 §6.3), and would look whole.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::first_bytes::FirstBytes;
use super::handle::{Close, WireEvent, WireHandle, Writing};
use super::pace::Pace;
use crate::listen::bounds::LINGER;

/// The bytes that are thrown away at once.
const SCRAP_BYTES: usize = 16 << 10;

/// The connection is gone.
const GONE: PollFlags = PollFlags::HUP.union(PollFlags::ERR);

/// The client has closed its sending side, and perhaps all of it.
#[cfg(target_os = "linux")]
const ENDED: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const ENDED: PollFlags = PollFlags::empty();

/// One client's socket, paced and closed as HTTP needs it.
pub(in crate::listen) struct Wire<S: AsFd> {
    stream: S,
    handle: Arc<WireHandle>,
    first: FirstBytes,
    /// The longest time in which the client may take nothing.
    patience: Duration,
    pace: Pace,
    /// The write that waits.
    wait: Option<Wait>,
    linger: Duration,
    closing: Closing,
}

/// A write that waits for the client.
struct Wait {
    since: Instant,
    deadline: Pin<Box<Sleep>>,
}

/// The progress of closing.
enum Closing {
    NotBegun,
    /// Nothing more is sent, and incoming bytes are thrown away until the deadline.
    Lingering(Pin<Box<Sleep>>),
    Done,
}

impl<S: AsFd> Wire<S> {
    pub(in crate::listen) fn new(
        stream: S,
        patience: Duration,
        rate_bytes_per_second: u64,
    ) -> (Self, Arc<WireHandle>) {
        let handle = Arc::<WireHandle>::default();
        let wire = Self {
            stream,
            handle: handle.clone(),
            first: FirstBytes::default(),
            patience,
            pace: Pace::new(rate_bytes_per_second, 0),
            wait: None,
            linger: LINGER,
            closing: Closing::NotBegun,
        };
        (wire, handle)
    }

    /// True if the client is still there. A client that only closed its sending side may be.
    fn is_client_there(&self) -> bool {
        let mut polled = [PollFd::new(&self.stream, GONE.union(ENDED))];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // A socket that cannot be asked is left to the deadlines.
        let asked = rustix::event::poll(&mut polled, Some(&at_once)).is_ok();
        let seen = polled.first().map_or(PollFlags::empty(), PollFd::revents);
        if asked && seen.intersects(ENDED) {
            self.handle.report(WireEvent::ClientEnded);
        }
        !(asked && seen.intersects(GONE))
    }

    /// Notes the result of a write; a write that waits has until its deadline.
    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            let Some(wait) = self.wait.take() else { return written };
            if self.pace.is_too_slow(wait.since.elapsed(), self.handle.signs().written_bytes) {
                return Poll::Ready(Err(self.stalled("the client takes too little of its answer")));
            }
            self.handle.report(WireEvent::Writing(Writing::Free));
            return written;
        }
        if self.wait.is_none() {
            self.handle.report(WireEvent::Writing(Writing::Waiting));
        }
        let patience = self.patience;
        let wait = self
            .wait
            .get_or_insert_with(|| Wait { since: Instant::now(), deadline: Box::pin(sleep(patience)) });
        ready!(wait.deadline.as_mut().poll(context));
        Poll::Ready(Err(self.stalled("the client takes nothing of its answer")))
    }

    fn stalled(&self, how: &'static str) -> io::Error {
        self.handle.report(WireEvent::Writing(Writing::Stalled));
        io::Error::new(io::ErrorKind::TimedOut, how)
    }

    fn count(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes @ 1..)) = written {
            self.handle.report(WireEvent::Wrote(bytes));
        }
        self.watch(context, written)
    }
}

impl<S: AsFd + AsyncRead + Unpin> Wire<S> {
    /// Waits for the first bytes of a connection, which are given again; none if the connection ended instead.
    pub(in crate::listen) async fn first_bytes(&mut self) -> io::Result<&[u8]> {
        self.first.read(&mut self.stream).await?;
        Ok(self.first.as_slice())
    }
}

impl<S: AsFd> Drop for Wire<S> {
    fn drop(&mut self) {
        if self.handle.close() == Close::Reset {
            // A Unix socket has no such option; a client that speaks HTTP/1.0 over one has to live with that.
            let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        }
    }
}

impl<S: AsFd + AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.give(buffer) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsFd + AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.count(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.count(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes whenever it is polled, so a command to look is soon carried out.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = if self.handle.take_look() && !self.is_client_there() {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        } else {
            Pin::new(&mut self.stream).poll_flush(context)
        };
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, handle, closing, linger, .. } = &mut *self;
        if matches!(closing, Closing::NotBegun) {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
            *closing = match handle.close() {
                Close::Lingering => Closing::Lingering(Box::pin(sleep(*linger))),
                Close::AtOnce | Close::Reset => Closing::Done,
            };
        }
        if let Closing::Lingering(deadline) = closing {
            let mut scrap = [0; SCRAP_BYTES];
            while deadline.as_mut().poll(context).is_pending() {
                let mut read = ReadBuf::new(&mut scrap);
                let came = ready!(Pin::new(&mut *stream).poll_read(context, &mut read));
                if came.is_err() || read.filled().is_empty() {
                    break;
                }
            }
            *closing = Closing::Done;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::super::handle::WireCommand;
    use super::*;

    fn pair(patience: Duration) -> (Wire<UnixStream>, Arc<WireHandle>, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        rustix::net::sockopt::set_socket_send_buffer_size(&near, 1024).unwrap();
        let (wire, handle) = Wire::new(near, patience, 0);
        (wire, handle, far)
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_and_a_slow_one_is_not() {
        let patience = Duration::from_millis(400);
        let (mut wire, handle, mut far) = pair(patience);
        let slow = tokio::spawn(async move {
            let mut buffer = [0; 32 << 10];
            for _ in 0..4 {
                tokio::time::sleep(patience / 3).await;
                far.read_exact(&mut buffer).await.unwrap();
            }
            far
        });
        wire.write_all(&[0; 4 * (32 << 10)]).await.unwrap();
        let _still_open = slow.await.unwrap();
        let stalled = wire.write_all(&[0; 1 << 20]).await.unwrap_err();
        assert_eq!((stalled.kind(), handle.signs().writing), (io::ErrorKind::TimedOut, Writing::Stalled));
    }

    #[tokio::test]
    async fn first_bytes_are_given_again() {
        let (mut wire, _handle, mut far) = pair(Duration::MAX);
        far.write_all(b"first").await.unwrap();
        assert_eq!(wire.first_bytes().await.unwrap(), b"first");
        far.write_all(b" and more").await.unwrap();
        let mut read = [0; 14];
        wire.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"first and more");
    }

    #[tokio::test]
    async fn a_client_that_sends_on_reads_the_end_and_is_waited_for() {
        let (mut wire, handle, mut far) = pair(Duration::MAX);
        wire.linger = Duration::from_secs(60);
        handle.command(WireCommand::CloseLingering);
        let client = tokio::spawn(async move {
            assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
            far.write_all(&[0; 1 << 20]).await.unwrap();
        });
        wire.shutdown().await.unwrap();
        client.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_never_ends_is_waited_for_only_so_long() {
        let (mut wire, handle, _far) = pair(Duration::MAX);
        wire.linger = Duration::from_millis(20);
        handle.command(WireCommand::CloseLingering);
        wire.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn a_client_whose_request_was_read_is_not_waited_for() {
        let (mut wire, handle, _far) = pair(Duration::MAX);
        wire.linger = Duration::MAX;
        handle.command(WireCommand::CloseLingering);
        handle.command(WireCommand::CloseAtOnce);
        wire.shutdown().await.unwrap();
    }
}
