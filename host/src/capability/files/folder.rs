//! A plugin's mounts, and the folders below them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::error::FileError;
use super::file::File;
use super::listing::Listing;
use super::lookup::{self, Base, Found, Mount, Opened, Wait};
use super::name::MountName;
use super::share::{CallFiles, FileShare};
use super::stat::Stat;

/// The mounts of one plugin.
#[derive(Debug, Clone, Default)]
pub struct Mounts(Vec<Folder>);

impl Mounts {
    /// Mounts of these folders, by name. The paths are absolute.
    pub fn new(folders: impl IntoIterator<Item = (MountName, PathBuf)>, share: &FileShare) -> Self {
        let mount =
            |(name, path)| Folder { base: Base::Mount(Arc::new(Mount { name, path })), share: share.clone() };
        Self(folders.into_iter().map(mount).collect())
    }

    /// Each mount's folder, with the mount's name.
    pub fn each(&self) -> impl Iterator<Item = (&MountName, &Folder)> {
        self.0.iter().filter_map(|folder| Some((folder.mount_name()?, folder)))
    }

    /// The number of mounts.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are no mounts.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A folder: a mount's own, or one below it.
#[derive(Debug, Clone)]
pub struct Folder {
    base: Base,
    share: FileShare,
}

/// An open file or folder.
#[derive(Debug, Clone)]
pub enum Node {
    /// A file.
    File(Arc<File>),
    /// A folder.
    Folder(Folder),
}

impl Folder {
    /// The name of the mount whose own folder this is.
    pub fn mount_name(&self) -> Option<&MountName> {
        match &self.base {
            Base::Mount(mount) => Some(&mount.name),
            Base::Open(_) => None,
        }
    }

    /// Opens the file or folder at `path`. If the path's last name is a link, it is followed if `follows`.
    pub async fn open(&self, path: &str, follows: bool, call: &CallFiles) -> Result<Node, FileError> {
        let room = self.share.room(call)?;
        let found =
            self.look_up(path, move |base, path, wait| lookup::open(base, path, follows, wait)).await?;
        match found {
            Found::Folder(fd) => {
                let opened = Arc::new(Opened { fd, _room: room });
                Ok(Node::Folder(Self { base: Base::Open(opened), share: self.share.clone() }))
            }
            Found::File(fd, stat) => {
                let file = File::new(fd, stat, room, self.share.clone()).await?;
                Ok(Node::File(Arc::new(file)))
            }
        }
    }

    /// The metadata of the thing at `path`, of whatever kind.
    pub async fn stat_at(&self, path: &str, follows: bool) -> Result<Stat, FileError> {
        self.look_up(path, move |base, path, wait| lookup::stat(base, path, follows, wait)).await
    }

    /// The target of the link at `path`, unless the target is an absolute path.
    pub async fn link_at(&self, path: &str) -> Result<String, FileError> {
        let target = self.look_up(path, lookup::link).await?;
        if target.starts_with('/') { Err(FileError::Outside) } else { Ok(target) }
    }

    /// The folder's own metadata.
    pub async fn stat(&self) -> Result<Stat, FileError> {
        self.stat_at(".", true).await
    }

    /// The folder's entries.
    pub async fn list(&self, call: &CallFiles) -> Result<Listing, FileError> {
        let room = self.share.room(call)?;
        let base = self.base.clone();
        let fd = self.share.block(move || lookup::folder(&base)).await?;
        Ok(Listing::new(fd, room, self.share.clone()))
    }

    /// Looks a path up, at once if all of it is in the kernel's memory.
    async fn look_up<T: Send + 'static>(
        &self,
        path: &str,
        look: impl Fn(&Base, &str, Wait) -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, FileError> {
        match look(&self.base, path, Wait::Never) {
            Err(FileError::System(Errno::AGAIN)) => {}
            done => return done,
        }
        let (base, path) = (self.base.clone(), path.to_owned());
        self.share.block(move || look(&base, &path, Wait::AsLongAsItTakes)).await
    }
}

/// Checks that a mount's folder can be read now.
///
/// # Errors
/// If there is no such folder, or if the system cannot keep a guest within a folder.
pub fn check_folder(folder: &Path) -> Result<(), FileError> {
    lookup::check(folder)
}
