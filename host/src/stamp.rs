//! What a file looks like from outside, by which a change of it is seen without reading it.
//!
//! A stamp is a hint in one direction only: another stamp may be that of the same content, and whoever looks compares
//! what he reads. Knows nothing of what is in a file.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The look of a file, links followed; equal while it has not changed. The default is that of a file that is not there.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stamp(Option<Look>);

/// No program can set back the time of a file's last change of any kind, as `cp -p` and archives do with that of its
/// content's. Both count: some file systems of other machines keep only the second.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

impl Stamp {
    /// What the file looks like now.
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

    /// The system's clock of files goes in steps of some milliseconds: `change` is made until it is seen.
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
        // A file that could not be read is read again when it can.
        expect_seen(&path, || std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap());
        assert_eq!(modified(), before);
    }
}
