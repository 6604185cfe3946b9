//! Any bytes at all as what a client sends: the strict scanner does not panic, it does not matter to it how they are
//! cut into pieces, and other readers find the same requests in what it lets through.

#![no_main]

use libfuzzer_sys::fuzz_target;

/// What the scanner takes from the rooms around it.
mod request {
    #[derive(Debug)]
    #[allow(dead_code)]
    pub(crate) enum MessageError {
        Malformed(&'static str),
        Coding,
        Method,
        Version,
        TargetLength { most: usize },
        HeadTooLarge,
    }
}

mod listen {
    /// The bounds are low here, so that the fuzzer comes to them.
    pub(crate) mod bounds {
        pub(crate) const MAX_HEAD_BYTES: usize = 1024;
        pub(crate) const MAX_HEAD_FIELDS: usize = 16;
        pub(crate) const MAX_TARGET_BYTES: usize = 128;
    }
}

#[allow(dead_code)]
#[path = "../../host/src/listen/http/scan/agreement.rs"]
mod agreement;

#[allow(dead_code)]
#[path = "../../host/src/listen/http/scan/mod.rs"]
mod scan;

use scan::{Scan, ScanPosition, ScanStep};

fuzz_target!(|bytes: &[u8]| agreement::check(bytes));
