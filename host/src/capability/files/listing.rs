//! The entries of a folder, a few at a time: a folder may have millions.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::Dir;

use super::error::FileError;
use super::share::{FileShare, Room};
use super::stat::Kind;

/// The most entries that are read from a folder at once.
const BATCH: usize = 256;

/// The entries of a folder that are still to come.
#[derive(Debug)]
pub struct Listing {
    /// The folder, from which the next batch is read; none before the first.
    folder: Arc<Mutex<Reader>>,
    batch: VecDeque<Result<Entry, FileError>>,
    is_at_end: bool,
    share: FileShare,
    _room: Room,
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The entry's name.
    pub name: String,
    /// The entry's kind.
    pub kind: Kind,
}

#[derive(Debug)]
enum Reader {
    Fresh(OwnedFd),
    Open(Dir),
    Broken,
}

impl Listing {
    pub(super) fn new(fd: OwnedFd, room: Room, share: FileShare) -> Self {
        let folder = Arc::new(Mutex::new(Reader::Fresh(fd)));
        Self { folder, batch: VecDeque::new(), is_at_end: false, share, _room: room }
    }

    /// The next entry, but for `.` and `..`; none at the end.
    pub async fn next(&mut self) -> Result<Option<Entry>, FileError> {
        if self.batch.is_empty() && !self.is_at_end {
            let folder = self.folder.clone();
            let batch = self.share.block(move || {
                let mut reader = folder.lock().unwrap_or_else(PoisonError::into_inner);
                reader.batch()
            });
            self.batch = batch.await?;
            self.is_at_end = self.batch.is_empty();
        }
        self.batch.pop_front().transpose()
    }
}

impl Reader {
    fn batch(&mut self) -> Result<VecDeque<Result<Entry, FileError>>, FileError> {
        let mut dir = match std::mem::replace(self, Self::Broken) {
            Self::Fresh(fd) => Dir::new(fd)?,
            Self::Open(dir) => dir,
            Self::Broken => return Ok(VecDeque::new()),
        };
        let mut batch = VecDeque::new();
        while batch.len() < BATCH {
            let Some(entry) = dir.read() else { break };
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = entry.file_type().into();
            let name = entry.file_name().to_str().map_err(|_| FileError::Name);
            batch.push_back(name.map(|name| Entry { name: name.to_owned(), kind }));
        }
        *self = Self::Open(dir);
        Ok(batch)
    }
}
