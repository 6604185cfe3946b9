//! What the two files of a pair look like from outside.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::pair::PairFiles;

/// What they look like; equal while neither has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp([Option<OfFile>; 2]);

/// The time is that of the file's last change of any kind, which no program can set back, unlike that of its content's.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OfFile {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// What they look like now, links followed.
    pub(super) fn of(files: &PairFiles) -> Self {
        Self([&files.certificate, &files.key].map(|file| OfFile::of(file)))
    }
}

impl OfFile {
    /// None if it is not there.
    fn of(file: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(file).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}
