//! The most that one bulk instruction does.

/// The most that one instruction does.
#[derive(Debug, Clone, Copy, Hash)]
pub(in crate::sandbox) struct Pieces {
    /// Of memory. 64 KiB that are touched for the first time take some 25 µs.
    pub(super) bytes: u32,
    /// Of a table. 4,096 whose references are made take some 0.4 ms.
    pub(super) elements: u32,
}

/// Those of every component.
pub(in crate::sandbox) const PIECES: Pieces = Pieces { bytes: 64 << 10, elements: 4096 };
