//! The stamp of a file: its metadata, by which a change is seen without reading the file.
//!
//! A stamp is a hint in one direction only: the same content may have another stamp, so the reader compares the
//! content. Knows nothing of the content.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The stamp of a file, links followed; equal while the file has not changed. The default is that of a missing file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stamp(Option<Look>);

/// The metadata of a file. No program can set back the time of the last change of any kind, as `cp -p` and archives
/// do with the time of the content's last change. Both count, because some network file systems keep only the latter.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

impl Stamp {
    /// The file's present stamp.
    pub fn of(file: &Path) -> Self {
        let metadata = std::fs::metadata(file).ok();
        Self(metadata.map(|metadata| Look {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, FileTimes, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, Instant};

    use super::*;

    /// Makes `change` until it is seen: the clock of files advances in steps of some milliseconds.
    fn expect_seen(path: &Path, change: impl Fn()) {
        let (stamp, began) = (Stamp::of(path), Instant::now());
        while Stamp::of(path) == stamp {
            assert!(began.elapsed() < Duration::from_secs(20), "the change is not seen");
            change();
        }
        assert_eq!(Stamp::of(path), Stamp::of(path));
    }

    #[test]
    fn a_change_that_no_length_and_no_time_of_the_content_tells_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(Stamp::of(&path), Stamp::default());
        std::fs::write(&path, "first").unwrap();
        let modified = || std::fs::metadata(&path).unwrap().modified().unwrap();
        let before = modified();
        expect_seen(&path, || {
            std::fs::write(&path, "other").unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_times(FileTimes::new().set_modified(before)).unwrap();
        });
        // A file that could not be read is read again when its permissions change.
        expect_seen(&path, || std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap());
        assert_eq!(modified(), before);
    }
}
