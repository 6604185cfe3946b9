//! The state behind `wasi:filesystem`: a stream of a file's content.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

use crate::capability::files::{File, FileError, Read};

/// The content of a file from an offset on. What the kernel has in memory is read when the guest asks; for the rest
/// the guest waits.
pub(super) struct FileStream {
    file: Arc<File>,
    offset: u64,
    state: State,
}

enum State {
    /// Nothing is under way.
    Idle,
    /// A read waits for the file system.
    Waiting(Pin<Box<dyn Future<Output = Result<Read, FileError>> + Send>>),
    /// A read has ended.
    Ended(Result<Read, FileError>),
    /// The stream has ended, or failed.
    Closed,
}

impl FileStream {
    pub(super) fn new(file: Arc<File>, offset: u64) -> Self {
        Self { file, offset, state: State::Idle }
    }

    /// Gives the guest at most `bytes` of a read, and keeps the rest.
    fn give(&mut self, read: Result<Read, FileError>, bytes: usize) -> StreamResult<Bytes> {
        match read {
            Ok(Read::Bytes(mut content)) => {
                let given = content.split_to(content.len().min(bytes));
                self.offset = self.offset.saturating_add(u64::try_from(given.len()).unwrap_or(0));
                self.state =
                    if content.is_empty() { State::Idle } else { State::Ended(Ok(Read::Bytes(content))) };
                Ok(given)
            }
            Ok(Read::End) => {
                self.state = State::Closed;
                Err(StreamError::Closed)
            }
            Err(error) => {
                self.state = State::Closed;
                Err(StreamError::LastOperationFailed(error.into()))
            }
        }
    }
}

#[async_trait]
impl Pollable for FileStream {
    async fn ready(&mut self) {
        if let State::Waiting(read) = &mut self.state {
            self.state = State::Ended(read.await);
        }
    }
}

#[async_trait]
impl InputStream for FileStream {
    fn read(&mut self, bytes: usize) -> StreamResult<Bytes> {
        if bytes == 0 {
            return Ok(Bytes::new());
        }
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Idle => match self.file.read_now(self.offset, bytes).transpose() {
                Some(read) => self.give(read, bytes),
                None => {
                    let (file, offset) = (self.file.clone(), self.offset);
                    self.state = State::Waiting(Box::pin(async move { file.read(offset, bytes).await }));
                    Ok(Bytes::new())
                }
            },
            State::Waiting(read) => {
                self.state = State::Waiting(read);
                Ok(Bytes::new())
            }
            State::Ended(read) => self.give(read, bytes),
            State::Closed => Err(StreamError::Closed),
        }
    }
}
