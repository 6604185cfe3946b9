//! The state folder and the database's file in it: owns their creation, whole or not at all, and the errors that name
//! them. Leaves the content of the file to redb.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use redb::backends::FileBackend;

use super::error::StoreError;

/// Makes the folder if it does not exist.
pub(super) fn prepare_folder(folder: &Path) -> Result<(), StoreError> {
    create_folder(folder).map_err(|error| cannot_open(folder, error))
}

/// A database's file, and the promises that it lacks.
pub(super) struct Prepared {
    pub(super) path: PathBuf,
    pub(super) missing: Vec<Missing>,
}

/// A promise of the store that its file system does not let it keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The possible consequence.
    pub what: &'static str,
    /// The operation that the file system refused.
    pub why: String,
}

/// Makes the folder and an empty database in it, if they do not exist, and returns the file. The folder is synced
/// each time: the process that made the file may have ended before its sync.
pub(super) fn prepare(folder: &Path, file_name: &str) -> Result<Prepared, StoreError> {
    prepare_folder(folder)?;
    let path = folder.join(file_name);
    match fs::metadata(&path) {
        // redb would make a new database in it; but an empty file is never left here, so data has been lost.
        Ok(file) if file.len() == 0 => {
            let source = Arc::new(redb::Error::Corrupted("the file is empty".into()));
            Err(StoreError::Corrupt { path: path.clone(), source })
        }
        // A refusal of the file system is told apart from an error in the database: the remedies differ.
        Ok(_) => open_existing(&path).map(drop).map_err(|error| cannot_open(&path, error)),
        Err(error) if error.kind() == ErrorKind::NotFound => create_file(&path),
        Err(error) => Err(cannot_open(&path, error)),
    }?;
    let unsynced = sync_folder(folder).map_err(|(folder, source)| StoreError::Sync { folder, source })?;
    let unsynced =
        unsynced.map(|why| Missing { what: "a power failure soon after the store is made may lose it", why });
    let unlocked = why_not_locked(&path)
        .map(|why| Missing { what: "another host with the same state folder would not be noticed", why });
    Ok(Prepared { path, missing: unsynced.into_iter().chain(unlocked).collect() })
}

/// The file as redb uses it. The file must exist: if it was moved away under a running host, it is not made again.
pub(super) fn backend(path: &Path) -> io::Result<FileBackend> {
    FileBackend::new(open_existing(path)?).map_err(|error| io::Error::other(error.to_string()))
}

/// Adds the file's path to the error of its first opening.
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

/// Makes the database, first under another name: a crash while redb writes its first pages would leave a file that
/// redb never opens again (4.4 writes its magic number last).
fn create_file(path: &Path) -> Result<(), StoreError> {
    let draft = path.with_extension(format!("redb.new-{}", process::id()));
    let failed = |error| cannot_open(&draft, error);
    let file = options().create(true).truncate(true).open(&draft).map_err(failed)?;
    let made = redb::Builder::new().create_file(file);
    made.map(drop).map_err(|error| explain(draft.clone(), StoreError::unavailable(error)))?;
    // A link never replaces a file: if two hosts start at once, neither may lose its file to the other. A file system
    // without links has only the rename.
    match fs::hard_link(&draft, path) {
        Ok(()) => fs::remove_file(&draft),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => fs::remove_file(&draft),
        Err(_) => fs::rename(&draft, path),
    }
    .map_err(failed)
}

/// Syncs a folder and its parent: a file is durable when its folder's entry of it is, and the folder when its
/// parent's is. Returns the sync that the file system does not support.
fn sync_folder(folder: &Path) -> Result<Option<String>, (PathBuf, Arc<io::Error>)> {
    let parent = folder.canonicalize().ok().and_then(|folder| folder.parent().map(Path::to_owned));
    let mut missing = None;
    for (folder, may_be_read) in
        [(folder, true)].into_iter().chain(parent.iter().map(|parent| (&**parent, false)))
    {
        let synced = match File::open(folder) {
            Ok(open) => open.sync_all(),
            // The user of this process may use the parent without the right to read it.
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

/// The reason why another process could open the file as well, if it could: redb goes on without a lock then.
fn why_not_locked(path: &Path) -> Option<String> {
    match open_existing(path).ok()?.try_lock() {
        Err(TryLockError::Error(error)) => Some(format!("flock: {error}")),
        // A lock of another process is found when the database is opened.
        Ok(()) | Err(TryLockError::WouldBlock) => None,
    }
}

/// True for the errors of file systems that do not sync folders: CIFS, 9p, some of FUSE.
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
