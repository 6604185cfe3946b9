//! The first bytes of a connection, which show its protocol: they are read before the reader that needs them exists.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;

use tokio::io::{AsyncRead, ReadBuf};

/// The most bytes of one read.
const PIECE_BYTES: usize = 4 << 10;

/// Bytes that were read already and are given again.
#[derive(Debug, Default)]
pub(in crate::listen) struct FirstBytes(Vec<u8>);

impl FirstBytes {
    /// Waits for more bytes, and adds them to the earlier ones. Returns their number, 0 at the stream's end. During
    /// the wait the connection takes next to no memory.
    pub(in crate::listen) async fn read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<usize> {
        // The buffer is on the stack of the poll, not in the task, which lives longer.
        poll_fn(|context| {
            let mut piece = [MaybeUninit::uninit(); PIECE_BYTES];
            let mut read = ReadBuf::uninit(&mut piece);
            Pin::new(&mut *stream).poll_read(context, &mut read).map_ok(|()| {
                self.0.extend_from_slice(read.filled());
                read.filled().len()
            })
        })
        .await
    }

    /// Gives the bytes again, as many as fit into `buffer`. Returns true if there were any.
    pub(in crate::listen) fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let given = buffer.remaining().min(self.0.len());
        buffer.put_slice(self.0.get(..given).unwrap_or_default());
        self.0.drain(..given);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        true
    }

    pub(in crate::listen) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(in crate::listen) fn into_vec(self) -> Vec<u8> {
        self.0
    }
}
