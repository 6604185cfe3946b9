//! The failures of the store, and whether a write changed anything.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// How large the waiting writes of one tenant may be together.
pub(super) const MAX_WAITING_BYTES: usize = 64 << 20;

/// How many writes of one tenant may wait.
pub(super) const MAX_WAITING: usize = 1024;

/// The store could not be opened, or could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The state folder, or the file in it, could not be made or opened.
    #[error("cannot open the store `{}`: {source}; {}", path.display(), what_would_work(source))]
    Open {
        /// What could not be opened.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// The folder could not be put to disk, so that the file in it may be lost.
    #[error(
        "cannot put the folder `{}` to disk (fsync): {source}; choose a state folder on a disk that works",
        folder.display()
    )]
    Sync {
        /// The state folder, or the one that it is in.
        folder: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// There is no thread that writes.
    #[error(
        "cannot start the thread that writes to the store: {source}; raise `LimitNPROC=` (`ulimit -u`) and `TasksMax=`"
    )]
    Thread {
        /// Why.
        source: Arc<io::Error>,
    },
    /// Another process has it open.
    #[error(
        "the store `{}` is in use by another process; stop that one, or choose another state folder",
        path.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file is there, but is not a database that this host can read.
    #[error(
        "the store `{}` cannot be read: {source}; put back a copy of it, \
         or move it away to begin with an empty one",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        source: Arc<redb::Error>,
    },
    /// The disk under the store fails, or is full. It is tried again by itself, at most once a second.
    /// Whether the change that met the failure was kept is unknown to whoever asked for it.
    #[error("the store is unavailable: {source}; it is tried again by itself, at most once a second")]
    Unavailable {
        /// What failed.
        source: Arc<redb::Error>,
    },
    /// Too many of the tenant's writes are waiting; nothing was changed.
    #[error(
        "{waiting} writes of this tenant, {waiting_bytes} bytes, are waiting already, and {} or {} bytes may; \
         try again when some are done",
        MAX_WAITING,
        MAX_WAITING_BYTES
    )]
    Busy {
        /// How many writes of the tenant are waiting.
        waiting: usize,
        /// How large they are together.
        waiting_bytes: usize,
    },
}

/// What would work where a file or a folder cannot be made or opened.
fn what_would_work(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "give the host a state folder that it may write to (`state` of [host])"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room on that disk, or choose a state folder on another (`state` of [host])"
        }
        _ => "choose another state folder (`state` of [host]), if that cannot be mended",
    }
}

impl StoreError {
    pub(super) fn unavailable(error: impl Into<redb::Error>) -> Self {
        Self::Unavailable { source: Arc::new(error.into()) }
    }
}

/// Whether a write changed anything. A transaction of writes that all changed nothing is not put to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Something is different now.
    Changed,
    /// Everything is as it was.
    Unchanged,
}
