//! A socket in hyper's hands, of which the connection still has to know and to say two things.
//!
//! Whether its client is gone, or has closed its sending side: while a request is under way hyper reads nothing more than
//! it needs, so behind bytes that nobody reads it sees no end. And that an answer is broken off: in HTTP/1.0 one without a length ends
//! with its connection (RFC 9112 §6.3), and looks whole unless the connection is reset instead of closed.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::layer::writes_pass_through;

/// The connection is no more.
const GONE: PollFlags = PollFlags::HUP.union(PollFlags::ERR);

/// The client has closed its sending side, and perhaps all of it.
#[cfg(target_os = "linux")]
const ENDED: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const ENDED: PollFlags = PollFlags::empty();

/// What is said to a socket, and what it tells.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// To look, when hyper comes by next, whether the client is still there.
    pub(super) look: AtomicBool,
    /// To reset the connection in the end.
    pub(super) reset: AtomicBool,
    has_ended: AtomicBool,
    ended: Notify,
}

impl Orders {
    /// The client sends nothing more.
    pub(super) fn client_ends(&self) {
        if !self.has_ended.swap(true, Ordering::Relaxed) {
            self.ended.notify_one();
        }
    }

    /// Ready once, when the client sends nothing more.
    pub(super) async fn client_ended(&self) {
        self.ended.notified().await;
    }
}

/// The socket.
pub(super) struct Socket<S: AsFd> {
    stream: S,
    orders: Arc<Orders>,
}

impl<S: AsFd> Socket<S> {
    pub(super) fn new(stream: S, orders: Arc<Orders>) -> Self {
        Self { stream, orders }
    }

    /// Whether the client is still there. One that only closed its sending side may be.
    fn is_client_there(&self) -> bool {
        let mut polled = [PollFd::new(&self.stream, GONE.union(ENDED))];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // What cannot be asked is left to the deadlines.
        let asked = rustix::event::poll(&mut polled, Some(&at_once)).is_ok();
        let seen = polled.first().map_or(PollFlags::empty(), PollFd::revents);
        if asked && seen.intersects(ENDED) {
            self.orders.client_ends();
        }
        !(asked && seen.intersects(GONE))
    }
}

impl<S: AsFd> Drop for Socket<S> {
    fn drop(&mut self) {
        if self.orders.reset.load(Ordering::Relaxed) {
            // A Unix socket has no such thing; whoever speaks HTTP/1.0 over one has to live with that.
            let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        }
    }
}

impl<S: AsFd + AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsFd + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    writes_pass_through!();

    /// hyper does this whenever it is polled.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.orders.look.swap(false, Ordering::Relaxed) && !self.is_client_there() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
