//! Files and folders, as `wasi:filesystem` has them. Nothing is read here: the host moves the bytes.

use alloc::string::String;
use alloc::vec::Vec;

use crate::bindings::wasi::clocks::wall_clock::{self, Datetime};
use crate::bindings::wasi::filesystem::preopens;
use crate::bindings::wasi::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorType, OpenFlags, PathFlags,
};
use crate::bindings::wasi::io::streams::InputStream;
use crate::date::Timestamp;
use crate::fault::Fault;
use crate::validators::Metadata;

/// A folder.
pub(crate) struct Folder(Descriptor);

/// An open file, and the state that it is in.
pub(crate) struct File {
    pub(crate) metadata: Metadata,
    descriptor: Descriptor,
}

/// What stands under a name.
pub(crate) enum Entry {
    File(File),
    Folder,
}

/// The folders that the plugin was given, and their names.
pub(crate) fn folders() -> Vec<(Folder, String)> {
    preopens::get_directories().into_iter().map(|(descriptor, name)| (Folder(descriptor), name)).collect()
}

/// The present.
pub(crate) fn now() -> Timestamp {
    wall_clock::now().into()
}

impl Folder {
    /// Opens what stands under `path`, links followed as far as the host lets them lead.
    pub(crate) fn open(&self, path: &str) -> Result<Entry, Fault> {
        let descriptor =
            self.0.open_at(PathFlags::SYMLINK_FOLLOW, path, OpenFlags::empty(), DescriptorFlags::READ)?;
        let stat = descriptor.stat()?;
        match stat.type_ {
            DescriptorType::Directory => Ok(Entry::Folder),
            DescriptorType::RegularFile => {
                let hash = descriptor.metadata_hash()?;
                let metadata = Metadata {
                    size: stat.size,
                    hash: (hash.upper, hash.lower),
                    modified: stat.data_modification_timestamp.map(Timestamp::from),
                    changed: stat.status_change_timestamp.map(Timestamp::from),
                };
                Ok(Entry::File(File { metadata, descriptor }))
            }
            // Devices, pipes and sockets have no content.
            _ => Err(Fault::Missing),
        }
    }
}

impl File {
    /// Its bytes from `offset` on.
    pub(crate) fn stream(&self, offset: u64) -> Result<InputStream, Fault> {
        Ok(self.descriptor.read_via_stream(offset)?)
    }
}

impl From<Datetime> for Timestamp {
    fn from(time: Datetime) -> Self {
        Self { seconds: time.seconds, nanoseconds: time.nanoseconds }
    }
}
