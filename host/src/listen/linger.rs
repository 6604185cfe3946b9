//! A stream that is closed the way HTTP needs it (RFC 9112 §9.6): first nothing more is sent, then what still
//! comes is thrown away for a while.
//!
//! A socket that is closed with bytes unread resets the connection, and the reset overtakes an answer that the
//! client has not read yet: the one that says why it need not send the rest.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::layer::writes_pass_through;

/// What is thrown away at once.
const SCRAP_BYTES: usize = 16 << 10;

/// Lingers for `patience` before it is closed, if there may be bytes that nobody has read.
pub(super) struct Linger<S> {
    stream: S,
    patience: Duration,
    has_unread: Arc<AtomicBool>,
    /// Set once nothing more is sent.
    deadline: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

impl<S> Linger<S> {
    pub(super) fn new(stream: S, patience: Duration, has_unread: Arc<AtomicBool>) -> Self {
        Self { stream, patience, has_unread, deadline: None, is_over: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Linger<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Linger<S> {
    writes_pass_through!();

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, patience, has_unread, deadline, is_over } = &mut *self;
        if *is_over {
            return Poll::Ready(Ok(()));
        }
        let deadline = match deadline {
            Some(deadline) => deadline,
            None => {
                ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
                if !has_unread.load(Ordering::Relaxed) {
                    *is_over = true;
                    return Poll::Ready(Ok(()));
                }
                deadline.insert(Box::pin(sleep(*patience)))
            }
        };
        let mut scrap = [0; SCRAP_BYTES];
        while deadline.as_mut().poll(context).is_pending() {
            let mut read = ReadBuf::new(&mut scrap);
            let came = ready!(Pin::new(&mut *stream).poll_read(context, &mut read));
            if came.is_err() || read.filled().is_empty() {
                break;
            }
        }
        *is_over = true;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn pair(
        patience: Duration,
        has_unread: bool,
    ) -> (Linger<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(1024);
        (Linger::new(near, patience, Arc::new(has_unread.into())), far)
    }

    #[tokio::test]
    async fn a_client_that_sends_on_reads_the_end_and_is_waited_for() {
        let (mut near, mut far) = pair(Duration::from_secs(60), true);
        let client = tokio::spawn(async move {
            assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
            far.write_all(&[0; 100_000]).await.unwrap();
        });
        near.shutdown().await.unwrap();
        client.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_never_ends_is_waited_for_only_so_long() {
        let (mut near, _far) = pair(Duration::from_millis(20), true);
        near.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn a_client_whose_request_was_read_is_not_waited_for() {
        let (mut near, _far) = pair(Duration::MAX, false);
        near.shutdown().await.unwrap();
    }
}
