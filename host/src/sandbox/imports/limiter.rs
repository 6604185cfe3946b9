//! `jackfield:plugin/limiter` over [`crate::capability::Limiter`].

use crate::capability::Limiter;
use crate::capability::limiter::{Decision, TakeError};
use crate::sandbox::bindings::imports::jackfield::plugin::limiter;
use crate::sandbox::state::CallState;

impl limiter::Host for CallState {
    fn take(
        &mut self,
        key: String,
        limit: u32,
        window_ms: u32,
        cost: u32,
    ) -> wasmtime::Result<Result<limiter::Decision, limiter::Error>> {
        let decision = limiter(self)?.take(&key, limit, window_ms, cost);
        Ok(decision.map(Into::into).map_err(Into::into))
    }

    fn peek(
        &mut self,
        key: String,
        limit: u32,
        window_ms: u32,
        cost: u32,
    ) -> wasmtime::Result<Result<limiter::Decision, limiter::Error>> {
        let decision = limiter(self)?.peek(&key, limit, window_ms, cost);
        Ok(decision.map(Into::into).map_err(Into::into))
    }
}

fn limiter(state: &CallState) -> wasmtime::Result<&Limiter> {
    let limiter = state.call.abilities.limiter.as_deref();
    limiter.ok_or_else(|| wasmtime::Error::msg("the grant `limiter` is missing"))
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
