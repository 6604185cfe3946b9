//! One link of a chain: a plugin in one of its plugs, for one request. A link enters with its permits and runs, and
//! its result is accepted.
//!
//! No calls wait for one another in a circle. A call has its plugin's permit while it waits for a slot, and a stream
//! has both while filters are called on its answer. These filter calls take a permit and a slot that are for such
//! calls alone: one permit beyond the plugin's `concurrency` (`Gate::enter_beside_stream`), and slots beside those of
//! all others. So permits and slots are taken in one order (permit, slot, permit beside, slot beside), and a call
//! that has the last two waits for nothing but its own end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::admit::{Admitted, deadline};
use super::error::{AdmissionError, PluginError, RequestError};
use super::place::QuotaPlace;
use super::service::{Capacity, Requests};
use crate::cpu::CpuTask;
use crate::limits::Limit;
use crate::observe::{self, CallOutcome, Plug, PluginLog};
use crate::sandbox::{Call, CallError, Context, Sandbox};
use crate::snapshot::{Plugin, Revision};
use crate::tenant::{Permit, Refused, Slot};

/// A link that is to be called.
pub(super) struct Link<'a> {
    pub(super) plugin: &'a Arc<Plugin>,
    pub(super) plug: Plug,
    /// The latest end of the call, if the plugin's own `wall` does not end before.
    pub(super) deadline: Instant,
    pub(super) beside: Beside,
}

/// The call of the same request that is alive while a link runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// No other call.
    Nothing,
    /// The call of the plugin whose answer streams.
    Stream,
}

/// A call that may run: it holds the plugin's permit and one of the host's slots. It is counted however it ends, also
/// when its caller leaves.
pub(super) struct InFlight {
    plugin: Arc<Plugin>,
    plug: Plug,
    deadline: Instant,
    outcome: CallOutcome,
    cpu: CpuTask,
    /// None once the permits are given back.
    permits: Option<Permits>,
    /// The revision stays alive with the call: a guest that goes on drains with its revision, and counts in its
    /// tenant's quota.
    revision: Arc<Revision>,
    _place: Arc<QuotaPlace>,
}

/// Permits that a call holds while it runs.
struct Permits {
    _permit: Permit,
    _slot: Slot,
    _in_flight: observe::GaugeGuard,
}

/// A guard that adds the CPU that a call or an encoder has used to its request's total, also when nobody waits for the call's end.
pub(super) struct Spending<'a> {
    pub(super) total: &'a mut Duration,
    pub(super) cpu: CpuTask,
}

impl Drop for Spending<'_> {
    fn drop(&mut self) {
        *self.total = self.total.saturating_add(self.cpu.used());
    }
}

impl<'a> Link<'a> {
    /// A link on the way in, while no other call of its request is alive.
    pub(super) fn inward(plugin: &'a Arc<Plugin>, plug: Plug, request: &Admitted<'_>) -> Self {
        Self { plugin, plug, deadline: request.deadline, beside: Beside::Nothing }
    }

    /// Takes the plugin's own permit, then one of the host's slots: in this order, so that a plugin that is full
    /// keeps no other plugin from a slot.
    pub(super) async fn enter(
        self,
        capacity: &Capacity,
        request: &mut Admitted<'_>,
    ) -> Result<InFlight, RequestError> {
        let Self { plugin, plug, deadline, beside } = self;
        let rejected = |error| {
            plugin.metrics.queue_rejected();
            RequestError::Admission(error)
        };
        let waiting = plugin.metrics.waiting_guard();
        let patience = &mut request.patience;
        let (permit, slots) = match beside {
            Beside::Nothing => (plugin.gate.enter(patience, deadline).await, &capacity.slots),
            Beside::Stream => {
                (plugin.gate.enter_beside_stream(patience, deadline).await, &capacity.slots_beside_streams)
            }
        };
        let permit = permit.map_err(|refused| rejected(AdmissionError::Plugin(refused)))?;
        let slot = slots.enter(&plugin.share, patience, deadline).await.map_err(|refused| {
            rejected(match refused {
                Refused::Part { .. } => AdmissionError::Part(refused),
                _ => AdmissionError::Host(refused),
            })
        })?;
        drop(waiting);
        Ok(InFlight {
            plugin: plugin.clone(),
            plug,
            deadline,
            outcome: CallOutcome::Cancelled,
            cpu: capacity.cpu.task(plugin.share.cpu(), &plugin.habit, plugin.limits.cpu),
            permits: Some(Permits {
                _permit: permit,
                _slot: slot,
                _in_flight: plugin.metrics.in_flight_guard(),
            }),
            revision: request.revision.clone(),
            _place: request.place().clone(),
        })
    }
}

impl Requests {
    /// Calls a link to its end: the link enters, `guest` runs, and `accept` takes the guest's result.
    pub(super) async fn call<T, R, F>(
        &self,
        link: Link<'_>,
        request: &mut Admitted<'_>,
        guest: impl FnOnce(Arc<Sandbox>, Arc<Plugin>, Call) -> F,
        accept: impl FnOnce(T) -> Result<R, PluginError>,
    ) -> Result<R, RequestError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, CallError>> + Send + 'static,
    {
        let in_flight = link.enter(&self.capacity, request).await?;
        let (in_flight, result) = self.run(in_flight, request, guest).await;
        in_flight.accept(result, accept)
    }

    /// Runs a call. The call holds its permits until its guest is gone, also when nobody waits for it any more. The
    /// CPU that it used is added to its request's account.
    pub(super) async fn run<T, F>(
        &self,
        in_flight: InFlight,
        request: &mut Admitted<'_>,
        guest: impl FnOnce(Arc<Sandbox>, Arc<Plugin>, Call) -> F,
    ) -> (InFlight, Result<T, CallError>)
    where
        T: Send + 'static,
        F: Future<Output = Result<T, CallError>> + Send + 'static,
    {
        let call = self.sandbox_call(&in_flight, &request.context);
        let guest = guest(self.sandbox.clone(), in_flight.plugin.clone(), call);
        let spending = Spending { total: request.account.cpu(), cpu: in_flight.cpu.clone() };
        let (result, in_flight) = spending.cpu.run(guest, in_flight).await;
        (in_flight, result)
    }

    /// A call as the sandbox takes it.
    fn sandbox_call(&self, in_flight: &InFlight, context: &Arc<Context>) -> Call {
        let plugin = &in_flight.plugin;
        Call {
            limits: plugin.limits.clone(),
            deadline: in_flight.ends_at(),
            context: context.clone(),
            abilities: plugin.abilities.clone(),
            log: self.plugin_log(plugin, context),
            cpu: in_flight.cpu.clone(),
        }
    }

    /// The log of a call.
    pub(super) fn plugin_log(&self, plugin: &Plugin, context: &Context) -> PluginLog {
        PluginLog::new(self.ledger.log.clone(), plugin.metrics.clone(), context.request_id.clone())
    }
}

impl InFlight {
    /// The plugin that is called.
    pub(super) fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// The call's task on the CPU.
    pub(super) fn cpu(&self) -> &CpuTask {
        &self.cpu
    }

    /// The revision that the plugin belongs to.
    pub(super) fn revision(&self) -> &Arc<Revision> {
        &self.revision
    }

    /// The latest end of the call, if its guest begins now.
    pub(super) fn ends_at(&self) -> Instant {
        deadline(self.plugin.limits.wall).min(self.deadline)
    }

    /// Gives the permits back: the instance is gone, but the call's outcome is not counted yet.
    pub(super) fn release(&mut self) {
        self.permits = None;
    }

    /// Ends the call and counts its outcome. Gives its result, if `accept` takes it.
    pub(super) fn accept<T, R>(
        mut self,
        result: Result<T, CallError>,
        accept: impl FnOnce(T) -> Result<R, PluginError>,
    ) -> Result<R, RequestError> {
        let accepted = result.map_err(PluginError::Call).and_then(accept);
        self.outcome = match &accepted {
            Ok(_) => CallOutcome::Ok,
            Err(PluginError::Call(error)) => error.outcome(),
            Err(PluginError::Answer(_)) => CallOutcome::Answer,
            Err(PluginError::BodyTooLarge { .. }) => CallOutcome::Limit(Limit::ResponseBody),
        };
        Ok(accepted?)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.plugin.metrics.call(self.plug, self.outcome, self.cpu.used());
    }
}
