//! The metadata of a file or folder: what a guest is told, the hash by which a version is known, and the stamp by
//! which a change is seen.

use rustix::fs::FileType;
use sha2::{Digest, Sha256};

/// The kind of a thing in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A pipe, a socket or a device.
    Special,
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Folder,
            FileType::Symlink => Self::Link,
            _ => Self::Special,
        }
    }
}

/// A time of a file: seconds since 1970, and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// The seconds; negative before 1970.
    pub seconds: i64,
    /// The nanoseconds beyond them.
    pub nanoseconds: u32,
}

/// The metadata of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The kind.
    pub kind: Kind,
    /// The length in bytes.
    pub bytes: u64,
    /// The number of names that it has.
    pub links: u64,
    /// The last time that it was read.
    pub accessed: Time,
    /// The last time that its content changed, as its owner may have set it.
    pub modified: Time,
    /// The last time that anything of it changed, which nobody can set.
    pub changed: Time,
    device: u64,
    inode: u64,
}

impl Stat {
    /// A hash of the things that change with the content: the same file, with the same length and times.
    pub fn hash(&self) -> (u64, u64) {
        let mut sum = Sha256::new();
        for number in [self.device, self.inode, self.bytes] {
            sum.update(number.to_le_bytes());
        }
        for time in [self.modified, self.changed] {
            sum.update(time.seconds.to_le_bytes());
            sum.update(time.nanoseconds.to_le_bytes());
        }
        let sum = <[u8; 32]>::from(sum.finalize());
        let word = |from: usize| {
            let bytes = sum.iter().skip(from).take(8);
            bytes.fold(0, |word: u64, byte| (word << 8) | u64::from(*byte))
        };
        (word(0), word(8))
    }

    /// True if both are of one file or folder.
    pub fn is_same_object(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// True if the content is what it was at `earlier`. The loss of a name, which is what deleting and replacing a
    /// file are, is no change of its content.
    pub(super) fn has_content_of(&self, earlier: &Self) -> bool {
        let has_fewer_names = self.links < earlier.links;
        self.bytes == earlier.bytes
            && self.modified == earlier.modified
            && (self.changed == earlier.changed || has_fewer_names)
    }
}

impl From<rustix::fs::Stat> for Stat {
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_fallible_conversions,
        reason = "the types of these fields are not the same on every system"
    )]
    fn from(stat: rustix::fs::Stat) -> Self {
        let time =
            |seconds, nanoseconds| Time { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap_or(0) };
        Self {
            kind: FileType::from_raw_mode(stat.st_mode.into()).into(),
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            links: u64::try_from(stat.st_nlink).unwrap_or(0),
            accessed: time(stat.st_atime, stat.st_atime_nsec),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
            device: u64::try_from(stat.st_dev).unwrap_or(0),
            inode: stat.st_ino,
        }
    }
}
