//! The content of a memory when an instance begins. All instances of a component begin with the same.

/// The unit in which the kernel tells what was written. Systems with larger pages have no tracker.
pub(super) const PAGE_BYTES: usize = 4096;

/// The first content of a memory. Pages of zeros take no room.
pub(in crate::sandbox) struct Image {
    pages: Vec<Option<Box<[u8; PAGE_BYTES]>>>,
}

const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

impl Image {
    /// The image of a memory with this content, which is of whole pages.
    pub(super) fn of(memory: &[u8]) -> Self {
        let (pages, _) = memory.as_chunks::<PAGE_BYTES>();
        let kept = |page: &[u8; PAGE_BYTES]| (*page != ZEROS).then(|| Box::new(*page));
        Self { pages: pages.iter().map(kept).collect() }
    }

    /// The content of a page.
    pub(super) fn page(&self, number: usize) -> &[u8; PAGE_BYTES] {
        self.pages.get(number).and_then(Option::as_deref).unwrap_or(&ZEROS)
    }

    /// True if a page is of zeros.
    pub(super) fn is_zeros(&self, number: usize) -> bool {
        self.pages.get(number).is_none_or(Option::is_none)
    }

    /// The memory's length.
    pub(super) fn len_bytes(&self) -> usize {
        self.pages.len().saturating_mul(PAGE_BYTES)
    }
}
