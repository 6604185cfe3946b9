//! Compiled code → a component that can run: the one place where bytes become machine code.
#![allow(unsafe_code)]

use wasmtime::Engine;
use wasmtime::component::Component;

/// The longest compiled code. CPython's 19 MB component becomes 62 MB.
pub(super) const MAX_CODE_BYTES: usize = 512 << 20;

/// Compiled code that a compiler of this very program made for this very engine: its child process, or an earlier one
/// by way of the cache, which vouches for it by owner, mode and checksum.
pub(super) struct Code<'a>(pub(super) &'a [u8]);

impl Code<'_> {
    /// Takes a copy into memory that can be run. What an engine of other settings made is an error.
    pub(super) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the bytes are what `Engine::precompile_component` gave in a child process of this same program, as
        // `Code` asks of whoever makes one. They are copied from memory that is ours: nobody can change them between
        // the check of their sum and their use, as they could in a file that is mapped.
        unsafe { Component::deserialize(engine, self.0) }
    }
}
