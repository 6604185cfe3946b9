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
use crate::limits::Limit;
use crate::observe::{self, Outcome, Plug, PluginLog};
use crate::sandbox::{Call, Called, Context, Meter, Sandbox};
use crate::snapshot::{Plugin, Revision};
use crate::tenant::{Patience, Permit, Reading, Refused, Slot};

/// A call that may run: it holds the plugin's permit and one of the host's slots, and is counted however
/// it ends, also when its caller leaves.
pub(super) struct Running {
    plugin: Arc<Plugin>,
    plug: Plug,
    outcome: Outcome,
    /// What its CPU is counted on, once it has begun.
    meter: Option<Arc<Meter>>,
    /// None once they are given back.
    permits: Option<Permits>,
    held: Held,
}

/// What a call holds of its tenant, as long as it runs, and of a stream the body as well, whichever lasts longer.
pub(super) struct Held {
    /// So that a guest that goes on drains with its revision.
    pub(super) revision: Arc<Revision>,
    /// So that it counts in the tenant's quota.
    pub(super) _place: Option<Arc<Place>>,
}

/// What a call holds while it runs.
struct Permits {
    _place: Permit,
    _slot: Slot,
    _in_flight: observe::Held,
}

/// What of its request is alive while a call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// No other call.
    Nothing,
    /// The plugin's, whose answer streams.
    Stream,
}

/// Adds what a call has used, also when nobody waits for its end.
struct Spending<'a> {
    cpu: &'a mut Duration,
    meter: Arc<Meter>,
}

impl Drop for Spending<'_> {
    fn drop(&mut self) {
        *self.cpu = self.cpu.saturating_add(self.meter.used());
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
            meter: None,
            permits: Some(Permits {
                _place: place,
                _slot: slot,
                _in_flight: plugin.metrics.in_flight_guard(),
            }),
            held,
        })
    }

    /// What the sandbox is told of a call that must end at `latest`, or when the plugin's own `wall` does.
    pub(super) fn call(&self, plugin: &Arc<Plugin>, context: &Arc<Context>, latest: Instant) -> Call {
        let limits = plugin.limits.clone();
        Call {
            deadline: deadline(limits.wall).min(latest),
            meter: Meter::new(limits.cpu),
            limits,
            context: context.clone(),
            abilities: plugin.abilities.clone(),
            log: self.plugin_log(plugin, context),
        }
    }

    /// Runs a call, its guest in the turns of its tenant. The call holds its permits until it is gone, also when nobody
    /// waits for it any more. What it used is added to `cpu`.
    pub(super) async fn in_turns<T, F>(
        &self,
        mut running: Running,
        call: Call,
        cpu: &mut Duration,
        guest: impl FnOnce(Arc<Sandbox>, Arc<Plugin>, Call) -> F,
    ) -> (Running, Called<T>)
    where
        T: Send + 'static,
        F: Future<Output = Called<T>> + Send + 'static,
    {
        let (turns, plugin, meter) =
            (self.capacity.turns.clone(), running.plugin.clone(), call.meter.clone());
        let (habit, metered) = (plugin.habit.clone(), meter.clone());
        running.meter = Some(meter.clone());
        let _spending = Spending { cpu, meter: meter.clone() };
        // What wraps it would each have room for it twice.
        let guest = Box::pin(guest(self.sandbox.clone(), plugin, call));
        let run = async move {
            let called =
                turns.run(&running.plugin.share, |has_turn| reading(&metered, has_turn), guest).await;
            // What nobody takes is dropped in this order: the instance goes before its permits do.
            (called, running)
        };
        let (called, running) = self.sandbox.compute().run(run, habit, meter).await;
        (running, called)
    }

    /// The log of a call.
    pub(super) fn plugin_log(&self, plugin: &Plugin, context: &Context) -> PluginLog {
        PluginLog::new(self.ledger.log.clone(), plugin.metrics.clone(), context.request_id.clone())
    }
}

/// Tells a call's guest whether it has a turn from now on, and what its meter says.
pub(super) fn reading(meter: &Meter, has_turn: bool) -> Reading {
    meter.switch(has_turn);
    Reading {
        used_ns: meter.used_ns(),
        uncharged_ns: meter.take_uncharged_ns(),
        computes_on: meter.computes_on(),
        has_moved: meter.has_moved(),
    }
}

impl Running {
    /// Whose call it is.
    pub(super) fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
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
        called: Called<T>,
        accept: impl FnOnce(T) -> Result<R, PluginError>,
    ) -> Result<R, RequestError> {
        let accepted = called.result.map_err(PluginError::Call).and_then(accept);
        self.outcome = match &accepted {
            Ok(_) => Outcome::Ok,
            Err(PluginError::Call(error)) => error.outcome(),
            Err(PluginError::Answer(_)) => Outcome::Answer,
            Err(PluginError::BodyTooLarge { .. }) => Outcome::Limit(Limit::ResponseBody),
        };
        Ok(accepted?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let cpu = self.meter.as_ref().map_or(Duration::ZERO, |meter| meter.used());
        self.plugin.metrics.call(self.plug, self.outcome, cpu);
    }
}
