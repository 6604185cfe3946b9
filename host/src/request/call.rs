//! One link of a chain: its permits, its limits, and its line in the metrics.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Requests;
use super::admit::deadline;
use super::error::{AdmissionError, PluginError, RequestError};
use crate::observe::{Held, Outcome, Plug, PluginLog};
use crate::sandbox::{Call, Called, Context, Limits, Meter};
use crate::snapshot::Plugin;
use crate::tenant::{Permit, Slot, Slots};

/// A call that may run: it holds the plugin's permit and one of the host's slots, and is counted however
/// it ends, also when its caller leaves.
pub(super) struct Running {
    plugin: Arc<Plugin>,
    plug: Plug,
    outcome: Outcome,
    cpu: Duration,
    /// None once they are given back.
    permits: Option<Permits>,
}

/// What a call holds while it runs.
struct Permits {
    _place: Permit,
    _slot: Slot,
    _in_flight: Held,
}

impl Requests {
    /// The plugin's own permit, then one of these slots of the host: in this order, so that a plugin that is
    /// full keeps nobody else from a slot.
    pub(super) async fn begin(
        &self,
        plugin: &Arc<Plugin>,
        plug: Plug,
        deadline: Instant,
        slots: &Slots,
    ) -> Result<Running, RequestError> {
        let rejected = |error| {
            plugin.metrics.queue_rejected();
            RequestError::Admission(error)
        };
        let waiting = plugin.metrics.waiting_guard();
        let place = plugin.gate.enter(deadline).await.map_err(|r| rejected(AdmissionError::Plugin(r)))?;
        let slot =
            slots.enter(&plugin.share, deadline).await.map_err(|r| rejected(AdmissionError::Host(r)))?;
        drop(waiting);
        Ok(Running {
            plugin: plugin.clone(),
            plug,
            outcome: Outcome::Cancelled,
            cpu: Duration::ZERO,
            permits: Some(Permits {
                _place: place,
                _slot: slot,
                _in_flight: plugin.metrics.in_flight_guard(),
            }),
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

    /// Runs a call, its guest in the turns of its tenant. What it used is added to `cpu`.
    pub(super) async fn in_turns<T>(
        &self,
        plugin: &Plugin,
        meter: Arc<Meter>,
        cpu: &mut Duration,
        call: impl Future<Output = Called<T>>,
    ) -> Called<T> {
        let called = self.capacity.turns.run(&plugin.share, |has_turn| meter.switch(has_turn), call).await;
        *cpu = cpu.saturating_add(called.cpu);
        called
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
