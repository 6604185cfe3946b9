//! The state folder and the database's file in it: owns how they come to be, whole or not at all, and which
//! errors name them. Leaves what is in the file to redb.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use redb::backends::FileBackend;

use super::StoreError;

/// The database's file in the state folder.
pub(super) const FILE_NAME: &str = "store.redb";

/// Makes the folder, where it is not there yet.
pub(super) fn prepare_folder(folder: &Path) -> Result<(), StoreError> {
    create_folder(folder).map_err(|error| cannot_open(folder, error))
}

/// Makes the folder and an empty database in it, where they are not there yet, and names the file.
pub(super) fn prepare(folder: &Path) -> Result<PathBuf, StoreError> {
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
    Ok(folder.join(FILE_NAME))
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
    .and_then(|()| sync_folder(folder))
    .map_err(failed)
}

/// A file is durable when its folder's entry of it is, and the folder when its parent's is.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()?;
    match folder.canonicalize()?.parent() {
        // The parent may be one that this user can use but not read.
        Some(parent) => File::open(parent).map_or(Ok(()), |parent| parent.sync_all()),
        None => Ok(()),
    }
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
