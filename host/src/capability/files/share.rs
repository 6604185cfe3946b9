//! The shares of open files, and of the threads that wait for file systems: each call's, each tenant's, and the host's.

use std::sync::Arc;

use rustix::io::Errno;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::error::FileError;

/// The most operations of one tenant that wait for a file system at once, each on a thread of its own.
pub const MAX_BLOCKED: usize = 16;

/// The shares of one tenant: its open files, and the threads that wait for its file systems.
#[derive(Debug, Clone)]
pub struct FileShare {
    /// The open files of all tenants.
    host: Arc<Semaphore>,
    tenant: Arc<Semaphore>,
    pub(super) blocked: Arc<Semaphore>,
}

/// The open files of all tenants.
#[derive(Debug, Clone)]
pub struct OpenFiles {
    most: usize,
    free: Arc<Semaphore>,
}

/// One tenant's part of all open files: a quarter.
const ONE_IN_OF_A_TENANT: usize = 4;

impl OpenFiles {
    /// Room for `most` open files and folders.
    pub fn new(most: usize) -> Self {
        Self { most, free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))) }
    }

    /// A new tenant's shares.
    pub fn share(&self) -> FileShare {
        let part = self.most.div_ceil(ONE_IN_OF_A_TENANT).min(Semaphore::MAX_PERMITS);
        FileShare {
            host: self.free.clone(),
            tenant: Arc::new(Semaphore::new(part)),
            blocked: Arc::new(Semaphore::new(MAX_BLOCKED)),
        }
    }
}

/// The open files of one call.
#[derive(Debug, Clone)]
pub struct CallFiles(Arc<Semaphore>);

impl CallFiles {
    /// Room for `most` open files and folders.
    pub fn new(most: u32) -> Self {
        Self(Arc::new(Semaphore::new(
            usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS),
        )))
    }
}

/// The room that one open file or folder takes; dropping gives the room back.
#[derive(Debug)]
pub(super) struct Room {
    _call: OwnedSemaphorePermit,
    _tenant: OwnedSemaphorePermit,
    _host: OwnedSemaphorePermit,
}

impl FileShare {
    /// Room for one more open file or folder.
    pub(super) fn room(&self, call: &CallFiles) -> Result<Room, FileError> {
        let one = |of: &Arc<Semaphore>| of.clone().try_acquire_owned().map_err(|_| FileError::TooMany);
        Ok(Room { _call: one(&call.0)?, _tenant: one(&self.tenant)?, _host: one(&self.host)? })
    }

    /// Does what may wait for a file system, on a thread for blocking work. If the caller is dropped meanwhile, the
    /// work keeps its share until the file system answers.
    pub(super) async fn block<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, FileError> {
        // Only a closed semaphore returns an error, and this one is never closed.
        let turn = self.blocked.clone().acquire_owned().await.map_err(|_| FileError::TooMany)?;
        let done = spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.unwrap_or(Err(FileError::System(Errno::IO)))
    }
}
