//! The resources and errors of `wasi:keyvalue` that the generated bindings name.

use wasmtime::component::{Resource, ResourceTableError};

use crate::capability::{Bucket, KeyValueError};

/// A value as it was read at one instant, with its key and store.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Cas {
    pub(super) bucket: Bucket,
    pub(super) key: String,
    pub(super) read: Option<Vec<u8>>,
}

impl Cas {
    pub(super) fn bytes(&self) -> usize {
        self.read.as_ref().map_or(0, Vec::len).saturating_add(self.key.len())
    }
}

/// A failure on its way to the guest, or an invalid handle, which traps.
#[expect(unreachable_pub, reason = "the generated bindings make a public alias of it")]
pub enum StoreError {
    Refused(KeyValueError),
    Handle(ResourceTableError),
}

/// A failure of a swap, which may also come too late.
#[expect(unreachable_pub, reason = "the generated bindings make a public alias of it")]
pub enum CasError {
    Store(StoreError),
    Changed(Resource<Cas>),
}

impl From<KeyValueError> for StoreError {
    fn from(error: KeyValueError) -> Self {
        Self::Refused(error)
    }
}

impl From<ResourceTableError> for StoreError {
    fn from(error: ResourceTableError) -> Self {
        Self::Handle(error)
    }
}
