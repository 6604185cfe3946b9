//! One link of a chain: its permits, its limits, and its line in the metrics.
//!
//! No calls wait for one another in a circle. A call has its plugin's permit while it waits for a slot, a stream has both
//! while filters are called on its answer, and these take a permit and a slot that are for such calls alone: one permit
//! beyond the plugin's `concurrency` (`Gate::enter_beside_stream`), and slots beside those of all others. So what is taken
//! goes one way (permit, slot, permit beside, slot beside), and who has the last two waits for nothing but the end of its
//! own call.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::admit::{Place, deadline};
use super::error::{AdmissionError, PluginError, RequestError};
use super::{Capacity, Requests};
use crate::cpu::CpuTask;
use crate::observe::{self, Outcome, Plug, PluginLog};
use crate::sandbox::{Call, CallError, CallLimits, Context, Sandbox};
use crate::snapshot::{Plugin, Revision};
use crate::tenant::{Patience, Permit, Refused, Slot};

/// A call that may run: it holds the plugin's permit and one of the host's slots, and is counted however
/// it ends, also when its caller leaves.
pub(super) struct Running {
    plugin: Arc<Plugin>,
    plug: Plug,
    outcome: Outcome,
    cpu: CpuTask,
    /// None once they are given back.
    permits: Option<Permits>,
    held: Held,
}

/// A tenant's things that a call holds, as long as it runs, and of a stream the body as well, whichever lasts longer.
pub(super) struct Held {
    /// A guest that goes on drains with it.
    pub(super) revision: Arc<Revision>,
    /// A call counts in the tenant's quota.
    pub(super) _place: Option<Arc<Place>>,
}

/// Permits that a call holds while it runs.
struct Permits {
    _place: Permit,
    _slot: Slot,
    _in_flight: observe::Held,
}

/// The part of its request that is alive while a call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// No other call.
    Nothing,
    /// The plugin's, whose answer streams.
    Stream,
}

/// Adds what a call has used, also when nobody waits for its end.
struct Spending<'a> {
    total: &'a mut Duration,
    cpu: CpuTask,
}

impl Drop for Spending<'_> {
    fn drop(&mut self) {
        *self.total = self.total.saturating_add(self.cpu.used());
    }
}

impl Requests {
    /// The plugin's own permit, then one of the host's slots: in this order, so that a plugin that is full keeps
    /// nobody else from a slot.
    pub(super) async fn begin(
        &self,
        plugin: &Arc<Plugin>,
        plug: Plug,
        deadline: Instant,
        patience: &mut Patience,
        held: Held,
        beside: Beside,
    ) -> Result<Running, RequestError> {
        let rejected = |error| {
            plugin.metrics.queue_rejected();
            RequestError::Admission(error)
        };
        let waiting = plugin.metrics.waiting_guard();
        let Capacity { slots, slots_beside_streams, .. } = &self.capacity;
        let (place, slots) = match beside {
            Beside::Nothing => (plugin.gate.enter(patience, deadline).await, slots),
            Beside::Stream => {
                (plugin.gate.enter_beside_stream(patience, deadline).await, slots_beside_streams)
            }
        };
        let place = place.map_err(|refused| rejected(AdmissionError::Plugin(refused)))?;
        let slot = slots.enter(&plugin.share, patience, deadline).await.map_err(|refused| {
            rejected(match refused {
                Refused::Part { .. } => AdmissionError::Part(refused),
                _ => AdmissionError::Host(refused),
            })
        })?;
        drop(waiting);
        Ok(Running {
            plugin: plugin.clone(),
            plug,
            outcome: Outcome::Cancelled,
            cpu: self.capacity.cpu.task(plugin.share.cpu(), &plugin.habit, plugin.limits.cpu),
            permits: Some(Permits {
                _place: place,
                _slot: slot,
                _in_flight: plugin.metrics.in_flight_guard(),
            }),
            held,
        })
    }

    /// A call as the sandbox takes it, which must end at `latest`, or when the plugin's own `wall` does.
    pub(super) fn call(&self, running: &Running, context: &Arc<Context>, latest: Instant) -> Call {
        let plugin = &running.plugin;
        let limits = &plugin.limits;
        Call {
            limits: CallLimits {
                cpu: limits.cpu,
                deadline: deadline(limits.wall).min(latest),
                memory_bytes: limits.memory,
                response_body_bytes: limits.response_body,
                stream: limits.stream,
                outbound: limits.outbound,
                outbound_bytes: limits.outbound_bytes,
                handles: limits.handles,
                table_elements: limits.tables,
                fields_bytes: limits.fields,
                random_bytes: limits.random,
                log_lines: limits.log_lines,
                log_bytes: limits.log_bytes,
            },
            context: context.clone(),
            abilities: plugin.abilities.clone(),
            log: self.plugin_log(plugin, context),
            cpu: running.cpu.clone(),
        }
    }

    /// Runs a call, which holds its permits until it is gone, also when nobody waits for it any more. The CPU that it used
    /// is added to `total`.
    pub(super) async fn run_call<T, F>(
        &self,
        running: Running,
        call: Call,
        total: &mut Duration,
        guest: impl FnOnce(Arc<Sandbox>, Arc<Plugin>, Call) -> F,
    ) -> (Running, Result<T, CallError>)
    where
        T: Send + 'static,
        F: Future<Output = Result<T, CallError>> + Send + 'static,
    {
        let cpu = running.cpu.clone();
        let guest = guest(self.sandbox.clone(), running.plugin.clone(), call);
        let spending = Spending { total, cpu };
        let (result, running) = spending.cpu.run(guest, running).await;
        (running, result)
    }

    /// The log of a call.
    pub(super) fn plugin_log(&self, plugin: &Plugin, context: &Context) -> PluginLog {
        PluginLog::new(self.ledger.log.clone(), plugin.metrics.clone(), context.request_id.clone())
    }
}

impl Running {
    /// Whose call it is.
    pub(super) fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// The call as the CPU sees it.
    pub(super) fn cpu(&self) -> &CpuTask {
        &self.cpu
    }

    /// The revision that it is of.
    pub(super) fn revision(&self) -> &Arc<Revision> {
        &self.held.revision
    }

    /// Its instance is gone; how it ended is still to be told.
    pub(super) fn release(&mut self) {
        self.permits = None;
    }

    /// The call has ended: what it gave, if `accept` takes it.
    pub(super) fn end<T, R>(
        mut self,
        result: Result<T, CallError>,
        accept: impl FnOnce(T) -> Result<R, PluginError>,
    ) -> Result<R, RequestError> {
        let accepted = result.map_err(PluginError::Call).and_then(accept);
        self.outcome = match &accepted {
            Ok(_) => Outcome::Ok,
            Err(PluginError::Call(error)) => error.outcome(),
            Err(PluginError::Answer(_)) => Outcome::Answer,
            Err(PluginError::BodyTooLarge { .. }) => Outcome::ResponseBody,
        };
        Ok(accepted?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.plugin.metrics.call(self.plug, self.outcome, self.cpu.used());
    }
}
