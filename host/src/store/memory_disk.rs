//! A disk in memory for the store's tests: it can fill up, fail, and lose its power at any sync.
//!
//! Keeps the synced bytes apart from the only written ones, because a crash keeps the former, and any part of the
//! latter.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

/// The unit in which a file system allocates and a disk writes.
const BLOCK: usize = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    written: Vec<u8>,
    synced: Vec<u8>,
    since_sync: Vec<Change>,
    syncs: u64,
    freeze_at: Option<u64>,
    trouble: Option<Trouble>,
    allocated: HashSet<usize>,
    opened: u64,
}

#[derive(Debug)]
enum Change {
    Length(usize),
    Block(usize, Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The disk is full: its blocks can be overwritten; there are no further ones.
    Full,
    /// Every operation fails.
    Dead,
}

impl MemoryDisk {
    /// A disk that holds `bytes`, all synced.
    pub(super) fn holding(bytes: Vec<u8>) -> Self {
        let disk = Self::default();
        {
            let mut state = disk.lock();
            state.allocated = (0..bytes.len().div_ceil(BLOCK)).collect();
            state.written.clone_from(&bytes);
            state.synced = bytes;
        }
        disk
    }

    /// The factory of `Store::with_backend`.
    pub(super) fn backend(&self) -> io::Result<Self> {
        let mut state = self.lock();
        state.opened += 1;
        if state.trouble == Some(Trouble::Dead) { Err(dead()) } else { Ok(self.clone()) }
    }

    /// Makes the power fail at the `sync`th sync from now on, counted from 0, which is not done. It fails once.
    pub(super) fn freeze_at(&self, sync: u64) {
        let mut state = self.lock();
        state.freeze_at = Some(state.syncs + sync);
    }

    pub(super) fn set_trouble(&self, trouble: Option<Trouble>) {
        self.lock().trouble = trouble;
    }

    pub(super) fn is_dead(&self) -> bool {
        self.lock().trouble == Some(Trouble::Dead)
    }

    pub(super) fn opened(&self) -> u64 {
        self.lock().opened
    }

    pub(super) fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// A possible content of the disk after a power failure: all that was synced, and of the blocks written since
    /// then those that `kept` chooses.
    pub(super) fn survivors(&self, mut kept: impl FnMut() -> bool) -> Vec<u8> {
        let state = self.lock();
        let mut bytes = state.synced.clone();
        for change in &state.since_sync {
            match change {
                Change::Length(length) => bytes.resize(*length, 0),
                Change::Block(at, data) if kept() => {
                    // A block beyond the end, whose file length was not kept, is lost too.
                    if let Some(block) = bytes.get_mut(*at..at + data.len()) {
                        block.copy_from_slice(data);
                    }
                }
                Change::Block(..) => {}
            }
        }
        bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn working(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.trouble == Some(Trouble::Dead) { Err(dead()) } else { Ok(state) }
    }
}

impl StorageBackend for MemoryDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.working()?.written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.working()?;
        let from = offset as usize;
        let found = state.written.get(from..from + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.working()?;
        let length = length as usize;
        state.written.resize(length, 0);
        state.allocated.retain(|block| block * BLOCK < length);
        state.since_sync.push(Change::Length(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.working()?;
        if state.freeze_at == Some(state.syncs) {
            state.freeze_at = None;
            state.trouble = Some(Trouble::Dead);
            return Err(dead());
        }
        state.syncs += 1;
        state.synced = state.written.clone();
        state.since_sync.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.working()?;
        let mut at = offset as usize;
        if at + data.len() > state.written.len() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut rest = data;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(BLOCK - at % BLOCK));
            if state.trouble == Some(Trouble::Full) && !state.allocated.contains(&(at / BLOCK)) {
                return Err(io::Error::new(ErrorKind::StorageFull, "no space left on the disk in memory"));
            }
            state.allocated.insert(at / BLOCK);
            state.written[at..at + piece.len()].copy_from_slice(piece);
            state.since_sync.push(Change::Block(at, piece.to_vec()));
            at += piece.len();
            rest = after;
        }
        Ok(())
    }
}

fn dead() -> io::Error {
    io::Error::other("the disk in memory has no power")
}
