//! One call: its instance, its limits, its end. A call whose bodies are streams is `stream.rs`'s.
//!
//! The wall deadline stands outside the guest's future and drops it, store and all, so it holds in a
//! start function and in post-return too. The CPU limit is looked at on every tick of the epoch.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::ResourceTableError;
use wasmtime::{Store, UpdateDeadline};

use super::engine::Sandbox;
use super::instances::{Instance, Instances};
use super::message::{HeaderChange, Request, RequestHead, Response, ResponseHead, Verdict};
use super::meter::{Meter, Metered, Tick};
use super::refusal::{advice, of_system};
use super::state::{Abilities, CallState, Context, PerCall};
use super::totals::Beyond;
use crate::limits::{Limit, Limits};
use crate::observe::{Outcome, Plug, PluginLog};

/// Bytes that a guest may pass in one call of the host, or as its answer, beside the body: headers,
/// keys, log lines, a batch of values.
pub const MESSAGE_BYTES: u64 = 9 << 20;

/// Why a call has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// It used up `cpu`.
    #[error("it used more CPU than its limit of {limit:?}")]
    Cpu {
        /// The limit.
        limit: Duration,
    },
    /// It was not done by its deadline.
    #[error("it was not done by its deadline")]
    Wall,
    /// Its answer's body took longer than `stream`.
    #[error("its answer's body took longer than its limit of {limit:?}")]
    Stream {
        /// The limit.
        limit: Duration,
    },
    /// It trapped after `memory` was refused to it.
    #[error("it trapped after it was refused more than {limit_bytes} bytes of memory: {reason}")]
    Memory {
        /// The limit.
        limit_bytes: u64,
        /// The trap.
        reason: String,
    },
    /// It trapped for being beyond another limit, or after more was refused to it.
    #[error("it trapped, beyond its limit `{limit}` of {most}: {reason}")]
    Beyond {
        /// Which.
        limit: Limit,
        /// What it is.
        most: u64,
        /// The trap.
        reason: String,
    },
    /// It trapped.
    #[error("it trapped: {0}")]
    Trap(String),
    /// It called `exit`.
    #[error("it exited before it answered: {0}")]
    Exit(String),
    /// It returned an error of its own.
    #[error("it returned an error: {0}")]
    Returned(String),
    /// It returned the error that a request to another server had met.
    #[error("a server that it asked failed, and it returned the error: {code}")]
    Upstream {
        /// The error.
        code: String,
        /// Whether the server was too slow.
        is_timeout: bool,
    },
    /// It returned without an answer.
    #[error("it returned without setting a response")]
    Unset,
    /// It left its answer's body unfinished, or with another length than it had stated.
    #[error("it did not finish its answer's body, or not with the length that it had stated")]
    Unfinished,
    /// It began to tell of a failure of its own, and did not end that: an engine's last words, such as JavaScript's for
    /// an exception that nobody caught.
    #[error("it began an answer of status {status} and did not finish its body; what it printed may say why")]
    GaveUp {
        /// The status.
        status: u16,
    },
    /// Its answer was too large to be taken over.
    #[error("its answer, or what it passed to the host, was larger than it may be: {0}")]
    TooLarge(String),
    /// No slot of the pool was free, the system refused it what an instance takes, or the component is not this plug.
    /// The host's fault.
    #[error("the host could not run it: {0}")]
    Host(String),
}

impl CallError {
    /// How the call ended, for metrics.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Cpu { .. } => Outcome::Limit(Limit::Cpu),
            Self::Wall => Outcome::Limit(Limit::Wall),
            Self::Stream { .. } => Outcome::Limit(Limit::Stream),
            Self::Memory { .. } => Outcome::Limit(Limit::Memory),
            Self::Beyond { limit, .. } => Outcome::Limit(*limit),
            Self::Trap(_) | Self::Exit(_) => Outcome::Trap,
            Self::Returned(_) | Self::Unset | Self::GaveUp { .. } => Outcome::Error,
            Self::Upstream { .. } => Outcome::Upstream,
            Self::Unfinished => Outcome::Answer,
            Self::TooLarge(_) => Outcome::Limit(Limit::ResponseBody),
            Self::Host(_) => Outcome::Host,
        }
    }
}

/// How a call ended, and what it cost.
#[derive(Debug)]
pub struct Called<T> {
    /// The answer, or why there is none.
    pub result: Result<T, CallError>,
    /// CPU time, host calls included.
    pub cpu: Duration,
}

/// Everything that one call is given besides its message.
pub struct Call {
    /// The limits of its plugin.
    pub limits: Arc<Limits>,
    /// The moment by which it must have ended: by `wall`, or what its request has left of that.
    pub deadline: Instant,
    /// The facts about its request.
    pub context: Arc<Context>,
    /// What its plugin was granted.
    pub abilities: Arc<Abilities>,
    /// Where its lines go.
    pub log: PluginLog,
    /// What its CPU is counted on: one for this call alone.
    pub meter: Arc<Meter>,
}

impl Sandbox {
    /// Calls a handler.
    pub async fn handle(&self, instances: &Instances, call: Call, request: Request) -> Called<Response> {
        self.run(instances, call, async move |instance| {
            let (store, plug) = instance.handler().await?;
            let answer = plug.jackfield_plugin_handler().call_handle(&mut *store, &request).await;
            answer.map_err(Stop::Run)?.map_err(Stop::Returned)
        })
        .await
    }

    /// Calls a request filter.
    pub async fn on_request(
        &self,
        instances: &Instances,
        call: Call,
        request: &RequestHead,
    ) -> Called<Verdict> {
        self.run(instances, call, async move |instance| {
            let (store, plug) = instance.request_filter().await?;
            let filter = plug.jackfield_plugin_request_filter();
            filter.call_on_request(&mut *store, request).await.map_err(Stop::Run)
        })
        .await
    }

    /// Calls a response filter.
    pub async fn on_response(
        &self,
        instances: &Instances,
        call: Call,
        request: &RequestHead,
        response: &ResponseHead,
    ) -> Called<Vec<HeaderChange>> {
        self.run(instances, call, async move |instance| {
            let (store, plug) = instance.response_filter().await?;
            let filter = plug.jackfield_plugin_response_filter();
            let changes = filter.call_on_response(&mut *store, request, response).await;
            changes.map_err(Stop::Run)?.map_err(Stop::Returned)
        })
        .await
    }

    async fn run<T>(
        &self,
        instances: &Instances,
        call: Call,
        guest: impl AsyncFnOnce(&mut Instance) -> Result<T, Stop>,
    ) -> Called<T> {
        let (limits, deadline) = (call.limits.clone(), call.deadline);
        let meter = call.meter.clone();
        let mut instance = self.instance(instances, call);
        let guest = Box::pin({
            let meter = meter.clone();
            async move {
                let result = guest(&mut instance).await;
                let result = result.map_err(|stop| stop.explain(&limits, &meter, instance.state()));
                if result.is_ok() {
                    instance.give_back();
                }
                result
            }
        });
        let guest = Metered::new(meter.clone(), self.activity.clone(), guest);
        let result = match tokio::time::timeout_at(deadline, guest).await {
            Ok(result) => result,
            Err(_elapsed) => Err(CallError::Wall),
        };
        Called { result, cpu: meter.used() }
    }

    /// The store of a new instance. The limits that it has for good are the plugin's own.
    pub(super) fn store(&self, call: PerCall) -> Store<CallState> {
        let limits = call.limits.clone();
        let mut store = Store::new(&self.engine, CallState::new(call));
        store.limiter(|state| &mut state.memory);
        let message_bytes = limits.response_body.saturating_add(MESSAGE_BYTES);
        store.set_hostcall_fuel(usize::try_from(message_bytes).unwrap_or(usize::MAX));
        store.set_max_component_handles(limits.handles);
        store.epoch_deadline_callback(|store| {
            Ok(match store.data().call.meter.tick() {
                Tick::GoesOn => UpdateDeadline::Continue(1),
                Tick::Yields => UpdateDeadline::Yield(1),
                Tick::Exceeded => UpdateDeadline::Interrupt,
            })
        });
        store
    }
}

/// Where a call stopped, in wasmtime's words.
pub(super) enum Stop {
    Start(wasmtime::Error),
    Run(wasmtime::Error),
    Returned(String),
    NotThisPlug(Plug),
    NotReady,
}

impl Stop {
    /// Whose fault it was. What the guest was stopped for is asked first: the trap that follows a
    /// refused growth, or a limit, says nothing of it.
    pub(super) fn explain(self, limits: &Limits, meter: &Meter, state: &CallState) -> CallError {
        let error = match self {
            Self::Returned(text) => return CallError::Returned(text),
            Self::NotThisPlug(plug) => return CallError::Host(format!("it is no {}", plug.as_str())),
            Self::NotReady => return CallError::Host("its imports are not all offered here".into()),
            Self::Start(error) | Self::Run(error) => error,
        };
        let reason = format!("{error:#}");
        if error.is::<wasmtime::PoolConcurrencyLimitError>() {
            CallError::Host(reason)
        } else if meter.exceeded() {
            CallError::Cpu { limit: limits.cpu }
        } else if let Some(errno) = of_system(&error) {
            CallError::Host(format!("{reason}; {}", advice(errno)))
        } else if let Some(errno) = state.memory.denied() {
            CallError::Host(format!(
                "{reason}, after the system denied it memory: {errno}; {}",
                advice(errno)
            ))
        } else if error.is::<wasmtime_wasi::I32Exit>() {
            CallError::Exit(reason)
        } else if let Some((limit, most)) = beyond(&error, &reason, limits, state) {
            CallError::Beyond { limit, most, reason }
        } else if state.memory.refused() {
            CallError::Memory { limit_bytes: limits.memory, reason }
        // wasmtime 50 keeps the type of this error to itself; the suite notices if its words change.
        } else if reason.contains("fuel allocated for hostcalls") {
            CallError::TooLarge(reason)
        } else {
            CallError::Trap(reason)
        }
    }
}

/// The limit that a trap is due to, and what it is.
fn beyond(error: &wasmtime::Error, reason: &str, limits: &Limits, state: &CallState) -> Option<(Limit, u64)> {
    let reached = |limit| Some((limit, limits.get(limit)));
    if let Some(Beyond { limit, most, .. }) = error.downcast_ref() {
        return Some((*limit, *most));
    }
    let is_full = matches!(error.downcast_ref(), Some(ResourceTableError::Full));
    // wasmtime 50 has no type for its own count of handles; the suite notices if its words change.
    if is_full || reason.contains("store handle limit exceeded") {
        return reached(Limit::Handles);
    }
    let is_refused = state.memory.tables.refused() && !state.memory.refused();
    if is_refused { reached(Limit::Tables) } else { None }
}
