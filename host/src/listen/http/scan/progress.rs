//! The progress of reading a part of a message: a head, a body of known length, a body in chunks.

use std::num::NonZeroU64;

/// The progress of reading one part of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Progress<T> {
    /// The bytes that may be handed on.
    pub(super) passed_bytes: usize,
    /// The result of the part's end, if that was reached.
    pub(super) end: Option<T>,
}

/// The smaller of the bytes that are left to come and the bytes that are there.
pub(super) fn at_most(left_bytes: NonZeroU64, there_bytes: usize) -> usize {
    usize::try_from(left_bytes.get()).map_or(there_bytes, |left_bytes| left_bytes.min(there_bytes))
}

pub(super) fn widened(bytes: usize) -> u64 {
    // No machine has addresses of more than 64 bits.
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
