//! The cache of compiled code on disk, by the artifact and the engine of the code.
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

use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat, fstat, openat, renameat, statat, unlinkat};

use super::code::MAX_CODE_BYTES;
use crate::sandbox::artifact::Digest;

/// The most bytes of all files together. When more come, the files that were used longest ago go.
const MOST_BYTES: u64 = 2 << 30;

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

/// The result of a look-up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Whole code.
    CompiledCode(Vec<u8>),
    /// No file has the key.
    Nothing,
    /// A file did not match its name, or was not the host's own. It has been removed.
    Damaged,
}

impl Key {
    /// The start of the names of the key's files.
    fn prefix(&self) -> String {
        format!("{:x}-{:x}-", self.artifact, self.engine)
    }

    fn name(&self, code: &[u8]) -> String {
        format!("{}{:x}", self.prefix(), Digest::of(code))
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

    /// Finds code, and notes that the code was used.
    pub(super) fn find(&self, key: &Key) -> io::Result<Found> {
        let prefix = key.prefix();
        let mut found = Found::Nothing;
        let names = self.index()?.names_with(&prefix);
        for name in names {
            match self.read(&name) {
                Ok(Some(code)) if key.name(&code) == name => return Ok(Found::CompiledCode(code)),
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

    /// Keeps code. Files that were used longest ago make room for it.
    pub(super) fn keep(&self, key: &Key, code: &[u8]) -> io::Result<()> {
        let length = u64::try_from(code.len()).unwrap_or(u64::MAX);
        let room = self.most_bytes.saturating_sub(length);
        if self.index()?.bytes > room {
            self.make_room(room)?;
        }
        let draft = draft_name();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.folder, &draft, flags, Mode::RUSR | Mode::WUSR)?;
        let name = key.name(code);
        let written = File::from(file).write_all(code);
        let kept = written.and_then(|()| Ok(renameat(&self.folder, &draft, &self.folder, &name)?));
        match kept {
            Ok(()) => self.locked_index().add(name, length),
            // The first failure is the one that counts.
            Err(_) => drop(self.remove(&draft)),
        }
        kept
    }

    /// Throws code away that has turned out to be of no use.
    pub(super) fn forget(&self, key: &Key) -> io::Result<()> {
        let names = self.index()?.names_with(&key.prefix());
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
        let mut code = Vec::with_capacity(length);
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
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;

    const CODE: &[u8] = b"compiled";

    /// A cache in a folder of its own.
    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("compiled")
        }

        fn cache(&self) -> Cache {
            Cache::open(&self.path()).unwrap()
        }

        fn file(&self, key: &Key) -> PathBuf {
            self.path().join(key.name(CODE))
        }

        fn files(&self) -> usize {
            fs::read_dir(self.path()).unwrap().count()
        }
    }

    fn key(artifact: &str) -> Key {
        Key { artifact: Digest::of(artifact.as_bytes()), engine: Digest::of(b"engine") }
    }

    #[test]
    fn what_is_kept_is_found_by_the_next_that_opens_the_folder() {
        let place = Place::new();
        assert_eq!(place.cache().find(&key("a")).unwrap(), Found::Nothing);
        place.cache().keep(&key("a"), CODE).unwrap();
        assert_eq!(place.cache().find(&key("a")).unwrap(), Found::CompiledCode(CODE.to_vec()));
        assert_eq!(place.cache().find(&key("b")).unwrap(), Found::Nothing);
        let other_engine = Key { engine: Digest::of(b"another"), ..key("a") };
        assert_eq!(place.cache().find(&other_engine).unwrap(), Found::Nothing);
        assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(place.file(&key("a"))).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn hosts_share_a_folder() {
        let place = Place::new();
        let (mut one, other) = (place.cache(), place.cache());
        other.keep(&key("a"), CODE).unwrap();
        one.locked_index().listed -= LISTING_INTERVAL * 2;
        assert_eq!(one.find(&key("a")).unwrap(), Found::CompiledCode(CODE.to_vec()));
        other.forget(&key("a")).unwrap();
        assert_eq!(one.find(&key("a")).unwrap(), Found::Nothing, "it is gone, not damaged");
        let index = one.index.get_mut().unwrap();
        assert_eq!((index.files.len(), index.bytes), (0, 0));
    }

    #[test]
    fn what_is_not_as_it_was_written_is_thrown_away() {
        type Break = fn(&Path);
        let breaks: [(&str, Break); 8] = [
            ("changed", |file| fs::write(file, b"Compiled").unwrap()),
            ("cut", |file| fs::write(file, &CODE[..4]).unwrap()),
            ("longer", |file| fs::write(file, [CODE, b"!"].concat()).unwrap()),
            ("empty", |file| fs::write(file, b"").unwrap()),
            ("another's to write", |file| {
                fs::set_permissions(file, fs::Permissions::from_mode(0o666)).unwrap();
            }),
            ("known by another name", |file| fs::hard_link(file, file.with_extension("too")).unwrap()),
            ("a link", |file| {
                fs::rename(file, file.with_file_name("elsewhere")).unwrap();
                symlink("elsewhere", file).unwrap();
            }),
            ("a folder", |file| {
                fs::remove_file(file).unwrap();
                fs::create_dir(file).unwrap();
            }),
        ];
        for (what, damage) in breaks {
            let place = Place::new();
            let cache = place.cache();
            cache.keep(&key("a"), CODE).unwrap();
            damage(&place.file(&key("a")));
            assert_eq!(cache.find(&key("a")).unwrap(), Found::Damaged, "{what}");
            assert!(!place.file(&key("a")).exists(), "{what}");
            cache.keep(&key("a"), CODE).unwrap();
        }
    }

    #[test]
    fn a_folder_that_others_can_use_is_none() {
        for mode in [0o701, 0o710, 0o770, 0o755, 0o777] {
            let place = Place::new();
            drop(place.cache());
            fs::set_permissions(place.path(), fs::Permissions::from_mode(mode)).unwrap();
            let refused = Cache::open(&place.path()).err().unwrap().to_string();
            assert!(refused.contains("other users"), "{mode:o}: {refused}");
        }
        let place = Place::new();
        fs::create_dir(place.0.path().join("elsewhere")).unwrap();
        symlink("elsewhere", place.path()).unwrap();
        assert!(matches!(Cache::open(&place.path()), Err(CacheError::Open(_))));
    }

    #[test]
    fn a_folder_of_another_user_is_none() {
        let place = Place::new();
        drop(place.cache());
        // Only root can give a folder away; other users cannot even open one that they would have been given.
        if std::os::unix::fs::chown(place.path(), Some(65_534), None).is_ok() {
            let refused = Cache::open(&place.path()).err().unwrap().to_string();
            assert!(refused.contains("another user"), "{refused}");
        }
    }

    #[test]
    fn what_was_used_longest_ago_makes_room() {
        let place = Place::new();
        drop(place.cache());
        let cache = Cache::open_with(&place.path(), 3 * CODE.len() as u64).unwrap();
        for (age, artifact) in [(30, "a"), (20, "b"), (10, "c")] {
            cache.keep(&key(artifact), CODE).unwrap();
            let file = File::open(place.file(&key(artifact))).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        assert_eq!(cache.find(&key("a")).unwrap(), Found::CompiledCode(CODE.to_vec()));
        cache.keep(&key("d"), CODE).unwrap();
        assert_eq!(cache.find(&key("b")).unwrap(), Found::Nothing);
        for artifact in ["a", "c", "d"] {
            assert_eq!(cache.find(&key(artifact)).unwrap(), Found::CompiledCode(CODE.to_vec()), "{artifact}");
        }
    }

    #[test]
    fn a_draft_that_was_left_behind_is_in_nobodys_way() {
        let place = Place::new();
        let mut names: Vec<_> = (0..1000).map(|_| draft_name()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 1000);
        // Drafts of a host that is ended between making a draft and giving it its name.
        drop(place.cache());
        for name in [names[0].clone(), format!("{DRAFT}{}-0", std::process::id())] {
            fs::write(place.path().join(name), b"comp").unwrap();
        }
        place.cache().keep(&key("a"), CODE).unwrap();
        assert_eq!(place.cache().find(&key("a")).unwrap(), Found::CompiledCode(CODE.to_vec()));
        assert_eq!(place.files(), 3);
    }

    #[test]
    fn drafts_that_were_left_behind_are_swept_away() {
        let place = Place::new();
        drop(place.cache());
        for (name, age) in [("new-1-0", 2 * 60 * 60), ("new-1-1", 0)] {
            let file = File::create(place.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        drop(place.cache());
        assert_eq!(place.files(), 1);
    }
}
