//! The interfaces of `wasi:random`: real random bytes, paid for out of the call's limit `random` by all of them. An
//! instance has one seed, which is free.

use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi::p2::bindings::random::{insecure, random};

use crate::limits::Limit;
use crate::sandbox::totals::Totals;

const WORD_BYTES: u64 = 8;

/// Replaces wasmtime's own functions. Shadowing must be allowed.
pub(in crate::sandbox) fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> PaidRandom<'_>,
) -> wasmtime::Result<()> {
    random::add_to_linker::<_, Random>(linker, view)?;
    insecure::add_to_linker::<_, Random>(linker, view)
}

struct Random;

impl HasData for Random {
    type Data<'a> = PaidRandom<'a>;
}

/// The source of random bytes, and the total that they are paid from.
pub(in crate::sandbox) struct PaidRandom<'a> {
    pub(in crate::sandbox) totals: &'a mut Totals,
    pub(in crate::sandbox) wasi: &'a mut WasiCtx,
}

impl random::Host for PaidRandom<'_> {
    fn get_random_bytes(&mut self, bytes: u64) -> wasmtime::Result<Vec<u8>> {
        self.totals.spend(Limit::Random, bytes)?;
        self.wasi.random().get_random_bytes(bytes)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.totals.spend(Limit::Random, WORD_BYTES)?;
        self.wasi.random().get_random_u64()
    }
}

impl insecure::Host for PaidRandom<'_> {
    fn get_insecure_random_bytes(&mut self, bytes: u64) -> wasmtime::Result<Vec<u8>> {
        self.totals.spend(Limit::Random, bytes)?;
        self.wasi.random().get_insecure_random_bytes(bytes)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.totals.spend(Limit::Random, WORD_BYTES)?;
        self.wasi.random().get_insecure_random_u64()
    }
}
