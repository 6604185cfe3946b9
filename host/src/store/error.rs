//! The errors of the store, and the effect of a write.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The most bytes of one tenant's waiting writes.
pub(super) const MAX_WAITING_BYTES: usize = 64 << 20;

/// The most waiting writes of one tenant.
pub(super) const MAX_WAITING: usize = 1024;

/// The error of opening the store, or of an operation on it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The state folder, or the file in it, could not be made or opened.
    #[error("cannot open the store `{}`: {source}; {}", path.display(), what_would_work(source))]
    Open {
        /// The path that could not be opened.
        path: PathBuf,
        /// The reason.
        source: Arc<io::Error>,
    },
    /// The folder could not be put to disk, so that the file in it may be lost.
    #[error(
        "cannot put the folder `{}` to disk (fsync): {source}; choose a state folder on a disk that works",
        folder.display()
    )]
    Sync {
        /// The state folder, or its parent.
        folder: PathBuf,
        /// The reason.
        source: Arc<io::Error>,
    },
    /// The writer's thread could not be started.
    #[error(
        "cannot start the thread that writes to the store: {source}; raise `LimitNPROC=` (`ulimit -u`) and `TasksMax=`"
    )]
    Thread {
        /// The reason.
        source: Arc<io::Error>,
    },
    /// Another process has the store open.
    #[error(
        "the store `{}` is in use by another process; stop that one, or choose another state folder",
        path.display()
    )]
    Locked {
        /// The database's file.
        path: PathBuf,
    },
    /// The file exists, but is not a database that this host can read.
    #[error(
        "the store `{}` cannot be read: {source}; put back a copy of it, \
         or move it away to begin with an empty one",
        path.display()
    )]
    Corrupt {
        /// The database's file.
        path: PathBuf,
        /// The error in the file.
        source: Arc<redb::Error>,
    },
    /// The records were written by a later version of this program.
    #[error(
        "the records of the control plane have the form {found}, and this version of jackfield knows {known}; \
         start the version that wrote them, or a later one"
    )]
    Schema {
        /// The version of the form in the file.
        found: u64,
        /// The version that this program writes.
        known: u64,
    },
    /// A record has another form than this program knows. Nothing was changed.
    #[error("a record of the control plane cannot be read: {why}")]
    Record {
        /// The reason.
        why: String,
    },
    /// The disk under the store fails, or is full. The store tries again by itself, at most once a second. It is
    /// unknown whether the change that met the failure was kept.
    #[error("the store is unavailable: {source}; it is tried again by itself, at most once a second")]
    Unavailable {
        /// The failure.
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
        /// The number of the tenant's waiting writes.
        waiting: usize,
        /// The bytes of these writes together.
        waiting_bytes: usize,
    },
}

/// The remedy for a file or folder that cannot be made or opened.
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

/// The effect of a write. A transaction without any change is not put to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The write changed something.
    Changed,
    /// The write changed nothing.
    Unchanged,
}
