//! The state folder and the database's file in it: owns how they come to be, whole or not at all, and which
//! errors name them. Leaves what is in the file to redb.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use redb::backends::FileBackend;

use super::error::StoreError;

/// The database's file in the state folder.
pub(super) const FILE_NAME: &str = "store.redb";

/// Makes the folder, where it is not there yet.
pub(super) fn prepare_folder(folder: &Path) -> Result<(), StoreError> {
    create_folder(folder).map_err(|error| cannot_open(folder, error))
}

/// A database's file, and what it lacks.
pub(super) struct Prepared {
    pub(super) path: PathBuf,
    pub(super) missing: Vec<Missing>,
}

/// A promise of the store's that its file system does not let it keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What may come of it.
    pub what: &'static str,
    /// What the file system refused.
    pub why: String,
}

/// Makes the folder and an empty database in it, where they are not there yet, and names the file. The folder is synced
/// each time: whoever made the file may have ended before that.
pub(super) fn prepare(folder: &Path) -> Result<Prepared, StoreError> {
    prepare_folder(folder)?;
    let path = folder.join(FILE_NAME);
    match fs::metadata(&path) {
        // redb would take it for a new one; but nobody leaves an empty file here, so something has been lost.
        Ok(file) if file.len() == 0 => {
            let source = Arc::new(redb::Error::Corrupted("the file is empty".into()));
            Err(StoreError::Corrupt { path, source })
        }
        // What the file system refuses is told apart from what the database finds: the remedies differ.
        Ok(_) => open_existing(&path).map(drop).map_err(|error| cannot_open(&path, error)),
        Err(error) if error.kind() == ErrorKind::NotFound => create_file(folder, &path),
        Err(error) => Err(cannot_open(&path, error)),
    }?;
    let path = folder.join(FILE_NAME);
    let unsynced = sync_folder(folder).map_err(|(folder, source)| StoreError::Sync { folder, source })?;
    let unsynced =
        unsynced.map(|why| Missing { what: "a power failure soon after the store is made may lose it", why });
    let unlocked = why_not_locked(&path)
        .map(|why| Missing { what: "another host with the same state folder would not be noticed", why });
    Ok(Prepared { path, missing: unsynced.into_iter().chain(unlocked).collect() })
}

/// The file as redb uses it. It must exist: one that has been moved away under a running host is not made
/// anew.
pub(super) fn backend(path: &Path) -> io::Result<FileBackend> {
    FileBackend::new(open_existing(path)?).map_err(|error| io::Error::other(error.to_string()))
}

/// Puts the file's name to what a first opening of it found.
pub(super) fn explain(path: PathBuf, error: StoreError) -> StoreError {
    let StoreError::Unavailable { source } = error else { return error };
    match &*source {
        redb::Error::DatabaseAlreadyOpen => StoreError::Locked { path },
        redb::Error::Io(error)
            if !matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            cannot_open(&path, io::Error::new(error.kind(), error.to_string()))
        }
        _ => StoreError::Corrupt { path, source },
    }
}

fn cannot_open(path: &Path, error: io::Error) -> StoreError {
    StoreError::Open { path: path.into(), source: Arc::new(error) }
}

fn create_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// Makes the database under another name first: a crash while redb writes its first pages would leave a file
/// that it never opens again (4.4 writes its magic number last).
fn create_file(folder: &Path, path: &Path) -> Result<(), StoreError> {
    let draft = folder.join(format!("{FILE_NAME}.new-{}", process::id()));
    let failed = |error| cannot_open(&draft, error);
    let file = options().create(true).truncate(true).open(&draft).map_err(failed)?;
    let made = redb::Builder::new().create_file(file);
    made.map(drop).map_err(|error| explain(draft.clone(), StoreError::unavailable(error)))?;
    // A link never replaces: of two hosts that start at once, neither may lose its file to the other. Where
    // there are no links, a name is all that there is.
    match fs::hard_link(&draft, path) {
        Ok(()) => fs::remove_file(&draft),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => fs::remove_file(&draft),
        Err(_) => fs::rename(&draft, path),
    }
    .map_err(failed)
}

/// Syncs a folder and its parent: a file is durable when its folder's entry of it is, and the folder when its parent's
/// is. Says what of it the file system does not do.
fn sync_folder(folder: &Path) -> Result<Option<String>, (PathBuf, Arc<io::Error>)> {
    let parent = folder.canonicalize().ok().and_then(|folder| folder.parent().map(Path::to_owned));
    let mut missing = None;
    for (folder, may_be_read) in
        [(folder, true)].into_iter().chain(parent.iter().map(|parent| (&**parent, false)))
    {
        let synced = match File::open(folder) {
            Ok(open) => open.sync_all(),
            // The parent may be one that this user can use but not read.
            Err(_) if !may_be_read => Ok(()),
            Err(error) => Err(error),
        };
        match synced {
            Ok(()) => {}
            Err(error) if is_unsupported(&error) => {
                missing =
                    missing.or_else(|| Some(format!("fsync of the folder {}: {error}", folder.display())));
            }
            Err(error) => return Err((folder.into(), Arc::new(error))),
        }
    }
    Ok(missing)
}

/// Why nothing keeps another process from opening the file as well, if nothing does: redb goes on without a lock then.
fn why_not_locked(path: &Path) -> Option<String> {
    match open_existing(path).ok()?.try_lock() {
        Err(TryLockError::Error(error)) => Some(format!("flock: {error}")),
        // One that is held by another is found when the database is opened.
        Ok(()) | Err(TryLockError::WouldBlock) => None,
    }
}

/// What file systems answer that do not sync folders: CIFS, 9p, some of FUSE.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported)
}

fn open_existing(path: &Path) -> io::Result<File> {
    options().open(path)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}
