//! A memory, as its instance shows it to the host.

// An address is passed between threads, and read behind the back of the store that it belongs to.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use wasmtime::Store;

/// A memory, as an instance showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) struct ShownMemory {
    /// The memory's first byte.
    pub(super) begin: NonNull<u8>,
    /// The memory's length.
    pub(super) bytes: usize,
}

// SAFETY: the address alone is passed between threads. Whoever reads or writes there has the memory's store.
unsafe impl Send for ShownMemory {}

impl ShownMemory {
    /// The memory's content. `self` is of this store, and was shown since the store was last left.
    pub(super) fn content<T>(self, _store: &Store<T>) -> &[u8] {
        // SAFETY: an instance of the store has shown this memory, with this length, and the store is borrowed: no
        // guest runs that could change it or take it away.
        unsafe { std::slice::from_raw_parts(self.begin.as_ptr(), self.bytes) }
    }
}
