//! `wasi:random`: real random bytes, paid for out of the call's limit `random`, whichever of the interfaces gives them.
//! The seed is one for an instance, and free.

use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::bindings::random::{insecure, random};

use crate::limits::Limit;
use crate::sandbox::state::CallState;

/// Random bytes that a guest may ask for at once: they are made without a look at its CPU.
pub const RANDOM_BYTES_AT_ONCE: u64 = 64 << 10;

const WORD_BYTES: u64 = 8;

/// Takes the place of wasmtime's own. Shadowing must be allowed.
pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    random::add_to_linker::<_, Random>(linker, |state| Paid(state))?;
    insecure::add_to_linker::<_, Random>(linker, |state| Paid(state))
}

struct Random;

impl HasData for Random {
    type Data<'a> = Paid<'a>;
}

struct Paid<'a>(&'a mut CallState);

impl random::Host for Paid<'_> {
    fn get_random_bytes(&mut self, bytes: u64) -> wasmtime::Result<Vec<u8>> {
        self.0.call.totals.spend(Limit::Random, bytes)?;
        self.0.ctx().ctx.random().get_random_bytes(bytes)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.0.call.totals.spend(Limit::Random, WORD_BYTES)?;
        self.0.ctx().ctx.random().get_random_u64()
    }
}

impl insecure::Host for Paid<'_> {
    fn get_insecure_random_bytes(&mut self, bytes: u64) -> wasmtime::Result<Vec<u8>> {
        self.0.call.totals.spend(Limit::Random, bytes)?;
        self.0.ctx().ctx.random().get_insecure_random_bytes(bytes)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.0.call.totals.spend(Limit::Random, WORD_BYTES)?;
        self.0.ctx().ctx.random().get_insecure_random_u64()
    }
}
