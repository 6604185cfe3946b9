//! The ways in which a call ends without an answer, with the party whose fault each is.

use std::time::Duration;

use wasmtime::component::ResourceTableError;

use super::memory::MemoryAccount;
use super::refusal::{advice, of_system};
use super::totals::Beyond;
use crate::cpu::CpuTask;
use crate::limits::{Limit, Limits};
use crate::observe::{CallOutcome, Plug};

/// The reason why a call has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The guest used up `cpu`.
    #[error("it used more CPU than its limit of {limit:?}")]
    Cpu {
        /// The plugin's `cpu`.
        limit: Duration,
    },
    /// The call was not done by its deadline.
    #[error("it was not done by its deadline")]
    Wall,
    /// The answer's body took longer than `stream`.
    #[error("its answer's body took longer than its limit of {limit:?}")]
    Stream {
        /// The plugin's `stream`.
        limit: Duration,
    },
    /// The guest trapped after `memory` was refused to it.
    #[error("it trapped after it was refused more than {limit_bytes} bytes of memory: {reason}")]
    Memory {
        /// The plugin's `memory`.
        limit_bytes: u64,
        /// The trap.
        reason: String,
    },
    /// The guest trapped because it was beyond another limit, or after more was refused to it.
    #[error("it trapped, beyond its limit `{limit}` of {most}: {reason}")]
    Beyond {
        /// The limit.
        limit: Limit,
        /// The limit's value.
        most: u64,
        /// The trap.
        reason: String,
    },
    /// The guest trapped.
    #[error("it trapped: {0}")]
    Trap(String),
    /// The guest called `exit`.
    #[error("it exited before it answered: {0}")]
    Exit(String),
    /// The guest returned an error of its own.
    #[error("it returned an error: {0}")]
    Returned(String),
    /// The guest returned the error that its request to another server had met.
    #[error("a server that it asked failed, and it returned the error: {code}")]
    Upstream {
        /// The error's code.
        code: String,
        /// The server was too slow.
        is_timeout: bool,
    },
    /// The guest returned without an answer.
    #[error("it returned without setting a response")]
    Unset,
    /// The guest left its answer's body unfinished, or gave it another length than it had stated.
    #[error("it did not finish its answer's body, or not with the length that it had stated")]
    Unfinished,
    /// The guest began to tell of a failure of its own, and did not finish: an engine's last words, such as
    /// JavaScript's for an exception that nobody caught.
    #[error("it began an answer of status {status} and did not finish its body; what it printed may say why")]
    GaveUp {
        /// The answer's status.
        status: u16,
    },
    /// The answer was too large to be taken over.
    #[error("its answer, or what it passed to the host, was larger than it may be: {0}")]
    TooLarge(String),
    /// The host could not run the guest: no slot of the pool was free, the system refused the resources of an
    /// instance, its code is lost, or the component is not this plug.
    #[error("the host could not run it: {0}")]
    Host(String),
}

impl CallError {
    /// The call's outcome, for metrics.
    pub fn outcome(&self) -> CallOutcome {
        match self {
            Self::Cpu { .. } => CallOutcome::Limit(Limit::Cpu),
            Self::Wall => CallOutcome::Limit(Limit::Wall),
            Self::Stream { .. } => CallOutcome::Limit(Limit::Stream),
            Self::Memory { .. } => CallOutcome::Limit(Limit::Memory),
            Self::Beyond { limit, .. } => CallOutcome::Limit(*limit),
            Self::Trap(_) | Self::Exit(_) => CallOutcome::Trap,
            Self::Returned(_) | Self::Unset | Self::GaveUp { .. } => CallOutcome::Error,
            Self::Upstream { .. } => CallOutcome::Upstream,
            Self::Unfinished => CallOutcome::Answer,
            Self::TooLarge(_) => CallOutcome::Limit(Limit::ResponseBody),
            Self::Host(_) => CallOutcome::Host,
        }
    }
}

/// The stop of a call, in wasmtime's words.
pub(super) enum CallStop {
    Start(wasmtime::Error),
    Run(wasmtime::Error),
    Returned(String),
    NotThisPlug(Plug),
    NotReady,
    /// The component's code cannot be had, for this reason.
    NoCode(String),
}

impl CallStop {
    /// The error that says whose fault the stop was. The reason for which the host stopped the guest is checked
    /// first: the trap that follows a refused growth, or a limit, says nothing of that reason.
    pub(super) fn explain(self, limits: &Limits, cpu: &CpuTask, memory: &MemoryAccount) -> CallError {
        let error = match self {
            Self::Returned(text) => return CallError::Returned(text),
            Self::NotThisPlug(plug) => return CallError::Host(format!("it is no {}", plug.as_str())),
            Self::NotReady => return CallError::Host("its imports are not all offered here".into()),
            Self::NoCode(why) => return CallError::Host(format!("its code cannot be had: {why}")),
            Self::Start(error) | Self::Run(error) => error,
        };
        let reason = format!("{error:#}");
        if error.is::<wasmtime::PoolConcurrencyLimitError>() {
            CallError::Host(reason)
        } else if cpu.has_exceeded() {
            CallError::Cpu { limit: limits.cpu }
        } else if let Some(errno) = of_system(&error) {
            CallError::Host(format!("{reason}; {}", advice(errno)))
        } else if let Some(errno) = memory.denied() {
            CallError::Host(format!(
                "{reason}, after the system denied it memory: {errno}; {}",
                advice(errno)
            ))
        } else if error.is::<wasmtime_wasi::I32Exit>() {
            CallError::Exit(reason)
        } else if let Some((limit, most)) = beyond(&error, &reason, limits, memory) {
            CallError::Beyond { limit, most, reason }
        } else if memory.refused() {
            CallError::Memory { limit_bytes: limits.memory, reason }
        // wasmtime 50 does not export the type of this error; the suite notices if its words change.
        } else if reason.contains("fuel allocated for hostcalls") {
            CallError::TooLarge(reason)
        } else {
            CallError::Trap(reason)
        }
    }
}

/// The limit that a trap is due to, and the limit's value.
fn beyond(
    error: &wasmtime::Error,
    reason: &str,
    limits: &Limits,
    memory: &MemoryAccount,
) -> Option<(Limit, u64)> {
    let reached = |limit| Some((limit, limits.get(limit)));
    if let Some(Beyond { limit, most, .. }) = error.downcast_ref() {
        return Some((*limit, *most));
    }
    let is_full = matches!(error.downcast_ref(), Some(ResourceTableError::Full));
    // wasmtime 50 has no type for its own count of handles; the suite notices if its words change.
    if is_full || reason.contains("store handle limit exceeded") {
        return reached(Limit::Handles);
    }
    let is_refused = memory.tables.refused() && !memory.refused();
    if is_refused { reached(Limit::Tables) } else { None }
}
