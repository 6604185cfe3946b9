//! The failure of an operation on files, by what went wrong for the guest.

use rustix::io::Errno;

/// An operation's failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The path leads out of its mount.
    #[error("the path leads out of its mount")]
    Outside,
    /// The path leads to a thing that is neither a plain file nor a folder.
    #[error("it is neither a plain file nor a folder")]
    Special,
    /// Mounts are for reading only.
    #[error("mounts are for reading only")]
    ReadOnly,
    /// The file was changed since it was opened.
    #[error("the file was changed since it was opened")]
    Changed,
    /// The call, its tenant or the host has no room for another open file.
    #[error("there is no room for another open file")]
    TooMany,
    /// The name of an entry is not UTF-8.
    #[error("a name is not UTF-8")]
    Name,
    /// The operation is for the other kind, file or folder.
    #[error("a file is no folder")]
    NotFolder,
    /// The operation is for files.
    #[error("it is a folder")]
    IsFolder,
    /// The system refused.
    #[error("{0}")]
    System(Errno),
}

impl From<Errno> for FileError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::XDEV => Self::Outside,
            Errno::NOTDIR => Self::NotFolder,
            Errno::ISDIR => Self::IsFolder,
            Errno::MFILE | Errno::NFILE => Self::TooMany,
            other => Self::System(other),
        }
    }
}
