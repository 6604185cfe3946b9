//! A path → an open file or folder, or its metadata.
//!
//! A thing is opened twice: first without any right to read it (`O_PATH`), to see of what kind it is, for opening a
//! device or a pipe may have an effect; then for reading, if it is a plain file, and it is seen to be the same one.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::FileError;
use super::name::MountName;
use super::share::Room;
use super::stat::{Kind, Stat};

/// The descriptor that paths are resolved from.
#[derive(Debug, Clone)]
pub(super) enum Base {
    /// The folder at a path, which is opened anew for each operation.
    Mount(Arc<Mount>),
    /// An open folder.
    Open(Arc<Opened>),
}

/// An open folder, with its room.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) fd: OwnedFd,
    pub(super) _room: Room,
}

/// A mount: the folder at a path.
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) name: MountName,
    pub(super) path: PathBuf,
}

/// The patience of a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// The lookup fails with `EAGAIN` if the kernel would have to ask a file system.
    Never,
    /// The lookup blocks.
    AsLongAsItTakes,
}

/// A thing that was found and opened.
pub(super) enum Found {
    File(OwnedFd, Stat),
    Folder(OwnedFd),
}

/// The most times that a lookup begins again because names were changed while it went on.
const MAX_ATTEMPTS: usize = 8;

/// Opens the file or folder at `path`.
pub(super) fn open(base: &Base, path: &str, follows: bool, wait: Wait) -> Result<Found, FileError> {
    let from = system::base(base, wait)?;
    for _ in 0..MAX_ATTEMPTS {
        let probe = system::probe(&from, path, follows, wait)?;
        let seen = system::stat(&probe)?;
        match seen.kind {
            Kind::Folder => return Ok(Found::Folder(probe)),
            Kind::File => {}
            Kind::Link => return Err(FileError::System(rustix::io::Errno::LOOP)),
            Kind::Special => return Err(FileError::Special),
        }
        let file = system::reader(&from, path, follows, wait)?;
        let stat = system::stat(&file)?;
        if stat.kind == Kind::File && stat.is_same_object(&seen) {
            return Ok(Found::File(file, stat));
        }
        // The name leads to another thing by now.
    }
    Err(FileError::Changed)
}

/// The metadata of the thing at `path`.
pub(super) fn stat(base: &Base, path: &str, follows: bool, wait: Wait) -> Result<Stat, FileError> {
    let from = system::base(base, wait)?;
    Ok(system::stat(system::probe(&from, path, follows, wait)?)?)
}

/// The target of the link at `path`.
pub(super) fn link(base: &Base, path: &str, wait: Wait) -> Result<String, FileError> {
    let from = system::base(base, wait)?;
    let target = system::target(system::probe(&from, path, false, wait)?)?;
    target.into_string().map_err(|_| FileError::Name)
}

/// Opens a folder to list its entries.
pub(super) fn folder(base: &Base) -> Result<OwnedFd, FileError> {
    let from = system::base(base, Wait::AsLongAsItTakes)?;
    Ok(system::folder(&from)?)
}

/// Checks that a mount's folder can be opened, and that the system keeps lookups below it.
pub(super) fn check(folder: &Path) -> Result<(), FileError> {
    let from = system::root(folder, Wait::AsLongAsItTakes)?;
    system::probe(&from, ".", true, Wait::AsLongAsItTakes)?;
    system::folder(&from)?;
    Ok(())
}

#[cfg(target_os = "linux")]
mod system {
    use std::ffi::CString;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::path::Path;

    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat};
    use rustix::io::Errno;

    use super::{Base, MAX_ATTEMPTS, Stat, Wait};

    /// The descriptor that a path is resolved from.
    pub(super) enum From<'a> {
        Root(OwnedFd),
        Open(BorrowedFd<'a>),
    }

    impl AsFd for From<'_> {
        fn as_fd(&self) -> BorrowedFd<'_> {
            match self {
                Self::Root(fd) => fd.as_fd(),
                Self::Open(fd) => *fd,
            }
        }
    }

    pub(super) fn base(base: &Base, wait: Wait) -> Result<From<'_>, Errno> {
        match base {
            Base::Mount(mount) => Ok(From::Root(root(&mount.path, wait)?)),
            Base::Open(opened) => Ok(From::Open(opened.fd.as_fd())),
        }
    }

    /// Opens a mount's own folder, whose path is the operator's: links in it are followed.
    pub(super) fn root(path: &Path, wait: Wait) -> Result<OwnedFd, Errno> {
        resolve(CWD, path, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::empty(), wait)
    }

    /// Opens a thing without any right to read it.
    pub(super) fn probe(from: &impl AsFd, path: &str, follows: bool, wait: Wait) -> Result<OwnedFd, Errno> {
        beneath(from, path, OFlags::PATH, follows, wait)
    }

    /// Opens a file for reading. Opening never waits for another process.
    pub(super) fn reader(from: &impl AsFd, path: &str, follows: bool, wait: Wait) -> Result<OwnedFd, Errno> {
        beneath(from, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, follows, wait)
    }

    /// Opens a folder for the list of its entries.
    pub(super) fn folder(from: &impl AsFd) -> Result<OwnedFd, Errno> {
        openat(from, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    }

    pub(super) fn stat(fd: impl AsFd) -> Result<Stat, Errno> {
        fstat(fd).map(Stat::from)
    }

    pub(super) fn target(link: impl AsFd) -> Result<CString, Errno> {
        readlinkat(link, "", Vec::new())
    }

    fn beneath(
        from: &impl AsFd,
        path: &str,
        flags: OFlags,
        follows: bool,
        wait: Wait,
    ) -> Result<OwnedFd, Errno> {
        let flags = if follows { flags } else { flags | OFlags::NOFOLLOW };
        resolve(from, path, flags, ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS, wait)
    }

    fn resolve(
        from: impl AsFd,
        path: impl rustix::path::Arg + Copy,
        flags: OFlags,
        resolve: ResolveFlags,
        wait: Wait,
    ) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC;
        match wait {
            // Linux before 5.12 does not know `RESOLVE_CACHED`.
            Wait::Never => openat2(from, path, flags, Mode::empty(), resolve | ResolveFlags::CACHED)
                .map_err(|errno| if errno == Errno::INVAL { Errno::AGAIN } else { errno }),
            Wait::AsLongAsItTakes => {
                let mut last = Errno::AGAIN;
                for _ in 0..MAX_ATTEMPTS {
                    match openat2(&from, path, flags, Mode::empty(), resolve) {
                        // A folder on the way was renamed meanwhile.
                        Err(errno @ (Errno::AGAIN | Errno::INTR)) => last = errno,
                        done => return done,
                    }
                }
                Err(last)
            }
        }
    }
}

/// A system that cannot keep a lookup below a folder: no mount is opened there.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::ffi::CString;
    use std::os::fd::{AsFd, OwnedFd};
    use std::path::Path;

    use rustix::io::Errno;

    use super::{Base, Stat, Wait};

    pub(super) fn base(_: &Base, _: Wait) -> Result<OwnedFd, Errno> {
        Err(Errno::NOSYS)
    }

    pub(super) fn root(_: &Path, _: Wait) -> Result<OwnedFd, Errno> {
        Err(Errno::NOSYS)
    }

    pub(super) fn probe(_: &impl AsFd, _: &str, _: bool, _: Wait) -> Result<OwnedFd, Errno> {
        Err(Errno::NOSYS)
    }

    pub(super) fn reader(_: &impl AsFd, _: &str, _: bool, _: Wait) -> Result<OwnedFd, Errno> {
        Err(Errno::NOSYS)
    }

    pub(super) fn folder(_: &impl AsFd) -> Result<OwnedFd, Errno> {
        Err(Errno::NOSYS)
    }

    pub(super) fn stat(fd: impl AsFd) -> Result<Stat, Errno> {
        rustix::fs::fstat(fd).map(Stat::from)
    }

    pub(super) fn target(_: impl AsFd) -> Result<CString, Errno> {
        Err(Errno::NOSYS)
    }
}
