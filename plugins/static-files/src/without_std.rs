//! What the standard library would bring along: an allocator, the function through which the host asks it for memory,
//! and a panic that traps. Without the library the component imports only what it calls, and an instance begins with
//! two pages of memory.

use alloc::alloc::{GlobalAlloc, Layout, alloc, realloc};
use core::arch::wasm32;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The unit in which memory grows.
const PAGE_BYTES: usize = 64 << 10;

/// Memory is handed out from the end of the data on, and taken back all at once when nothing of it is used, which is
/// when a call has ended. It grows only for requests that are larger than what is left of its last page.
struct Heap {
    /// Where the next piece begins; 0 before the first one.
    next: AtomicUsize,
    /// Pieces that are handed out.
    pieces: AtomicUsize,
}

#[global_allocator]
static HEAP: Heap = Heap { next: AtomicUsize::new(0), pieces: AtomicUsize::new(0) };

#[allow(unsafe_code)]
unsafe extern "C" {
    /// Given by the linker: its address is the end of the data.
    static __heap_base: u8;
}

/// The address from which on memory is nobody's.
fn heap_base() -> usize {
    (&raw const __heap_base).addr()
}

/// Makes memory reach to `end`. False if the host gives no more.
fn reach(end: usize) -> bool {
    let pages = end.div_ceil(PAGE_BYTES);
    let present = wasm32::memory_size(0);
    pages <= present || wasm32::memory_grow(0, pages - present) != usize::MAX
}

// SAFETY: what is handed out lies behind the data and inside the memory, is aligned, and is not handed out again before
// all pieces were given back. There is one thread.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let next = self.next.load(Ordering::Relaxed).max(heap_base());
        let start = next.next_multiple_of(layout.align());
        match start.checked_add(layout.size()) {
            Some(end) if reach(end) => {
                self.next.store(end, Ordering::Relaxed);
                self.pieces.fetch_add(1, Ordering::Relaxed);
                core::ptr::with_exposed_provenance_mut(start)
            }
            _ => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {
        if self.pieces.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.next.store(0, Ordering::Relaxed);
        }
    }
}

#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn cabi_realloc(old: *mut u8, old_bytes: usize, align: usize, new_bytes: usize) -> *mut u8 {
    // SAFETY: the canonical ABI passes null and 0, or what this function gave for `old_bytes` and `align`; it asks for
    // no memory of 0 bytes but from 0 bytes, and any aligned pointer serves then.
    let new = unsafe {
        match (old_bytes, new_bytes) {
            (_, 0) => core::ptr::without_provenance_mut(align),
            (0, _) => alloc(Layout::from_size_align_unchecked(new_bytes, align)),
            _ => realloc(old, Layout::from_size_align_unchecked(old_bytes, align), new_bytes),
        }
    };
    if new.is_null() { wasm32::unreachable() } else { new }
}

// Of the C library, only how bytes are compared: compiled code calls that by its C name.
#[allow(unsafe_code)]
#[link(name = "c")]
unsafe extern "C" {}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    wasm32::unreachable()
}
