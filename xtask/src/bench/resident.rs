//! A server's resident memory while something is done to it.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::server::Server;

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// Resident memory in bytes, looked at before, every [`INTERVAL`], and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resident {
    pub(crate) first: u64,
    pub(crate) most: u64,
    pub(crate) last: u64,
}

impl Resident {
    /// Looks at `server` for as long as `work` takes.
    pub(crate) fn during<T>(server: &Server, work: impl FnOnce() -> Result<T>) -> Result<(T, Self)> {
        let first = server.resident_bytes()?;
        thread::scope(|scope| {
            let (working, done) = mpsc::channel();
            let looking = scope.spawn(move || Self::look(server, first, &done));
            let worked = work();
            drop(working);
            let resident = looking.join().map_err(|_| anyhow!("the thread that reads memory panicked"))?;
            Ok((worked?, resident?))
        })
    }

    /// What there was in this time, and then in a later one.
    pub(crate) fn and_then(self, later: Self) -> Self {
        Self { first: self.first, most: self.most.max(later.most), last: later.last }
    }

    /// Looks until the other end of `done` is gone, and once more.
    fn look(server: &Server, first: u64, done: &Receiver<()>) -> Result<Self> {
        let mut resident = Self { first, most: first, last: first };
        loop {
            let is_done = done.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout);
            resident.last = server.resident_bytes()?;
            resident.most = resident.most.max(resident.last);
            if is_done {
                return Ok(resident);
            }
        }
    }
}
