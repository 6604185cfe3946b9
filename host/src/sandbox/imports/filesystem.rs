//! The interfaces of `wasi:filesystem`, over the plugin's mounts. All that writes is refused with `read-only`.
//!
//! wasmtime's bindings name a descriptor of wasmtime-wasi's own. To a guest a descriptor is a number: the entry of the
//! table that it stands for is a [`Node`] here, and a [`Listing`].

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    Advice, Descriptor, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
    DirectoryEntryStream, ErrorCode, Host, HostDescriptor, HostDirectoryEntryStream, MetadataHashValue,
    NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use rustix::io::Errno;

use crate::capability::files::{
    CallFiles, Entry, File, FileError, Folder, Kind, Listing, MAX_READ_BYTES, Mounts, Node, Read, Stat, Time,
};
use crate::sandbox::files::FileStream;

/// Replaces wasmtime's own functions. Shadowing must be allowed.
pub(in crate::sandbox) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> Files<'_>,
) -> wasmtime::Result<()> {
    preopens::add_to_linker::<_, Borrowed>(linker, view)?;
    types::add_to_linker::<_, Borrowed>(linker, view)
}

struct Borrowed;

impl HasData for Borrowed {
    type Data<'a> = Files<'a>;
}

/// The mounts that the plugin may read, and the files that the call may open.
pub(in crate::sandbox) struct Files<'a> {
    pub(in crate::sandbox) mounts: &'a Mounts,
    pub(in crate::sandbox) call: &'a CallFiles,
    pub(in crate::sandbox) table: &'a mut ResourceTable,
}

impl Files<'_> {
    fn add(&mut self, node: Node) -> FsResult<Resource<Descriptor>> {
        Ok(Resource::new_own(self.table.push(node)?.rep()))
    }

    fn node(&self, descriptor: &Resource<Descriptor>) -> wasmtime::Result<Node> {
        Ok(self.table.get(&Resource::<Node>::new_borrow(descriptor.rep()))?.clone())
    }

    fn folder(&self, descriptor: &Resource<Descriptor>) -> FsResult<Folder> {
        match self.node(descriptor).map_err(FsError::trap)? {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(ErrorCode::NotDirectory.into()),
        }
    }

    fn file(&self, descriptor: &Resource<Descriptor>) -> FsResult<std::sync::Arc<File>> {
        match self.node(descriptor).map_err(FsError::trap)? {
            Node::File(file) => Ok(file),
            Node::Folder(_) => Err(ErrorCode::IsDirectory.into()),
        }
    }

    async fn stat_of(&mut self, descriptor: &Resource<Descriptor>) -> FsResult<Stat> {
        match self.node(descriptor).map_err(FsError::trap)? {
            Node::File(file) => Ok(file.stat()),
            Node::Folder(folder) => folder.stat().await.map_err(refused),
        }
    }

    async fn stat_at(
        &mut self,
        descriptor: &Resource<Descriptor>,
        flags: PathFlags,
        path: &str,
    ) -> FsResult<Stat> {
        let follows = flags.contains(PathFlags::SYMLINK_FOLLOW);
        self.folder(descriptor)?.stat_at(path, follows).await.map_err(refused)
    }
}

impl preopens::Host for Files<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let mut given = Vec::with_capacity(self.mounts.len());
        for (name, folder) in self.mounts.each() {
            let handle = self.table.push(Node::Folder(folder.clone()))?;
            given.push((Resource::new_own(handle.rep()), name.as_str().to_owned()));
        }
        Ok(given)
    }
}

impl Host for Files<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(self.table.get(&error)?.downcast_ref::<FileError>().copied().map(code))
    }
}

impl HostDescriptor for Files<'_> {
    fn read_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<DynInputStream>> {
        let file = self.file(&descriptor)?;
        let stream: DynInputStream = Box::new(FileStream::new(file, offset));
        Ok(self.table.push(stream)?)
    }

    fn write_via_stream(&mut self, _: Resource<Descriptor>, _: u64) -> FsResult<Resource<DynOutputStream>> {
        read_only()
    }

    fn append_via_stream(&mut self, _: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        read_only()
    }

    async fn advise(&mut self, _: Resource<Descriptor>, _: u64, _: u64, _: Advice) -> FsResult<()> {
        Ok(())
    }

    async fn sync_data(&mut self, _: Resource<Descriptor>) -> FsResult<()> {
        Ok(())
    }

    async fn sync(&mut self, _: Resource<Descriptor>) -> FsResult<()> {
        Ok(())
    }

    async fn get_flags(&mut self, _: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        Ok(DescriptorFlags::READ)
    }

    async fn get_type(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorType> {
        Ok(match self.node(&descriptor).map_err(FsError::trap)? {
            Node::File(_) => DescriptorType::RegularFile,
            Node::Folder(_) => DescriptorType::Directory,
        })
    }

    async fn set_size(&mut self, _: Resource<Descriptor>, _: u64) -> FsResult<()> {
        read_only()
    }

    async fn set_times(&mut self, _: Resource<Descriptor>, _: NewTimestamp, _: NewTimestamp) -> FsResult<()> {
        read_only()
    }

    async fn read(
        &mut self,
        descriptor: Resource<Descriptor>,
        bytes: u64,
        offset: u64,
    ) -> FsResult<(Vec<u8>, bool)> {
        let bytes = usize::try_from(bytes).unwrap_or(MAX_READ_BYTES);
        let file = self.file(&descriptor)?;
        if bytes == 0 {
            return Ok((Vec::new(), offset >= file.stat().bytes));
        }
        Ok(match file.read(offset, bytes).await.map_err(refused)? {
            Read::Bytes(content) => (content.into(), false),
            Read::End => (Vec::new(), true),
        })
    }

    async fn write(&mut self, _: Resource<Descriptor>, _: Vec<u8>, _: u64) -> FsResult<u64> {
        read_only()
    }

    async fn read_directory(
        &mut self,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<Resource<DirectoryEntryStream>> {
        let listing = self.folder(&descriptor)?.list(self.call).await.map_err(refused)?;
        Ok(Resource::new_own(self.table.push(listing)?.rep()))
    }

    async fn create_directory_at(&mut self, _: Resource<Descriptor>, _: String) -> FsResult<()> {
        read_only()
    }

    async fn stat(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        Ok(described(&self.stat_of(&descriptor).await?))
    }

    async fn stat_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        Ok(described(&Files::stat_at(self, &descriptor, flags, &path).await?))
    }

    async fn set_times_at(
        &mut self,
        _: Resource<Descriptor>,
        _: PathFlags,
        _: String,
        _: NewTimestamp,
        _: NewTimestamp,
    ) -> FsResult<()> {
        read_only()
    }

    async fn link_at(
        &mut self,
        _: Resource<Descriptor>,
        _: PathFlags,
        _: String,
        _: Resource<Descriptor>,
        _: String,
    ) -> FsResult<()> {
        read_only()
    }

    async fn open_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let writes = OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::EXCLUSIVE;
        if open_flags.intersects(writes)
            || flags.intersects(DescriptorFlags::WRITE | DescriptorFlags::MUTATE_DIRECTORY)
        {
            return read_only();
        }
        let follows = path_flags.contains(PathFlags::SYMLINK_FOLLOW);
        let node = self.folder(&descriptor)?.open(&path, follows, self.call).await.map_err(refused)?;
        if open_flags.contains(OpenFlags::DIRECTORY) && matches!(node, Node::File(_)) {
            return Err(ErrorCode::NotDirectory.into());
        }
        self.add(node)
    }

    async fn readlink_at(&mut self, descriptor: Resource<Descriptor>, path: String) -> FsResult<String> {
        self.folder(&descriptor)?.link_at(&path).await.map_err(refused)
    }

    async fn remove_directory_at(&mut self, _: Resource<Descriptor>, _: String) -> FsResult<()> {
        read_only()
    }

    async fn rename_at(
        &mut self,
        _: Resource<Descriptor>,
        _: String,
        _: Resource<Descriptor>,
        _: String,
    ) -> FsResult<()> {
        read_only()
    }

    async fn symlink_at(&mut self, _: Resource<Descriptor>, _: String, _: String) -> FsResult<()> {
        read_only()
    }

    async fn unlink_file_at(&mut self, _: Resource<Descriptor>, _: String) -> FsResult<()> {
        read_only()
    }

    async fn is_same_object(
        &mut self,
        one: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        let stat = async |node: Node| match node {
            Node::File(file) => Ok(file.stat()),
            Node::Folder(folder) => folder.stat().await,
        };
        // What is there no longer is nothing's same.
        match (stat(self.node(&one)?).await, stat(self.node(&other)?).await) {
            (Ok(one), Ok(other)) => Ok(one.is_same_object(&other)),
            _ => Ok(false),
        }
    }

    async fn metadata_hash(&mut self, descriptor: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        Ok(hashed(&self.stat_of(&descriptor).await?))
    }

    async fn metadata_hash_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        Ok(hashed(&Files::stat_at(self, &descriptor, flags, &path).await?))
    }

    fn drop(&mut self, descriptor: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Node>::new_own(descriptor.rep()))?;
        Ok(())
    }
}

impl HostDirectoryEntryStream for Files<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        let listing = self.table.get_mut(&Resource::<Listing>::new_borrow(stream.rep()))?;
        let entry = listing.next().await.map_err(refused)?;
        Ok(entry.map(|Entry { name, kind }| DirectoryEntry { type_: kind_of(kind), name }))
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Listing>::new_own(stream.rep()))?;
        Ok(())
    }
}

fn read_only<T>() -> FsResult<T> {
    Err(refused(FileError::ReadOnly))
}

fn refused(error: FileError) -> FsError {
    code(error).into()
}

/// The WIT's code of an error. What WASI does not tell apart is `io`.
fn code(error: FileError) -> ErrorCode {
    match error {
        FileError::Outside | FileError::Special => ErrorCode::NotPermitted,
        FileError::ReadOnly => ErrorCode::ReadOnly,
        FileError::Changed => ErrorCode::Io,
        FileError::TooMany => ErrorCode::Quota,
        FileError::Name => ErrorCode::IllegalByteSequence,
        FileError::NotFolder => ErrorCode::NotDirectory,
        FileError::IsFolder => ErrorCode::IsDirectory,
        FileError::System(errno) => match errno {
            Errno::NOENT => ErrorCode::NoEntry,
            Errno::ACCESS => ErrorCode::Access,
            Errno::PERM => ErrorCode::NotPermitted,
            Errno::LOOP => ErrorCode::Loop,
            Errno::NAMETOOLONG => ErrorCode::NameTooLong,
            Errno::INVAL => ErrorCode::Invalid,
            Errno::NOSYS => ErrorCode::Unsupported,
            Errno::OVERFLOW => ErrorCode::Overflow,
            Errno::NOMEM => ErrorCode::InsufficientMemory,
            Errno::NODEV | Errno::NXIO => ErrorCode::NoDevice,
            Errno::BUSY => ErrorCode::Busy,
            Errno::TXTBSY => ErrorCode::TextFileBusy,
            _ => ErrorCode::Io,
        },
    }
}

fn kind_of(kind: Kind) -> DescriptorType {
    match kind {
        Kind::File => DescriptorType::RegularFile,
        Kind::Folder => DescriptorType::Directory,
        Kind::Link => DescriptorType::SymbolicLink,
        Kind::Special => DescriptorType::Unknown,
    }
}

fn described(stat: &Stat) -> DescriptorStat {
    let time = |Time { seconds, nanoseconds }| {
        let seconds = u64::try_from(seconds).ok()?;
        Some(Datetime { seconds, nanoseconds })
    };
    DescriptorStat {
        type_: kind_of(stat.kind),
        link_count: stat.links,
        size: stat.bytes,
        data_access_timestamp: time(stat.accessed),
        data_modification_timestamp: time(stat.modified),
        status_change_timestamp: time(stat.changed),
    }
}

fn hashed(stat: &Stat) -> MetadataHashValue {
    let (upper, lower) = stat.hash();
    MetadataHashValue { upper, lower }
}
