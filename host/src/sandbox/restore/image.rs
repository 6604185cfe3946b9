//! The content of a memory when an instance begins. All instances of a component begin with the same.
//!
//! An image is memory that no plugin's limit counts, so there is a bound on all of them together ([`Images`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The unit in which the kernel tells what was written. Systems with larger pages have no tracker.
pub(super) const PAGE_BYTES: usize = 4096;

/// The most bytes of all images of a host together: those of twenty interpreters, or of thousands of small plugins.
const MOST_IMAGE_BYTES: usize = 256 << 20;

/// The images of a host: how many bytes they have.
#[derive(Clone, Default)]
pub(in crate::sandbox) struct Images(Arc<AtomicUsize>);

/// The first content of a memory. Pages of zeros take no room.
pub(in crate::sandbox) struct Image {
    pages: Vec<Option<Box<[u8; PAGE_BYTES]>>>,
    kept_bytes: usize,
    all: Images,
}

const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

impl Images {
    /// The image of a memory with this content, which is of whole pages. None if all images would be too large with it.
    pub(super) fn add(&self, memory: &[u8]) -> Option<Image> {
        let (pages, _) = memory.as_chunks::<PAGE_BYTES>();
        let is_kept = |page: &[u8; PAGE_BYTES]| *page != ZEROS;
        let kept_bytes = pages.iter().filter(|page| is_kept(page)).count().saturating_mul(PAGE_BYTES);
        let added = |all: usize| all.checked_add(kept_bytes).filter(|all| *all <= MOST_IMAGE_BYTES);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added).ok()?;
        let pages = pages.iter().map(|page| is_kept(page).then(|| Box::new(*page))).collect();
        Some(Image { pages, kept_bytes, all: self.clone() })
    }
}

impl Image {
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

impl Drop for Image {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.kept_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_images_together_have_a_bound_and_give_their_room_back() {
        let images = Images::default();
        let mut memory = vec![1; MOST_IMAGE_BYTES / 2 + PAGE_BYTES];
        let first = images.add(&memory).unwrap();
        assert!(images.add(&memory).is_none());
        // Zeros take no room.
        memory[PAGE_BYTES..].fill(0);
        let second = images.add(&memory).unwrap();
        assert_eq!((second.kept_bytes, second.len_bytes()), (PAGE_BYTES, memory.len()));
        drop((first, second));
        assert_eq!(images.0.load(Ordering::Relaxed), 0);
    }
}
