//! The content of a memory when an instance begins. All instances of a component begin with the same.
//!
//! An image is memory that no plugin's limit counts, so there is a bound on all of them together ([`Images`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The unit in which the kernel tells what was written. Systems with larger pages have no tracker.
pub(super) const PAGE_BYTES: usize = 4096;

/// The most bytes of one image: an interpreter's has some ten MiB.
pub const MAX_IMAGE_BYTES: usize = 16 << 20;
/// The most bytes of all images of a host together.
pub const MAX_IMAGES_BYTES: usize = 256 << 20;

/// The memory of a page in an image beside its content.
const ENTRY_BYTES: usize = 24;

/// The images of a host: how many bytes they have.
#[derive(Clone, Default)]
pub(in crate::sandbox) struct Images(Arc<Room>);

#[derive(Default)]
struct Room {
    used_bytes: AtomicUsize,
    /// The number of images that have gone.
    gone: AtomicUsize,
}

/// The first content of a memory. Pages of zeros take no room, and none are kept behind the last that is not of zeros.
pub(in crate::sandbox) struct Image {
    pages: Vec<Option<Box<[u8; PAGE_BYTES]>>>,
    bytes: usize,
    kept_bytes: usize,
    all: Images,
}

const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

impl Images {
    /// The image of a memory with this content, which is of whole pages. None if it is too large, or all images would be
    /// with it.
    pub(super) fn add(&self, memory: &[u8]) -> Option<Image> {
        let (pages, _) = memory.as_chunks::<PAGE_BYTES>();
        let is_kept = |page: &[u8; PAGE_BYTES]| *page != ZEROS;
        let last = pages.iter().rposition(is_kept);
        let pages = pages.get(..last.map_or(0, |last| last.saturating_add(1))).unwrap_or_default();
        let kept_bytes = pages.iter().filter(|page| is_kept(page)).count().saturating_mul(PAGE_BYTES);
        let kept_bytes = kept_bytes.saturating_add(pages.len().saturating_mul(ENTRY_BYTES));
        if kept_bytes > MAX_IMAGE_BYTES {
            return None;
        }
        let added = |all: usize| all.checked_add(kept_bytes).filter(|all| *all <= MAX_IMAGES_BYTES);
        self.0.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added).ok()?;
        let pages = pages.iter().map(|page| is_kept(page).then(|| Box::new(*page))).collect();
        Some(Image { pages, bytes: memory.len(), kept_bytes, all: self.clone() })
    }

    /// A number that changes when there is more room.
    pub(super) fn gone(&self) -> usize {
        self.0.gone.load(Ordering::Relaxed)
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
        self.bytes
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.all.0.used_bytes.fetch_sub(self.kept_bytes, Ordering::Relaxed);
        self.all.0.gone.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_a_bound_each_and_together_and_give_their_room_back() {
        let images = Images::default();
        let mut memory = vec![1; MAX_IMAGE_BYTES + PAGE_BYTES];
        assert!(images.add(&memory).is_none());
        // Zeros take no room.
        let half = memory.len() / 2;
        memory[half..].fill(0);
        let all: Vec<_> = std::iter::from_fn(|| images.add(&memory)).collect();
        assert!((31..=32).contains(&all.len()), "{}", all.len());
        assert!(all.iter().all(|image| image.len_bytes() == memory.len()));
        let gone = images.gone();
        drop(all);
        assert_eq!(images.0.used_bytes.load(Ordering::Relaxed), 0);
        assert_ne!(images.gone(), gone);
    }
}
