//! The metrics of one plugin and of one tenant: handles that hold their counters.
//!
//! A handle counts on atomics: no name is looked up, hashed or allocated. The series live as long as a snapshot or
//! one of its requests holds the handle.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::MetricEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::super::Blame;

use super::histogram::{CPU_BOUNDS, Histogram};
use super::requests::Requests;
use super::series::{GaugeGuard, encode_counter};
use crate::limits::{Limit, PerLimit};
use crate::tenant::{PluginName, Share, TenantName};

/// The plug that a component was called as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plug {
    /// The component answered a request.
    Handler,
    /// The component saw a request's head.
    RequestFilter,
    /// The component saw a response's head.
    ResponseFilter,
}

impl Plug {
    /// Every plug there is.
    pub const ALL: [Self; 3] = [Self::Handler, Self::RequestFilter, Self::ResponseFilter];

    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handler => "handler",
            Self::RequestFilter => "request-filter",
            Self::ResponseFilter => "response-filter",
        }
    }
}

/// The outcome of a call. A limit has its own name here, as everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// The call returned a valid result.
    Ok,
    /// The call returned an error.
    Error,
    /// The call trapped, for another reason than a limit.
    Trap,
    /// The call's answer cannot be sent on.
    Answer,
    /// The call was over this limit, or trapped after the limit refused it more.
    Limit(Limit),
    /// A server that the call sent a request to failed.
    Upstream,
    /// The caller left before the call ended.
    Cancelled,
    /// The host could not run the call.
    Host,
}

impl CallOutcome {
    /// All outcomes except limits.
    const OTHERS: [Self; 7] =
        [Self::Ok, Self::Error, Self::Trap, Self::Answer, Self::Upstream, Self::Cancelled, Self::Host];

    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Trap => "trap",
            Self::Answer => "answer",
            Self::Limit(limit) => limit.name(),
            Self::Upstream => "upstream",
            Self::Cancelled => "cancelled",
            Self::Host => "host",
        }
    }
}

/// The calls of a plugin as one plug, counted by outcome.
#[derive(Debug, Default)]
struct Outcomes {
    limits: PerLimit<AtomicU64>,
    others: [AtomicU64; CallOutcome::OTHERS.len()],
}

impl Outcomes {
    fn count(&self, outcome: CallOutcome) {
        let counter = match outcome {
            CallOutcome::Limit(limit) => Some(self.limits.get(limit)),
            _ => {
                let place = CallOutcome::OTHERS.iter().position(|each| *each == outcome);
                place.and_then(|place| self.others.get(place))
            }
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn iter(&self) -> impl Iterator<Item = (CallOutcome, &AtomicU64)> {
        let limits = Limit::ALL.iter().map(|limit| (CallOutcome::Limit(*limit), self.limits.get(*limit)));
        CallOutcome::OTHERS.into_iter().zip(&self.others).chain(limits)
    }
}

/// The reason why an instance that had answered a call, and could have served another, was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EvictionReason {
    /// The instance had served its number of calls.
    Calls,
    /// The instance was too old, or was idle for too long.
    TimeOver,
    /// The instance's memory had grown too much.
    Memory,
    /// The instance still held resources of its call.
    LeftOvers,
    /// The idle instances left no room for it.
    NoRoom,
    /// The instance's revision was no longer live.
    Retired,
}

impl EvictionReason {
    /// Every reason there is.
    pub const ALL: [Self; 6] =
        [Self::Calls, Self::TimeOver, Self::Memory, Self::LeftOvers, Self::NoRoom, Self::Retired];

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::TimeOver => "time",
            Self::Memory => "memory",
            Self::LeftOvers => "left-overs",
            Self::NoRoom => "room",
            Self::Retired => "retired",
        }
    }
}

/// The counters of one plugin, the same over every revision that has a plugin of this name.
#[derive(Debug)]
pub struct PluginMetrics {
    pub(super) tenant: TenantName,
    pub(super) plugin: PluginName,
    pub(super) requests: Requests,
    calls: [Outcomes; Plug::ALL.len()],
    pub(super) call_cpu: Histogram,
    pub(super) in_flight: Gauge,
    pub(super) waiting: Gauge,
    pub(super) queue_rejected: Counter,
    pub(super) guest_log_dropped: Counter,
    pub(super) instances_started: Counter,
    pub(super) instances_restored: Counter,
    pub(super) restored_instances_idle: Gauge,
    pub(super) calls_reused: Counter,
    pub(super) instances_idle: Gauge,
    let_go: [AtomicU64; EvictionReason::ALL.len()],
}

impl PluginMetrics {
    pub(super) fn new(tenant: TenantName, plugin: PluginName) -> Self {
        Self {
            tenant,
            plugin,
            requests: Requests::default(),
            calls: Default::default(),
            call_cpu: Histogram::new(CPU_BOUNDS),
            in_flight: Gauge::default(),
            waiting: Gauge::default(),
            queue_rejected: Counter::default(),
            guest_log_dropped: Counter::default(),
            instances_started: Counter::default(),
            instances_restored: Counter::default(),
            restored_instances_idle: Gauge::default(),
            calls_reused: Counter::default(),
            instances_idle: Gauge::default(),
            let_go: Default::default(),
        }
    }

    /// The plugin's tenant.
    pub fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    /// Which plugin.
    pub fn plugin(&self) -> &PluginName {
        &self.plugin
    }

    /// Counts an answered request whose route names this plugin, whatever answered it.
    pub fn request(&self, status: u16, blame: Option<Blame>, duration: Duration, response_bytes: u64) {
        self.requests.count(status, blame, duration, response_bytes);
    }

    /// Counts a call of this plugin that has ended.
    pub fn call(&self, plug: Plug, outcome: CallOutcome, cpu: Duration) {
        let of_plug = match plug {
            Plug::Handler => &self.calls[0],
            Plug::RequestFilter => &self.calls[1],
            Plug::ResponseFilter => &self.calls[2],
        };
        of_plug.count(outcome);
        // The CPU time of a call that was cancelled in the middle is known only for streams.
        if outcome != CallOutcome::Cancelled || !cpu.is_zero() {
            self.call_cpu.observe(cpu);
        }
    }

    /// Counts a call as in flight until the guard is dropped.
    pub fn in_flight_guard(&self) -> GaugeGuard {
        GaugeGuard::new(&self.in_flight)
    }

    /// Counts a call as waiting in the plugin's queue until the guard is dropped.
    pub fn waiting_guard(&self) -> GaugeGuard {
        GaugeGuard::new(&self.waiting)
    }

    /// Counts a call that found the queue full, or waited in it too long.
    pub fn queue_rejected(&self) {
        self.queue_rejected.inc();
    }

    /// Counts lines that the plugin printed or logged above its limits.
    pub fn guest_log_dropped(&self, lines: u64) {
        self.guest_log_dropped.inc_by(lines);
    }

    /// Counts a call that gets an instance of its own.
    pub fn instance_started(&self) {
        self.instances_started.inc();
    }

    /// Counts a call whose instance of its own was put back to its start, and not made anew.
    pub fn instance_restored(&self) {
        self.instances_restored.inc();
    }

    /// Counts a call that gets an instance which has served another.
    pub fn call_reused(&self) {
        self.calls_reused.inc();
    }

    /// Counts an instance that was put back to its start as waiting for a call until the guard is dropped.
    pub fn restored_guard(&self) -> GaugeGuard {
        GaugeGuard::new(&self.restored_instances_idle)
    }

    /// Counts an instance as waiting for its next call until the guard is dropped.
    pub fn idle_guard(&self) -> GaugeGuard {
        GaugeGuard::new(&self.instances_idle)
    }

    /// Counts an instance that could have served another call and was not kept.
    pub fn instance_let_go(&self, why: EvictionReason) {
        let place = EvictionReason::ALL.iter().position(|each| *each == why);
        if let Some(counter) = place.and_then(|place| self.let_go.get(place)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes `instances_let_go_total` for this plugin.
    pub(super) fn encode_let_go(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        for (why, counter) in EvictionReason::ALL.into_iter().zip(&self.let_go) {
            let count = counter.load(Ordering::Relaxed);
            if count > 0 {
                let labels = [
                    ("tenant", self.tenant.as_str()),
                    ("plugin", self.plugin.as_str()),
                    ("reason", why.as_str()),
                ];
                encode_counter(encoder, &labels, count)?;
            }
        }
        Ok(())
    }

    /// Writes `calls_total` for this plugin.
    pub(super) fn encode_calls(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        for (plug, outcomes) in Plug::ALL.into_iter().zip(&self.calls) {
            for (outcome, counter) in outcomes.iter() {
                let count = counter.load(Ordering::Relaxed);
                if count > 0 {
                    let labels = [
                        ("tenant", self.tenant.as_str()),
                        ("plugin", self.plugin.as_str()),
                        ("plug", plug.as_str()),
                        ("outcome", outcome.as_str()),
                    ];
                    encode_counter(encoder, &labels, count)?;
                }
            }
        }
        Ok(())
    }
}

/// The counters of one tenant as a whole.
#[derive(Debug)]
pub struct TenantMetrics {
    pub(super) tenant: TenantName,
    /// The requests that reached the tenant, but none of its routes.
    pub(super) requests: Requests,
    pub(super) in_flight: Gauge,
    pub(super) waiting: Gauge,
    pub(super) queue_rejected: Counter,
    pub(super) cpu_rejected: Counter,
    pub(super) draining: Gauge,
    share: Mutex<Option<Share>>,
    live: Mutex<Option<String>>,
}

impl TenantMetrics {
    pub(super) fn new(tenant: TenantName) -> Self {
        Self {
            tenant,
            requests: Requests::default(),
            in_flight: Gauge::default(),
            waiting: Gauge::default(),
            queue_rejected: Counter::default(),
            cpu_rejected: Counter::default(),
            draining: Gauge::default(),
            share: Mutex::default(),
            live: Mutex::default(),
        }
    }

    /// Counts an answered request for one of the tenant's hosts that matches none of its routes.
    pub fn request(&self, status: u16, blame: Option<Blame>, duration: Duration, response_bytes: u64) {
        self.requests.count(status, blame, duration, response_bytes);
    }

    /// Counts a request against the tenant's quota until the guard is dropped.
    pub fn in_flight_guard(&self) -> GaugeGuard {
        GaugeGuard::new(&self.in_flight)
    }

    /// Counts a request as waiting for the tenant's quota until the guard is dropped.
    pub fn waiting_guard(&self) -> GaugeGuard {
        GaugeGuard::new(&self.waiting)
    }

    /// Counts a request that found the tenant's queue full, or waited in it too long.
    pub fn queue_rejected(&self) {
        self.queue_rejected.inc();
    }

    /// Counts a request that found the tenant's quota `cpu` used up.
    pub fn cpu_rejected(&self) {
        self.cpu_rejected.inc();
    }

    /// Sets the share that the tenant's CPU time is charged to from now on.
    pub fn set_share(&self, share: Share) {
        *self.share.lock().unwrap_or_else(PoisonError::into_inner) = Some(share);
    }

    /// The CPU time that all calls of the tenant have used, including those under way.
    pub(super) fn cpu(&self) -> Duration {
        let share = self.share.lock().unwrap_or_else(PoisonError::into_inner);
        share.as_ref().map_or(Duration::ZERO, |share| share.cpu().used())
    }

    /// Counts a revision as draining until the guard is dropped.
    pub fn draining_guard(&self) -> GaugeGuard {
        GaugeGuard::new(&self.draining)
    }

    /// Sets the revision that requests run on from now on.
    pub fn set_live_revision(&self, revision: impl Into<String>) {
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = Some(revision.into());
    }

    pub(super) fn live_revision(&self) -> Option<String> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
