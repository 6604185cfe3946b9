//! A stream that can be ended so that its reader knows that something is missing.
//!
//! An answer without a length ends with its connection in HTTP/1.0 (RFC 9112 §6.3): one that is broken off looks
//! whole, unless the connection is reset instead of closed.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Resets its connection when it is dropped, if `is_broken` by then.
pub(super) struct ResetIfBroken<S: AsFd> {
    stream: S,
    is_broken: Arc<AtomicBool>,
}

impl<S: AsFd> ResetIfBroken<S> {
    pub(super) fn new(stream: S, is_broken: Arc<AtomicBool>) -> Self {
        Self { stream, is_broken }
    }
}

impl<S: AsFd> Drop for ResetIfBroken<S> {
    fn drop(&mut self) {
        if self.is_broken.load(Ordering::Relaxed) {
            // A Unix socket has no such thing; whoever speaks HTTP/1.0 over one has to live with that.
            let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        }
    }
}

impl<S: AsFd + AsyncRead + Unpin> AsyncRead for ResetIfBroken<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsFd + AsyncWrite + Unpin> AsyncWrite for ResetIfBroken<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
