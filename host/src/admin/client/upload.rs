//! Files as the bodies of requests: their digest before, their bytes piece by piece.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, ReadBuf};

use crate::sandbox::Digest;

/// The bytes that are read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// A file that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The file.
    pub path: PathBuf,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its length.
    pub bytes: u64,
}

/// Reads a file for its digest and length.
pub fn survey(path: &Path) -> io::Result<Upload> {
    let mut file = File::open(path)?;
    // A pipe or a device might never end.
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let (mut sum, mut bytes) = (Sha256::new(), 0_u64);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        sum.update(piece.get(..read).unwrap_or_default());
        bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
    let sum: [u8; 32] = sum.finalize().into();
    Ok(Upload { path: path.to_owned(), digest: sum.into(), bytes })
}

/// The bytes of a file as the body of a request. The callback is told how many more were sent.
pub(super) struct FileBody<F> {
    file: tokio::fs::File,
    left: u64,
    piece: Vec<u8>,
    sent: F,
}

impl<F: Fn(u64)> FileBody<F> {
    pub(super) async fn open(upload: &Upload, sent: F) -> io::Result<Self> {
        let file = tokio::fs::File::open(&upload.path).await?;
        Ok(Self { file, left: upload.bytes, piece: vec![0; PIECE_BYTES], sent })
    }
}

impl<F: Fn(u64) + Unpin> Body for FileBody<F> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let most = usize::try_from(this.left).unwrap_or(usize::MAX).min(this.piece.len());
        let mut buffer = ReadBuf::new(this.piece.get_mut(..most).unwrap_or_default());
        if let Err(error) = ready!(Pin::new(&mut this.file).poll_read(context, &mut buffer)) {
            return Poll::Ready(Some(Err(error)));
        }
        let bytes = Bytes::copy_from_slice(buffer.filled());
        let read = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if read == 0 {
            let error =
                io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent");
            return Poll::Ready(Some(Err(error)));
        }
        this.left = this.left.saturating_sub(read);
        (this.sent)(read);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_surveyed_whatever_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("books.wasm");
        for length in [0, 1, PIECE_BYTES, 3 * PIECE_BYTES + 7] {
            let bytes = vec![7; length];
            std::fs::write(&path, &bytes).unwrap();
            let upload = survey(&path).unwrap();
            assert_eq!((upload.digest, upload.bytes), (Digest::of(&bytes), length as u64));
        }
        assert!(survey(folder.path()).is_err());
        assert!(survey(&folder.path().join("none")).is_err());
    }
}
