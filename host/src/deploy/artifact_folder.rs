//! The files of artifacts, each named by its digest: whole and on disk before it has its name, and never changed.
//!
//! Leaves to `artifacts.rs` whose they are. A file that is uploaded has a name of its own until then; what an ended host
//! has left of such files is removed at start.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

use crate::sandbox::Digest;

/// The folder in the state folder.
const FOLDER: &str = "artifacts";

/// The beginning of the names of files that are uploaded.
const UPLOADING: &str = ".upload-";

/// The folder of artifacts; clones are the same folder.
#[derive(Debug, Clone)]
pub struct ArtifactFolder {
    folder: Arc<Path>,
    /// The most bytes of one artifact.
    most_bytes: u64,
    uploads: Arc<AtomicU64>,
}

/// An artifact that is being uploaded. Its file is removed if it is dropped.
#[derive(Debug)]
pub struct Upload {
    file: Option<File>,
    path: PathBuf,
    sum: Sha256,
    bytes: u64,
    most_bytes: u64,
}

/// The reason why a piece was not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The artifact is too large.
    #[error("an artifact has at most {most} bytes here (`artifact` of [host.intake])")]
    TooLarge {
        /// The most bytes.
        most: u64,
    },
    /// The disk failed, or is full.
    #[error("cannot write the artifact: {0}")]
    Failed(#[from] io::Error),
}

impl ArtifactFolder {
    /// The folder of artifacts in `state`, for its owner alone (0700). Blocks on the disk.
    pub fn open(state: &Path, most_bytes: u64) -> io::Result<Self> {
        let folder = state.join(FOLDER);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UPLOADING) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { folder: folder.into(), most_bytes, uploads: Arc::default() })
    }

    /// Refuses an artifact of so many bytes, if they are too many.
    pub fn takes(&self, bytes: usize) -> Result<(), UploadError> {
        match u64::try_from(bytes).is_ok_and(|bytes| bytes <= self.most_bytes) {
            true => Ok(()),
            false => Err(UploadError::TooLarge { most: self.most_bytes }),
        }
    }

    /// Begins an upload.
    pub async fn upload(&self) -> io::Result<Upload> {
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{UPLOADING}{number}"));
        let most_bytes = self.most_bytes;
        let begin = move || {
            let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
            Ok(Upload { file: Some(file), path, sum: Sha256::new(), bytes: 0, most_bytes })
        };
        spawn_blocking(begin).await.map_err(io::Error::other)?
    }

    /// Gives an uploaded file, which is on disk, its name. Blocks on the disk.
    pub(super) fn keep(&self, upload: &Upload, digest: Digest) -> io::Result<()> {
        std::fs::rename(&upload.path, self.path(digest))?;
        File::open(&self.folder)?.sync_all()
    }

    /// The artifact's bytes, which are those of its digest. Blocks on the disk.
    pub fn read(&self, digest: Digest) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let most = self.most_bytes.saturating_add(1);
        File::open(self.path(digest))?.take(most).read_to_end(&mut bytes)?;
        if Digest::of(&bytes) == digest {
            Ok(bytes)
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file is damaged: its bytes have another digest",
            ))
        }
    }

    /// Removes a file. Blocks on the disk.
    pub(super) fn remove(&self, digest: Digest) -> io::Result<()> {
        match std::fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The artifacts that have a file.
    pub(super) fn all(&self) -> io::Result<Vec<Digest>> {
        let names = std::fs::read_dir(&self.folder)?;
        let digests = names.filter_map(|name| {
            let name = name.map(|name| name.file_name());
            name.map(|name| format!("sha256:{}", name.to_string_lossy()).parse().ok()).transpose()
        });
        digests.collect()
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest:x}"))
    }
}

impl Upload {
    /// Writes the next bytes.
    pub async fn write(mut self, piece: bytes::Bytes) -> Result<Self, UploadError> {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(length);
        if self.bytes > self.most_bytes {
            return Err(UploadError::TooLarge { most: self.most_bytes });
        }
        let write = move || {
            self.sum.update(&piece);
            if let Some(file) = &mut self.file {
                file.write_all(&piece)?;
            }
            Ok(self)
        };
        spawn_blocking(write).await.map_err(io::Error::other)?
    }

    /// The digest of all bytes so far.
    pub(super) fn digest(&self) -> Digest {
        Digest::from(<[u8; 32]>::from(self.sum.clone().finalize()))
    }

    /// The number of bytes so far.
    pub(super) fn len_bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts all bytes so far to disk. Blocks on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_all)
    }

    /// All bytes so far. Blocks on the disk.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        std::fs::read(&self.path)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // A file that was kept has another name by now.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
