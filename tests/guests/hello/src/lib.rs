//! `cargo plugin guest-hello`, then `curl -i http://127.0.0.1:8080/`: 200 with one line of text.
//!
//! The smallest handler there can be, so that a benchmark that calls it measures the host: without the
//! standard library it imports nothing, and an instance of it is a few kilobytes. The bytes `version-1`
//! stand once in the component's data: replaced by as many others, they make a second component that a
//! client can tell from the first.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::{string::String, vec};

use bindings::exports::jackfield::plugin::handler::{Guest, Request, Response};
use bindings::jackfield::plugin::types::ResponseHead;

/// Generated from `wit/`: unsafe where it hands memory to the host, and undocumented.
#[allow(unsafe_code, missing_docs)]
mod bindings {
    #[cfg(target_arch = "wasm32")]
    use super::Hello;

    wit_bindgen::generate!({ path: "../../../wit", world: "jackfield:plugin/handler-plugin", generate_all });
    #[cfg(target_arch = "wasm32")]
    export!(Hello);
}

static VERSION: &str = "hello from version-1\n";

/// The plug.
pub struct Hello;

impl Guest for Hello {
    fn handle(_request: Request) -> Result<Response, String> {
        let head = ResponseHead { status: 200, headers: vec![("content-type".into(), b"text/plain".into())] };
        Ok(Response { head, body: VERSION.into() })
    }
}

/// What the standard library would bring along: an allocator, the function through which the host
/// asks it for memory (a guest built with `std` gets that one from the C library), and a panic that traps.
#[cfg(target_arch = "wasm32")]
mod without_std {
    use alloc::alloc::{GlobalAlloc, Layout, alloc, realloc};
    use core::cell::UnsafeCell;
    use core::sync::atomic::{AtomicUsize, Ordering};

    /// What one call may allocate: requests of the tests are far smaller.
    const ARENA_BYTES: usize = 256 << 10;

    /// Memory is handed out from a fixed arena, and taken back all at once when nothing of it is used, which is
    /// when a call has ended: the linear memory does not grow, which would cost the host two changes of page
    /// protection.
    struct Arena {
        bytes: UnsafeCell<[u8; ARENA_BYTES]>,
        used: AtomicUsize,
        /// Pieces that are handed out.
        pieces: AtomicUsize,
    }

    #[global_allocator]
    static ALLOCATOR: Arena = Arena {
        bytes: UnsafeCell::new([0; ARENA_BYTES]),
        used: AtomicUsize::new(0),
        pieces: AtomicUsize::new(0),
    };

    // SAFETY: `used` hands every byte out once while any piece is in use, so no two callers share one.
    #[allow(unsafe_code)]
    unsafe impl Sync for Arena {}

    // SAFETY: what is handed out lies inside the arena, is aligned, and is not handed out again before all pieces
    // were given back.
    #[allow(unsafe_code)]
    unsafe impl GlobalAlloc for Arena {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let base = self.bytes.get().cast::<u8>();
            let used = self.used.load(Ordering::Relaxed);
            let start = (base.addr() + used).next_multiple_of(layout.align()) - base.addr();
            match start.checked_add(layout.size()) {
                Some(end) if end <= ARENA_BYTES => {
                    self.used.store(end, Ordering::Relaxed);
                    self.pieces.fetch_add(1, Ordering::Relaxed);
                    base.wrapping_add(start)
                }
                _ => core::ptr::null_mut(),
            }
        }

        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {
            if self.pieces.fetch_sub(1, Ordering::Relaxed) == 1 {
                self.used.store(0, Ordering::Relaxed);
            }
        }
    }

    #[allow(unsafe_code)]
    #[unsafe(no_mangle)]
    extern "C" fn cabi_realloc(old: *mut u8, old_bytes: usize, align: usize, new_bytes: usize) -> *mut u8 {
        // SAFETY: the canonical ABI passes null and 0, or what this function gave for `old_bytes` and
        // `align`; it asks for no memory of 0 bytes but from 0 bytes, and any aligned pointer serves then.
        let new = unsafe {
            match (old_bytes, new_bytes) {
                (_, 0) => core::ptr::without_provenance_mut(align),
                (0, _) => alloc(Layout::from_size_align_unchecked(new_bytes, align)),
                _ => realloc(old, Layout::from_size_align_unchecked(old_bytes, align), new_bytes),
            }
        };
        if new.is_null() { core::arch::wasm32::unreachable() } else { new }
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        core::arch::wasm32::unreachable()
    }
}
