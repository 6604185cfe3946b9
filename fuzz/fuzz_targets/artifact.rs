//! Any bytes at all as an artifact: what is looked at before anything is compiled neither panics, hangs nor grows.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../host/src/sandbox/intake.rs"]
mod intake;

fuzz_target!(|bytes: &[u8]| {
    let _taken_or_refused = intake::check(bytes);
});
