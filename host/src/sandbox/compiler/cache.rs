//! The cache of compiled code on disk, by the artifact and the engine of the code. Beside the code of a component is a
//! small file with its description, by which a start need not read the code.
//!
//! A file is read and its code copied, never mapped: a mapped file that changes later would change code that was
//! checked. A user who can write here can have the host run any machine code. So the folder must be the host's own
//! and closed to everybody else; it is held open, and files in it are reached through it alone, without following
//! links. A file is first written under another name, and never again once it has its own name, which states the sum
//! of its bytes: the sum is checked on the very bytes that are used. A file that fails a check is thrown away.
//!
//! The names of the files are kept in memory: a look-up lists no folder, so ten thousand look-ups at a start do not take
//! a hundred million steps. Hosts may share a folder; what another host adds is noticed within a second.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, fstat, openat, renameat, statat,
    unlinkat, utimensat,
};

use super::code::MAX_CODE_BYTES;
use crate::sandbox::artifact::Digest;

/// The most bytes of all files together: twice the code of ten thousand plugins with a standard library. When more
/// come, the files that were used longest ago go.
const MOST_BYTES: u64 = 8 << 30;

/// The start of the name of a file that is not whole yet.
const DRAFT: &str = "new-";

/// The age at which a draft counts as left behind.
const DRAFT_AGE: Duration = Duration::from_secs(60 * 60);

/// The least time between two listings of the folder.
const LISTING_INTERVAL: Duration = Duration::from_secs(1);

/// The rights that other users may not have on the folder, or on a file in it.
const OTHERS: Mode = Mode::RWXG.union(Mode::RWXO);

/// A folder of compiled code.
pub(super) struct Cache {
    folder: OwnedFd,
    most_bytes: u64,
    index: Mutex<Index>,
}

/// The files of the folder, by name: those of the last listing, with this host's changes since.
struct Index {
    /// The bytes of each file.
    files: BTreeMap<String, u64>,
    bytes: u64,
    listed: Instant,
    /// The time of the folder's last change before it was listed.
    changed: SystemTime,
}

impl Index {
    fn names_with(&self, prefix: &str) -> Vec<String> {
        let from = self.files.range(prefix.to_owned()..);
        from.map(|(name, _)| name).take_while(|name| name.starts_with(prefix)).cloned().collect()
    }

    fn add(&mut self, name: String, bytes: u64) {
        self.remove(&name);
        self.bytes = self.bytes.saturating_add(bytes);
        self.files.insert(name, bytes);
    }

    fn remove(&mut self, name: &str) {
        let bytes = self.files.remove(name).unwrap_or_default();
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// The reason why a folder is not used as a cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder is missing and cannot be made, or it cannot be opened.
    #[error("it cannot be opened: {0}")]
    Open(#[source] io::Error),
    /// Other users could put code into the folder.
    #[error("{0}, so what is in it could be anybody's")]
    Distrusted(&'static str),
}

/// The key of compiled code: the artifact that the code was compiled from, and the engine that it was compiled for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) artifact: Digest,
    pub(super) engine: Digest,
}

/// The files of a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Compiled code.
    Code,
    /// The description of the component that the code is of.
    Description,
}

/// The result of a look-up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The content of a file, as it was written.
    Whole(Vec<u8>),
    /// No file has the key.
    Nothing,
    /// A file did not match its name, or was not the host's own. It has been removed.
    Damaged,
}

impl Key {
    /// The start of the names of the key's files of a kind. None of them is that of another kind.
    fn prefix(&self, kind: Kind) -> String {
        let label = match kind {
            Kind::Code => "",
            Kind::Description => "about-",
        };
        format!("{label}{:x}-{:x}-", self.artifact, self.engine)
    }

    fn name(&self, kind: Kind, sum: Digest) -> String {
        format!("{}{sum:x}", self.prefix(kind))
    }
}

impl Cache {
    /// Opens a folder, and makes it if it is not there.
    pub(super) fn open(path: &Path) -> Result<Self, CacheError> {
        Self::open_with(path, MOST_BYTES)
    }

    fn open_with(path: &Path, most_bytes: u64) -> Result<Self, CacheError> {
        create(path).map_err(CacheError::Open)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty());
        let folder = folder.map_err(|error| CacheError::Open(error.into()))?;
        let stat = fstat(&folder).map_err(|error| CacheError::Open(error.into()))?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(CacheError::Distrusted("it belongs to another user"));
        }
        if Mode::from_raw_mode(stat.st_mode).intersects(OTHERS) {
            return Err(CacheError::Distrusted("other users have a right to it"));
        }
        let index = list(&folder).map_err(CacheError::Open)?;
        let cache = Self { folder, most_bytes, index: Mutex::new(index) };
        cache.sweep().map_err(CacheError::Open)?;
        Ok(cache)
    }

    /// Finds a file of this kind, and notes that the file was used.
    pub(super) fn find(&self, key: &Key, kind: Kind) -> io::Result<Found> {
        let prefix = key.prefix(kind);
        let mut found = Found::Nothing;
        let names = self.index()?.names_with(&prefix);
        for name in names {
            match self.read(&name) {
                Ok(Some(bytes)) if key.name(kind, Digest::of(&bytes)) == name => {
                    return Ok(Found::Whole(bytes));
                }
                Ok(_) => {
                    self.remove(&name)?;
                    found = Found::Damaged;
                }
                // Another host that shares the folder has made room.
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.locked_index().remove(&name),
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Finds the code of this sum, by its name alone: a folder of many files need not be listed for it.
    pub(super) fn find_code(&self, key: &Key, sum: Digest) -> io::Result<Found> {
        let name = key.name(Kind::Code, sum);
        match self.read(&name) {
            Ok(Some(code)) if Digest::of(&code) == sum => Ok(Found::Whole(code)),
            Ok(_) => {
                self.remove(&name)?;
                Ok(Found::Damaged)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.locked_index().remove(&name);
                Ok(Found::Nothing)
            }
            Err(error) => Err(error),
        }
    }

    /// True if there is code of this sum, which counts as used then. Its bytes are not looked at.
    pub(super) fn has_code(&self, key: &Key, sum: Digest) -> io::Result<bool> {
        let name = key.name(Kind::Code, sum);
        if !self.index()?.files.contains_key(&name) {
            return Ok(false);
        }
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        match utimensat(&self.folder, &name, &times, AtFlags::SYMLINK_NOFOLLOW) {
            // Another host that shares the folder has made room.
            Err(rustix::io::Errno::NOENT) => {
                self.locked_index().remove(&name);
                Ok(false)
            }
            // A host that may not set the time keeps the file for a shorter time.
            Ok(()) | Err(_) => Ok(true),
        }
    }

    /// Keeps a file's content. Files that were used longest ago make room for it.
    pub(super) fn keep(&self, key: &Key, kind: Kind, content: &[u8]) -> io::Result<()> {
        let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
        let room = self.most_bytes.saturating_sub(length);
        if self.index()?.bytes > room {
            self.make_room(room)?;
        }
        let draft = draft_name();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.folder, &draft, flags, Mode::RUSR | Mode::WUSR)?;
        let name = key.name(kind, Digest::of(content));
        let written = File::from(file).write_all(content);
        let kept = written.and_then(|()| Ok(renameat(&self.folder, &draft, &self.folder, &name)?));
        match kept {
            Ok(()) => self.locked_index().add(name, length),
            // The first failure is the one that counts.
            Err(_) => drop(self.remove(&draft)),
        }
        kept
    }

    /// Throws files away that have turned out to be of no use.
    pub(super) fn forget(&self, key: &Key, kind: Kind) -> io::Result<()> {
        let names = self.index()?.names_with(&key.prefix(kind));
        names.iter().try_for_each(|name| self.remove(name))
    }

    /// A file's content, if the file is a plain one of the host's own that no other name leads to.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        // Without `NONBLOCK`, opening another user's pipe would wait.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.folder, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = fstat(&file)?;
        let length = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        if !is_ours(&stat) || length > MAX_CODE_BYTES {
            return Ok(None);
        }
        let mut code = Vec::new();
        code.try_reserve_exact(length)?;
        let most = u64::try_from(MAX_CODE_BYTES).unwrap_or(u64::MAX);
        (&file).take(most).read_to_end(&mut code)?;
        // A host that may not set the time keeps the file for a shorter time.
        let _ = file.set_modified(SystemTime::now());
        Ok(Some(code))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.locked_index().remove(name);
        match unlinkat(&self.folder, name, AtFlags::empty()) {
            // Another host that shares the folder was first.
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(rustix::io::Errno::ISDIR) => Ok(unlinkat(&self.folder, name, AtFlags::REMOVEDIR)?),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes drafts that no host writes any more.
    fn sweep(&self) -> io::Result<()> {
        let long_ago = SystemTime::now().checked_sub(DRAFT_AGE).unwrap_or(SystemTime::UNIX_EPOCH);
        let drafts = entries(&self.folder)?.into_iter().filter(|entry| entry.name.starts_with(DRAFT));
        drafts.filter(|draft| draft.used < long_ago).try_for_each(|draft| self.remove(&draft.name))
    }

    /// Removes the files that were used longest ago, until the rest has at most `most_bytes`.
    fn make_room(&self, most_bytes: u64) -> io::Result<()> {
        let mut entries = entries(&self.folder)?;
        entries.sort_by_key(|entry| entry.used);
        let mut total = entries.iter().fold(0_u64, |total, entry| total.saturating_add(entry.bytes));
        for entry in entries {
            if total <= most_bytes {
                break;
            }
            self.remove(&entry.name)?;
            total = total.saturating_sub(entry.bytes);
        }
        Ok(())
    }

    /// The index, which is made anew if the folder has changed, and not just now.
    fn index(&self) -> io::Result<MutexGuard<'_, Index>> {
        let mut index = self.locked_index();
        if index.listed.elapsed() > LISTING_INTERVAL && index.changed != modified(&fstat(&self.folder)?) {
            *index = list(&self.folder)?;
        }
        Ok(index)
    }

    fn locked_index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The index of a folder.
fn list(folder: &OwnedFd) -> io::Result<Index> {
    let (listed, changed) = (Instant::now(), modified(&fstat(folder)?));
    let mut index = Index { files: BTreeMap::new(), bytes: 0, listed, changed };
    for entry in entries(folder)? {
        index.add(entry.name, entry.bytes);
    }
    Ok(index)
}

fn entries(folder: &OwnedFd) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for each in Dir::read_from(folder)? {
        let each = each?;
        let Ok(name) = each.file_name().to_str() else { continue };
        if name == "." || name == ".." {
            continue;
        }
        // The file may be gone by now.
        let Ok(stat) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        entries.push(Entry {
            name: name.to_owned(),
            bytes: u64::try_from(stat.st_size).unwrap_or_default(),
            used: modified(&stat),
        });
    }
    Ok(entries)
}

/// A file in the folder.
struct Entry {
    name: String,
    bytes: u64,
    used: SystemTime,
}

/// A name for a draft that no other draft has. In containers every host is process 1, so a name with the process's
/// number would be that of a draft that an earlier host left behind, or that another host writes in the same folder.
fn draft_name() -> String {
    // The keys of `RandomState` are random.
    format!("{DRAFT}{:016x}", RandomState::new().hash_one(std::process::id()))
}

fn create(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn is_ours(stat: &Stat) -> bool {
    let is_plain = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    is_plain
        && stat.st_uid == rustix::process::geteuid().as_raw()
        && !Mode::from_raw_mode(stat.st_mode).intersects(OTHERS)
        // By another name the file could be opened to be written.
        && stat.st_nlink == 1
}

fn modified(stat: &Stat) -> SystemTime {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
    let since = Duration::new(seconds, nanoseconds);
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
