//! A memory, as its instance shows it to the host.

// Memory is read and written behind the back of the store that it belongs to.
#![allow(unsafe_code)]

use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use wasmtime::Store;

/// A memory, as an instance showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) struct ShownMemory {
    /// The address of the memory's first byte.
    pub(super) address: usize,
    /// The memory's length.
    pub(super) bytes: usize,
}

impl ShownMemory {
    /// The memory that begins with this byte, and has so many pages of WebAssembly.
    pub(super) fn of(begin: &[u8], pages: u32) -> Self {
        let bytes = usize::try_from(pages).unwrap_or(usize::MAX).saturating_mul(64 << 10);
        Self { address: begin.as_ptr().expose_provenance(), bytes }
    }

    /// The memory's content. `self` is of this store, and was shown since the store was last left.
    pub(super) fn content<T>(self, _store: &Store<T>) -> &[u8] {
        // SAFETY: an instance of the store has shown this memory, with this length, and the store is borrowed: no
        // guest runs that could change it or take it away.
        unsafe { std::slice::from_raw_parts(with_exposed_provenance(self.address), self.bytes) }
    }

    /// A place in the memory, which wasmtime has mapped and gives as an address to compiled code.
    pub(super) fn byte(self, offset: usize) -> *mut u8 {
        with_exposed_provenance_mut::<u8>(self.address).wrapping_add(offset)
    }
}
