//! A stream whose reader must not stop taking: a write that makes no progress for too long ends it, and so does
//! a reader that takes less than a certain rate for as long as it is the reader that is waited for.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::life::Life;
use super::pace::Pace;

/// Cuts a stream that takes nothing for `patience`, or too little, while there is something to take.
pub(super) struct StallGuard<S> {
    stream: S,
    patience: Duration,
    pace: Pace,
    /// Is told of each write of which something was taken.
    life: Arc<Life>,
    /// Set while a write waits.
    wait: Option<Wait>,
}

/// A write that waits for its reader.
struct Wait {
    since: Instant,
    deadline: Pin<Box<Sleep>>,
}

impl<S> StallGuard<S> {
    pub(super) fn new(stream: S, patience: Duration, rate_bytes_per_second: u64, life: Arc<Life>) -> Self {
        Self { stream, patience, pace: Pace::new(rate_bytes_per_second, 0), life, wait: None }
    }

    fn count(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes @ 1..)) = written {
            self.life.wrote(*bytes);
        }
    }

    /// Notes how a write went; one that waits is given until its deadline.
    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if let Some(wait) = self.wait.take() {
                self.life.is_write_waiting.store(false, Ordering::Relaxed);
                if self.pace.is_too_slow(wait.since.elapsed(), self.life.written_bytes()) {
                    return Poll::Ready(Err(self.stalled("the client takes too little of its answer")));
                }
            }
            return written;
        }
        self.life.is_write_waiting.store(true, Ordering::Relaxed);
        let patience = self.patience;
        let wait = self
            .wait
            .get_or_insert_with(|| Wait { since: Instant::now(), deadline: Box::pin(sleep(patience)) });
        ready!(wait.deadline.as_mut().poll(context));
        Poll::Ready(Err(self.stalled("the client takes nothing of its answer")))
    }

    fn stalled(&self, how: &'static str) -> io::Error {
        self.life.stalls();
        io::Error::new(io::ErrorKind::TimedOut, how)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.count(&written);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.count(&written);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    fn life() -> Arc<Life> {
        Arc::new(Life::new(Arc::default()))
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_is_cut_and_a_slow_one_is_not() {
        let patience = Duration::from_millis(400);
        let (near, mut far) = tokio::io::duplex(1024);
        let mut guarded = StallGuard::new(near, patience, 0, life());
        let slow = tokio::spawn(async move {
            let mut buffer = [0; 1024];
            for _ in 0..4 {
                tokio::time::sleep(patience / 3).await;
                tokio::io::AsyncReadExt::read_exact(&mut far, &mut buffer).await.unwrap();
            }
            far
        });
        guarded.write_all(&[0; 5 * 1024]).await.unwrap();
        let _still_open = slow.await.unwrap();
        let stalled = guarded.write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!(stalled.kind(), io::ErrorKind::TimedOut);
    }
}
