//! Files in memory, in the place of the host's: each test has its own, for each has a thread of its own.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::bindings::wasi::filesystem::types::ErrorCode;
use crate::date::Timestamp;
use crate::fault::Fault;
use crate::validators::Metadata;

/// The present of all tests: Sun, 06 Nov 1994 08:49:37 GMT.
pub(crate) const NOW: Timestamp = Timestamp { seconds: 784_111_777, nanoseconds: 0 };

/// When files were written, if nothing else is said: a minute ago.
pub(crate) const WRITTEN: Timestamp = Timestamp { seconds: NOW.seconds - 60, nanoseconds: 5 };

/// What a test puts under a name.
#[derive(Clone)]
pub(crate) enum Content {
    File { bytes: Vec<u8>, modified: Timestamp },
    Broken(ErrorCode),
}

impl Content {
    pub(crate) fn text(text: &str) -> Self {
        Self::File { bytes: text.as_bytes().to_vec(), modified: WRITTEN }
    }

    pub(crate) fn text_of(text: &str, modified: Timestamp) -> Self {
        Self::File { bytes: text.as_bytes().to_vec(), modified }
    }
}

#[derive(Default)]
struct Disk {
    folders: BTreeMap<String, BTreeMap<String, Content>>,
    opened: Vec<String>,
}

thread_local! {
    static DISK: RefCell<Disk> = RefCell::default();
}

/// Puts this under `path` in the folder of this name, which is given to the plugin.
pub(crate) fn put(folder: &str, path: &str, content: Content) {
    DISK.with_borrow_mut(|disk| {
        disk.folders.entry(folder.to_owned()).or_default().insert(path.to_owned(), content);
    });
}

/// The paths that were opened, or tried, since this was asked last.
pub(crate) fn opened() -> Vec<String> {
    DISK.with_borrow_mut(|disk| std::mem::take(&mut disk.opened))
}

#[derive(Debug)]
pub(crate) struct Folder(String);

#[derive(Debug)]
pub(crate) struct File {
    pub(crate) metadata: Metadata,
    bytes: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum Entry {
    File(File),
    Folder,
}

pub(crate) fn folders() -> Vec<(Folder, String)> {
    DISK.with_borrow(|disk| disk.folders.keys().map(|name| (Folder(name.clone()), name.clone())).collect())
}

impl Folder {
    pub(crate) fn open(&self, path: &str) -> Result<Entry, Fault> {
        DISK.with_borrow_mut(|disk| {
            disk.opened.push(path.to_owned());
            let files = disk.folders.get(&self.0).ok_or(Fault::Missing)?;
            let number = files.keys().position(|name| name == path);
            match files.get(path) {
                Some(Content::File { bytes, modified }) => {
                    let size = bytes.len() as u64;
                    let hash = (number.unwrap_or_default() as u64, modified.seconds);
                    let metadata =
                        Metadata { size, hash, modified: Some(*modified), changed: Some(*modified) };
                    Ok(Entry::File(File { metadata, bytes: bytes.clone() }))
                }
                Some(Content::Broken(code)) => Err(Fault::from(*code)),
                None if files.keys().any(|name| name.starts_with(&format!("{path}/"))) => Ok(Entry::Folder),
                None => Err(Fault::Missing),
            }
        })
    }
}

impl File {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The bytes from `offset` on, so many of them.
    pub(crate) fn bytes(&self, offset: u64, length: u64) -> &[u8] {
        &self.bytes[offset as usize..][..length as usize]
    }
}
