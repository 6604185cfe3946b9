//! Compiled code → a component that can run: the one place where bytes become machine code.
#![allow(unsafe_code)]

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::sandbox::component_error::ComponentError;
use crate::sandbox::refusal::{advice, of_system};

/// The longest compiled code. CPython's 19 MB component becomes 62 MB.
pub(super) const MAX_CODE_BYTES: usize = 512 << 20;

/// Compiled code that a compiler of this very program made for this very engine: its child process, or an earlier one
/// by way of the cache, which vouches for the code by owner, mode and checksum.
pub(super) struct CompiledCode<'a>(pub(super) &'a [u8]);

impl CompiledCode<'_> {
    /// Copies the code into memory that can be run. CompiledCode of an engine with other settings is an error.
    pub(super) fn load(&self, engine: &Engine) -> Result<Component, ComponentError> {
        // SAFETY: the bytes are the result of `Engine::precompile_component` in a child process of this same program,
        // which `CompiledCode` demands of its maker. They are copied from the host's own memory: nobody can change them
        // between the check of their sum and their use, as in a mapped file.
        let loaded = unsafe { Component::deserialize(engine, self.0) };
        loaded.map_err(|error| match of_system(&error) {
            // A refusal of the system is not the component's fault; a component that does not fit the pool is at
            // fault.
            Some(errno) => ComponentError::NoInstance(format!("{error:#}; {}", advice(errno))),
            None if error.is::<wasmtime::OutOfMemory>() => ComponentError::NoInstance(format!("{error:#}")),
            None => ComponentError::Invalid(format!("{error:#}")),
        })
    }
}
