//! Any head that a lenient parser takes, as HTTP/1 and as HTTP/2: the gate does not panic, and whom it lets through it names in a
//! way that nobody can read otherwise.

#![no_main]

use libfuzzer_sys::fuzz_target;

/// What the gate takes from the rooms around it.
mod request {
    use std::sync::Arc;

    #[derive(Debug)]
    pub(crate) struct Authority {
        pub(crate) authority: Arc<str>,
        pub(crate) host: Arc<str>,
    }

    #[derive(Debug)]
    #[allow(dead_code)]
    pub(crate) enum MessageError {
        Malformed(&'static str),
        Expectation,
        Coding,
        Method,
        TargetLength { most: usize },
        HeadTooLarge,
    }
}

mod listen {
    /// The bounds are low here, so that the fuzzer comes to them.
    pub(crate) mod bounds {
        pub(crate) const MAX_HEAD_FIELDS: usize = 16;
        pub(crate) const MAX_TARGET_BYTES: usize = 128;
    }
}

#[path = "../../host/src/listen/http/gate/agreement.rs"]
mod agreement;

#[allow(dead_code)]
#[path = "../../host/src/listen/http/gate.rs"]
mod gate;

use gate::{check, join_cookies, settle_host};

fuzz_target!(|bytes: &[u8]| agreement::check(bytes));
