//! An open file, and how it is read: at once what the kernel has in memory, on a thread for blocking work what it has
//! not.
//!
//! A file is one version. Its stamp is taken when it is opened, and compared after each read: bytes of a file that was
//! changed since are never given away. The kernel's times advance in steps of some milliseconds, and two changes
//! within a step look like one; so a file that was changed in the present step is stamped when the step is over.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustix::fs::fstat;
use rustix::io::Errno;

use super::error::FileError;
use super::share::{FileShare, Room};
use super::stat::{Stat, Time};

/// The most bytes of one read.
pub const MAX_READ_BYTES: usize = 64 << 10;

/// The pause between two looks at the kernel's clock of files, and the number of looks. Steps are 10 ms at most; a
/// file whose time is later than that has it from another clock.
const STEP_PAUSE: Duration = Duration::from_millis(1);
const MAX_STEP_LOOKS: usize = 20;

/// An open file.
#[derive(Debug)]
pub struct File {
    fd: Arc<OwnedFd>,
    stamp: Mutex<Stat>,
    share: FileShare,
    _room: Room,
}

/// The result of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// These bytes, at least one.
    Bytes(Bytes),
    /// The offset is at the file's end, or behind it.
    End,
}

impl File {
    pub(super) async fn new(
        fd: OwnedFd,
        stat: Stat,
        room: Room,
        share: FileShare,
    ) -> Result<Self, FileError> {
        let mut stamp = stat;
        for _ in 0..MAX_STEP_LOOKS {
            if stamp.changed < present_step() {
                break;
            }
            tokio::time::sleep(STEP_PAUSE).await;
            stamp = Stat::from(fstat(&fd)?);
        }
        Ok(Self { fd: Arc::new(fd), stamp: Mutex::new(stamp), share, _room: room })
    }

    /// The file's metadata as it was opened.
    pub fn stat(&self) -> Stat {
        *self.stamp.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads at `offset`, at most `bytes` and [`MAX_READ_BYTES`]. None if the kernel does not have these bytes in
    /// memory.
    ///
    /// # Errors
    /// [`FileError::Changed`], if the file is not as it was opened.
    pub fn read_now(&self, offset: u64, bytes: usize) -> Result<Option<Read>, FileError> {
        match system::read_cached(&self.fd, offset, bytes.min(MAX_READ_BYTES)) {
            Ok(read) => self.unless_changed(read).map(Some),
            Err(Errno::AGAIN | Errno::INTR | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Reads at `offset` like [`File::read_now`], and waits for the file system if it has to.
    ///
    /// # Errors
    /// As [`File::read_now`].
    pub async fn read(&self, offset: u64, bytes: usize) -> Result<Read, FileError> {
        if let Some(read) = self.read_now(offset, bytes)? {
            return Ok(read);
        }
        let fd = self.fd.clone();
        let read =
            self.share.block(move || Ok(system::read(&fd, offset, bytes.min(MAX_READ_BYTES))?)).await?;
        self.unless_changed(read)
    }

    fn unless_changed(&self, read: Bytes) -> Result<Read, FileError> {
        let now = Stat::from(fstat(&self.fd)?);
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if now.changed != stamp.changed || now.bytes != stamp.bytes || now.modified != stamp.modified {
            if !now.has_content_of(&stamp) {
                return Err(FileError::Changed);
            }
            *stamp = now;
        }
        Ok(if read.is_empty() { Read::End } else { Read::Bytes(read) })
    }
}

/// The time that a file gets which is changed now.
fn present_step() -> Time {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::RealtimeCoarse;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Realtime;
    let now = rustix::time::clock_gettime(clock);
    Time { seconds: now.tv_sec, nanoseconds: u32::try_from(now.tv_nsec).unwrap_or(0) }
}

mod system {
    use std::os::fd::OwnedFd;

    use bytes::Bytes;
    use rustix::io::{Errno, pread};

    /// Reads bytes that the kernel has in memory. Other bytes are `EAGAIN`.
    #[cfg(target_os = "linux")]
    pub(super) fn read_cached(fd: &OwnedFd, offset: u64, bytes: usize) -> Result<Bytes, Errno> {
        use rustix::io::{IoSliceMut, ReadWriteFlags, preadv2};
        let mut buffer = vec![0; bytes];
        let read = preadv2(fd, &mut [IoSliceMut::new(&mut buffer)], offset, ReadWriteFlags::NOWAIT)?;
        buffer.truncate(read);
        Ok(buffer.into())
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn read_cached(_: &OwnedFd, _: u64, _: usize) -> Result<Bytes, Errno> {
        Err(Errno::AGAIN)
    }

    pub(super) fn read(fd: &OwnedFd, offset: u64, bytes: usize) -> Result<Bytes, Errno> {
        let mut buffer = vec![0; bytes];
        loop {
            match pread(fd, &mut buffer, offset) {
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
                Ok(read) => {
                    buffer.truncate(read);
                    return Ok(buffer.into());
                }
            }
        }
    }
}
