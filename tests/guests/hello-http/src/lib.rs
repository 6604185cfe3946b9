//! `cargo plugin guest-hello-http`, then `curl -i http://127.0.0.1:8080/`: 200 with one line of text.
//!
//! The smallest `wasi:http` 0.2 handler there can be, so that a benchmark that calls it measures the host and
//! not what a language's library brings along. It gives the answer that `guest-hello` gives, it imports what
//! that answer takes and no more, and it allocates nothing: all its bytes are constants.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use bindings::exports::wasi::http::incoming_handler::{Guest, IncomingRequest, ResponseOutparam};
use bindings::wasi::http::types::{Fields, OutgoingBody, OutgoingResponse};

/// Generated from `wit/`: unsafe where it hands memory to the host, and undocumented.
#[allow(unsafe_code, missing_docs)]
mod bindings {
    #[cfg(target_arch = "wasm32")]
    use super::Hello;

    wit_bindgen::generate!({ path: "wit", world: "jackfield:hello-http/hello", generate_all });
    #[cfg(target_arch = "wasm32")]
    export!(Hello);
}

const HELLO: &[u8] = b"hello from version-1\n";

/// `HELLO.len()`, as a field says it.
const HELLO_LENGTH: &[u8] = b"21";

/// The plug.
pub struct Hello;

impl Guest for Hello {
    /// Whatever fails here traps: the host then answers for it.
    fn handle(_request: IncomingRequest, response_out: ResponseOutparam) {
        let headers = Fields::new();
        headers.append("content-type", b"text/plain").unwrap();
        headers.append("content-length", HELLO_LENGTH).unwrap();
        let response = OutgoingResponse::new(headers);
        let body = response.body().unwrap();
        let stream = body.write().unwrap();
        // The body is whole before the host is told of the answer: with nothing to wait for, it can
        // write head and body at once.
        assert!(stream.check_write().unwrap() >= HELLO.len() as u64);
        stream.write(HELLO).unwrap();
        drop(stream);
        OutgoingBody::finish(body, None).unwrap();
        ResponseOutparam::set(response_out, Ok(response));
    }
}

/// What the standard library would bring along: an allocator, the function through which the host asks it for
/// memory, and a panic that traps. This guest never needs memory: the host would ask for some only to tell
/// why it refuses the answer, and that traps like every other failure.
#[cfg(target_arch = "wasm32")]
mod without_std {
    use alloc::alloc::{GlobalAlloc, Layout};

    struct Nothing;

    #[global_allocator]
    static ALLOCATOR: Nothing = Nothing;

    // SAFETY: null says that there is no memory; so nothing is ever given back.
    #[allow(unsafe_code)]
    unsafe impl GlobalAlloc for Nothing {
        unsafe fn alloc(&self, _: Layout) -> *mut u8 {
            core::ptr::null_mut()
        }

        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
    }

    #[allow(unsafe_code)]
    #[unsafe(no_mangle)]
    extern "C" fn cabi_realloc(_: *mut u8, _: usize, _: usize, _: usize) -> *mut u8 {
        core::arch::wasm32::unreachable()
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        core::arch::wasm32::unreachable()
    }
}

#[cfg(test)]
mod tests {
    use super::{HELLO, HELLO_LENGTH};

    #[test]
    fn the_length_that_is_stated_is_the_bodys() {
        assert_eq!(HELLO.len().to_string().as_bytes(), HELLO_LENGTH);
    }
}
