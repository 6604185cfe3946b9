//! A stream of which the first bytes were read already.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::layer::writes_pass_through;

/// What is read at once of a connection before it is known what it speaks.
const FIRST_BYTES: usize = 4 << 10;

/// Waits for something of a stream, and adds it to what came already: how many bytes, 0 at its end. While it waits there is
/// next to nothing of it.
pub(super) async fn read_piece(
    stream: &mut (impl AsyncRead + Unpin),
    came: &mut Vec<u8>,
) -> io::Result<usize> {
    // On the stack of the poll, not of the task, which outlives it.
    poll_fn(|context| {
        let mut piece = [MaybeUninit::uninit(); FIRST_BYTES];
        let mut read = ReadBuf::uninit(&mut piece);
        Pin::new(&mut *stream).poll_read(context, &mut read).map_ok(|()| {
            came.extend_from_slice(read.filled());
            read.filled().len()
        })
    })
    .await
}

/// Gives the bytes that came already, and then the stream's.
pub(super) struct Prefixed<S> {
    stream: S,
    came: Vec<u8>,
    given: usize,
}

impl<S> Prefixed<S> {
    pub(super) fn new(stream: S, came: Vec<u8>) -> Self {
        Self { stream, came, given: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = self.came.get(self.given..).unwrap_or_default();
        if rest.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let bytes = rest.get(..buffer.remaining().min(rest.len())).unwrap_or_default();
        buffer.put_slice(bytes);
        self.given = self.given.saturating_add(bytes.len());
        if self.given >= self.came.len() {
            (self.came, self.given) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    writes_pass_through!();

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
