//! One link of a chain: its permits, its limits, and its line in the metrics.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::admit::{Place, deadline};
use super::error::{AdmissionError, PluginError, RequestError};
use super::{Capacity, Requests};
use crate::observe::{self, Outcome, Plug, PluginLog};
use crate::sandbox::{Call, Called, Context, Limits, Meter, Sandbox};
use crate::snapshot::{Plugin, Revision};
use crate::tenant::{Permit, Reading, Slot};

/// A call that may run: it holds the plugin's permit and one of the host's slots, and is counted however
/// it ends, also when its caller leaves.
pub(super) struct Running {
    plugin: Arc<Plugin>,
    plug: Plug,
    outcome: Outcome,
    cpu: Duration,
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
    /// Shared with a filter's call on what this call streams, if it is of the same plugin.
    place: Arc<Permit>,
    _slot: Slot,
    _in_flight: observe::Held,
}

/// A call whose answer streams, as those see it that run beside it: filters that are called on the answer.
#[derive(Clone)]
pub(super) struct Streaming {
    plugin: Arc<Plugin>,
    /// Until its guest has ended.
    place: Weak<Permit>,
}

impl Streaming {
    /// Whose call it is.
    pub(super) fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// Its place, for a call of the same plugin: one that waited for another would wait for itself.
    fn lend(&self, to: &Arc<Plugin>) -> Option<Arc<Permit>> {
        Arc::ptr_eq(&self.plugin, to).then(|| self.place.upgrade()).flatten()
    }
}

impl Requests {
    /// The plugin's own permit, then one of the host's slots: in this order, so that a plugin that is full keeps
    /// nobody else from a slot. A stream holds both while filters are called on it: were their slots of the same
    /// kind, streams that have all of them would wait for one another.
    pub(super) async fn begin(
        &self,
        plugin: &Arc<Plugin>,
        plug: Plug,
        deadline: Instant,
        held: Held,
        beside: Option<Streaming>,
    ) -> Result<Running, RequestError> {
        let rejected = |error| {
            plugin.metrics.queue_rejected();
            RequestError::Admission(error)
        };
        let waiting = plugin.metrics.waiting_guard();
        let place = match beside.as_ref().and_then(|streaming| streaming.lend(plugin)) {
            Some(lent) => lent,
            None => {
                let entered = plugin.gate.enter(deadline).await;
                Arc::new(entered.map_err(|r| rejected(AdmissionError::Plugin(r)))?)
            }
        };
        let Capacity { slots, slots_beside_streams, .. } = &self.capacity;
        let slots = if beside.is_some() { slots_beside_streams } else { slots };
        let slot =
            slots.enter(&plugin.share, deadline).await.map_err(|r| rejected(AdmissionError::Host(r)))?;
        drop(waiting);
        Ok(Running {
            plugin: plugin.clone(),
            plug,
            outcome: Outcome::Cancelled,
            cpu: Duration::ZERO,
            permits: Some(Permits { place, _slot: slot, _in_flight: plugin.metrics.in_flight_guard() }),
            held,
        })
    }

    /// What the sandbox is told of a call that must end at `latest`, or when the plugin's own `wall` does.
    pub(super) fn call(&self, plugin: &Arc<Plugin>, context: &Arc<Context>, latest: Instant) -> Call {
        let limits = &plugin.limits;
        Call {
            limits: Limits {
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
            meter: Meter::new(limits.cpu),
        }
    }

    /// Runs a call, its guest in the turns of its tenant. The call holds its permits until it is gone, also when nobody
    /// waits for it any more. What it used is added to `cpu`.
    pub(super) async fn in_turns<T, F>(
        &self,
        running: Running,
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
        // What wraps it would each have room for it twice.
        let guest = Box::pin(guest(self.sandbox.clone(), plugin, call));
        let run = async move {
            let called =
                turns.run(&running.plugin.share, |has_turn| reading(&metered, has_turn), guest).await;
            // What nobody takes is dropped in this order: the instance goes before its permits do.
            (called, running)
        };
        let (called, running) = self.sandbox.compute().run(run, habit, meter).await;
        *cpu = cpu.saturating_add(called.cpu);
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

    /// The call, now that its answer streams.
    pub(super) fn streaming(&self) -> Streaming {
        let place = self.permits.as_ref().map_or_else(Weak::new, |permits| Arc::downgrade(&permits.place));
        Streaming { plugin: self.plugin.clone(), place }
    }

    /// The revision that it is of.
    pub(super) fn revision(&self) -> &Arc<Revision> {
        &self.held.revision
    }

    /// Its instance is gone; how it ended is still to be told.
    pub(super) fn release(&mut self) {
        self.permits = None;
    }

    /// The call was cut off, and had used so much by then.
    pub(super) fn cancelled(mut self, cpu: Duration) {
        self.cpu = cpu;
    }

    /// The call has ended: what it gave, if `accept` takes it.
    pub(super) fn end<T, R>(
        mut self,
        called: Called<T>,
        accept: impl FnOnce(T) -> Result<R, PluginError>,
    ) -> Result<R, RequestError> {
        let accepted = called.result.map_err(PluginError::Call).and_then(accept);
        self.cpu = called.cpu;
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
        self.plugin.metrics.call(self.plug, self.outcome, self.cpu);
    }
}
