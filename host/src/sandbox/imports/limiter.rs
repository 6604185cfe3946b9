//! The interface `jackfield:plugin/limiter`, over [`crate::capability::Limiter`].

use wasmtime::component::{HasData, Linker};

use crate::capability::Limiter;
use crate::capability::limiter::{Decision, TakeError};
use crate::sandbox::bindings::imports::jackfield::plugin::limiter;

/// The tenant's limiter, if the plugin was granted it.
pub(in crate::sandbox) struct RateLimit<'a>(pub(in crate::sandbox) Option<&'a Limiter>);

/// The key by which bindings find the view.
struct Borrowed;

impl HasData for Borrowed {
    type Data<'a> = RateLimit<'a>;
}

pub(in crate::sandbox) fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> RateLimit<'_>,
) -> wasmtime::Result<()> {
    limiter::add_to_linker::<_, Borrowed>(linker, view)
}

impl RateLimit<'_> {
    fn granted(&self) -> wasmtime::Result<&Limiter> {
        self.0.ok_or_else(|| wasmtime::Error::msg("the grant `limiter` is missing"))
    }
}

impl limiter::Host for RateLimit<'_> {
    fn take(
        &mut self,
        key: String,
        limit: u32,
        window_ms: u32,
        cost: u32,
    ) -> wasmtime::Result<Result<limiter::Decision, limiter::Error>> {
        let decision = self.granted()?.take(&key, limit, window_ms, cost);
        Ok(decision.map(Into::into).map_err(Into::into))
    }

    fn peek(
        &mut self,
        key: String,
        limit: u32,
        window_ms: u32,
        cost: u32,
    ) -> wasmtime::Result<Result<limiter::Decision, limiter::Error>> {
        let decision = self.granted()?.peek(&key, limit, window_ms, cost);
        Ok(decision.map(Into::into).map_err(Into::into))
    }
}

impl From<Decision> for limiter::Decision {
    fn from(decision: Decision) -> Self {
        let Decision { allowed, remaining, reset_ms, retry_after_ms } = decision;
        Self { allowed, remaining, reset_ms, retry_after_ms }
    }
}

impl From<TakeError> for limiter::Error {
    fn from(error: TakeError) -> Self {
        match error {
            TakeError::KeyTooLong { .. } => Self::KeyTooLong,
            TakeError::InvalidWindow { .. } => Self::InvalidWindow,
            TakeError::InvalidCost { .. } => Self::InvalidCost,
        }
    }
}
