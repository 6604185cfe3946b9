//! The pieces of bulk instructions: the most that one of them does.

/// The sizes of pieces.
#[derive(Debug, Clone, Copy, Hash)]
pub(in crate::sandbox) struct Pieces {
    /// The most bytes of memory. 64 KiB that are touched for the first time take some 25 µs.
    pub(super) bytes: u32,
    /// The most elements of a table. 4,096 whose references are made take some 0.4 ms.
    pub(super) elements: u32,
}

/// The sizes of pieces for every component.
pub(in crate::sandbox) const PIECES: Pieces = Pieces { bytes: 64 << 10, elements: 4096 };
