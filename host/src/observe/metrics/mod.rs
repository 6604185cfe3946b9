//! Metrics: the counters of the host, and the text that a scraper gets.
//!
//! Owns every series. Their number is bounded: labels are tenants and plugins that some revision still uses,
//! statuses, and the names of blames, plugs and outcomes; nothing that a caller can choose. The path of a
//! request touches counters that were looked up when its snapshot was made.

mod histogram;
mod owner;
mod process;
mod requests;
mod results;
mod series;
mod tls;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::{Blame, Log};
use crate::tenant::{PluginName, TenantName};
pub use owner::{CallOutcome, EvictionReason, Plug, PluginMetrics, TenantMetrics};
use process::{Confinement, Process};
use requests::Requests;
use results::Results;
pub use results::{Closed, Compile, Reload};
pub use series::GaugeGuard;
use series::{NO_EXEMPLAR, encode_counter, encode_gauge};
use tls::Certificates;
pub use tls::Handshake;

/// The metrics of one host; clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    owners: Arc<Owners>,
    connections: Gauge,
    requests_in_flight: Gauge,
    confinement: Confinement,
    certificates: Certificates,
    handshakes: [(Handshake, Counter); Handshake::ALL.len()],
    published: Counter,
    unchanged: Counter,
    refused: Counter,
    compiles: [(Compile, Counter); 3],
    closed: [(Closed, Counter); Closed::ALL.len()],
}

impl Metrics {
    /// The media type of the text from [`Metrics::encode`].
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Metrics with all counters at zero.
    pub fn new() -> Self {
        let owners = Arc::new(Owners::default());
        let connections = Gauge::default();
        let requests_in_flight = Gauge::default();
        let (published, unchanged, refused) = <(Counter, Counter, Counter)>::default();

        let mut root = Registry::default();
        root.register_collector(Box::new(Process));
        let registry = root.sub_registry_with_prefix("jackfield");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which jackfield this is", build);
        registry.register("connections", "Connections open", connections.clone());
        registry.register(
            "requests_in_flight",
            "Requests between their head and the last byte of their response",
            requests_in_flight.clone(),
        );
        registry.register_collector(Box::new(Results {
            name: "reloads",
            help: "Reloads of the site file and its components.",
            label: "result",
            results: [("published", &published), ("unchanged", &unchanged), ("refused", &refused)]
                .map(|(result, counter)| (result, counter.clone())),
        }));
        let compiles = [Compile::Compiled, Compile::Cached, Compile::Refused]
            .map(|compile| (compile, Counter::default()));
        registry.register_collector(Box::new(Results {
            name: "compiles",
            help: "Components that were not live already, by how they were come by.",
            label: "result",
            results: compiles.each_ref().map(|(compile, counter)| (compile.as_str(), counter.clone())),
        }));
        let closed = Closed::ALL.map(|why| (why, Counter::default()));
        registry.register_collector(Box::new(Results {
            name: "connections_closed",
            help: "Connections that ended, by why they did.",
            label: "reason",
            results: closed.each_ref().map(|(why, counter)| (why.as_str(), counter.clone())),
        }));
        let handshakes = Handshake::ALL.map(|result| (result, Counter::default()));
        registry.register_collector(Box::new(Results {
            name: "tls_handshakes",
            help: "TLS handshakes, by how they ended.",
            label: "result",
            results: handshakes.each_ref().map(|(result, counter)| (result.as_str(), counter.clone())),
        }));
        let certificates = Certificates::default();
        registry.register_collector(Box::new(certificates.clone()));
        let confinement = Confinement::default();
        registry.register_collector(Box::new(confinement.clone()));
        registry.register_collector(Box::new(Arc::clone(&owners)));

        let registry = Arc::new(root);
        Self {
            registry,
            owners,
            connections,
            requests_in_flight,
            confinement,
            certificates,
            handshakes,
            published,
            unchanged,
            refused,
            compiles,
            closed,
        }
    }

    /// The metrics of one plugin: those of a present handle, or fresh ones.
    pub fn plugin(&self, tenant: &TenantName, plugin: &PluginName) -> Arc<PluginMetrics> {
        self.owners
            .plugins
            .get((tenant.clone(), plugin.clone()), || PluginMetrics::new(tenant.clone(), plugin.clone()))
    }

    /// The metrics of one tenant: those of a present handle, or fresh ones.
    pub fn tenant(&self, tenant: &TenantName) -> Arc<TenantMetrics> {
        self.owners.tenants.get(tenant.clone(), || TenantMetrics::new(tenant.clone()))
    }

    /// Counts an answered request that belongs to no tenant: refused by the gate, or for an unknown host.
    pub fn unrouted_request(
        &self,
        status: u16,
        blame: Option<Blame>,
        duration: Duration,
        response_bytes: u64,
    ) {
        self.owners.unrouted.count(status, blame, duration, response_bytes);
    }

    /// Counts a connection as open until the guard is dropped.
    pub fn connection_guard(&self) -> GaugeGuard {
        GaugeGuard::new(&self.connections)
    }

    /// Counts a connection that has ended.
    pub fn connection_closed(&self, why: Closed) {
        for (_, counter) in self.closed.iter().filter(|(closed, _)| *closed == why) {
            counter.inc();
        }
    }

    /// Counts a TLS handshake that has ended.
    pub fn handshake(&self, result: Handshake) {
        for (_, counter) in self.handshakes.iter().filter(|(ended, _)| *ended == result) {
            counter.inc();
        }
    }

    /// Sets the certificates in use, by name, each with its end in seconds since 1970.
    pub fn certificates_end(&self, ends: impl Iterator<Item = (String, i64)>) {
        self.certificates.set(ends);
    }

    /// Counts a request as in flight until the guard is dropped.
    pub fn request_guard(&self) -> GaugeGuard {
        GaugeGuard::new(&self.requests_in_flight)
    }

    /// Counts a reload of the site file.
    pub fn reload(&self, result: Reload) {
        match result {
            Reload::Published => self.published.inc(),
            Reload::Unchanged => self.unchanged.inc(),
            Reload::Refused => self.refused.inc(),
        };
    }

    /// Sets whether `means` confines the process.
    pub fn confined(&self, means: &'static str, holds: bool) {
        self.confinement.set(means, holds);
    }

    /// Counts the origin of a component that was not live already, or its refusal.
    pub fn compile(&self, how: Compile) {
        for (_, counter) in self.compiles.iter().filter(|(compile, _)| *compile == how) {
            counter.inc();
        }
    }

    /// Watches `log`, so that its dropped lines are counted. Only the first log that is given is watched.
    pub fn watch_log(&self, log: &Log) {
        if let Some(dropped) = log.dropped_counter() {
            let _ = self.owners.log_dropped.set(dropped);
        }
    }

    /// All metrics as OpenMetrics text, of the media type [`Metrics::CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut exposition = String::new();
        // Writing to a `String` cannot fail; a text that is cut short would lack its `# EOF`, which scrapers require.
        let _ = text::encode(&mut exposition, &self.registry);
        exposition
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The counters of all owners, held weakly: they are dropped with the last snapshot that uses them.
#[derive(Debug, Default)]
struct Owners {
    plugins: Handles<(TenantName, PluginName), PluginMetrics>,
    tenants: Handles<TenantName, TenantMetrics>,
    unrouted: Requests,
    log_dropped: OnceLock<Arc<AtomicU64>>,
}

#[derive(Debug)]
struct Handles<K, T>(Mutex<BTreeMap<K, Weak<T>>>);

impl<K, T> Default for Handles<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord, T> Handles<K, T> {
    fn get(&self, key: K, make: impl FnOnce() -> T) -> Arc<T> {
        let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = handles.get(&key).and_then(Weak::upgrade) {
            return held;
        }
        // A scraper may never come, so each new handle removes the entries without one.
        handles.retain(|_, handle| handle.strong_count() > 0);
        let made = Arc::new(make());
        handles.insert(key, Arc::downgrade(&made));
        made
    }

    fn held(&self) -> Vec<Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().filter_map(Weak::upgrade).collect()
    }
}

impl Collector for Owners {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let plugins = self.plugins.held();
        let tenants = self.tenants.held();
        self.encode_requests(&mut encoder, &tenants, &plugins)?;
        encode_plugins(&mut encoder, &plugins)?;
        encode_tenants(&mut encoder, &tenants)?;

        let dropped = self.log_dropped.get().map_or(0, |dropped| dropped.load(Ordering::Relaxed));
        let help = "Lines of the log lost because it was written too slowly or not at all.";
        let mut family = encoder.encode_descriptor("log_dropped_lines", help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, u64, f64>(&dropped, None)
    }
}

impl Owners {
    fn encode_requests(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        tenants: &[Arc<TenantMetrics>],
        plugins: &[Arc<PluginMetrics>],
    ) -> fmt::Result {
        let of_tenants = tenants.iter().map(|each| (each.tenant.as_str(), "", &each.requests));
        let of_plugins =
            plugins.iter().map(|each| (each.tenant.as_str(), each.plugin.as_str(), &each.requests));
        let all: Vec<_> =
            [("", "", &self.unrouted)].into_iter().chain(of_tenants).chain(of_plugins).collect();

        let help =
            "Requests answered, by the plugin that their route names; without one when they reached none.";
        let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for (tenant, plugin, requests) in &all {
            requests.encode_counts(&mut family, tenant, plugin)?;
        }
        let help = "From a request's head to the last byte of its response.";
        let unit = Some(&Unit::Seconds);
        let mut family = encoder.encode_descriptor("request_duration", help, unit, MetricType::Histogram)?;
        for (tenant, plugin, requests) in &all {
            requests.encode_duration(family.encode_family(&[("tenant", *tenant), ("plugin", *plugin)])?)?;
        }
        let help = "Bytes of response bodies written.";
        let mut family =
            encoder.encode_descriptor("response", help, Some(&Unit::Bytes), MetricType::Counter)?;
        for (tenant, plugin, requests) in &all {
            encode_counter(
                &mut family,
                &[("tenant", *tenant), ("plugin", *plugin)],
                requests.response_bytes(),
            )?;
        }
        Ok(())
    }
}

fn encode_plugins(encoder: &mut DescriptorEncoder<'_>, plugins: &[Arc<PluginMetrics>]) -> fmt::Result {
    fn labels(plugin: &PluginMetrics) -> [(&str, &str); 2] {
        [("tenant", plugin.tenant.as_str()), ("plugin", plugin.plugin.as_str())]
    }

    let help = "Calls of a component ended, by what it was called as and how they ended.";
    let mut family = encoder.encode_descriptor("calls", help, None, MetricType::Counter)?;
    for plugin in plugins {
        plugin.encode_calls(&mut family)?;
    }
    let help = "CPU time of one call, by the clock of its thread.";
    let mut family =
        encoder.encode_descriptor("call_cpu", help, Some(&Unit::Seconds), MetricType::Histogram)?;
    for plugin in plugins {
        plugin.call_cpu.encode(family.encode_family(&labels(plugin))?)?;
    }
    let help = "Calls that hold one of the plugin's permits.";
    let mut family = encoder.encode_descriptor("calls_in_flight", help, None, MetricType::Gauge)?;
    for plugin in plugins {
        encode_gauge(&mut family, &labels(plugin), &plugin.in_flight)?;
    }
    let help = "Calls that wait for one of the plugin's permits.";
    let mut family = encoder.encode_descriptor("calls_waiting", help, None, MetricType::Gauge)?;
    for plugin in plugins {
        encode_gauge(&mut family, &labels(plugin), &plugin.waiting)?;
    }
    let help = "Calls turned away because the plugin's queue was full or the wait in it too long.";
    let mut family = encoder.encode_descriptor("queue_rejected", help, None, MetricType::Counter)?;
    for plugin in plugins {
        encode_counter(&mut family, &labels(plugin), plugin.queue_rejected.get())?;
    }
    let help = "Lines that a plugin printed or logged above its limits.";
    let mut family = encoder.encode_descriptor("guest_log_dropped_lines", help, None, MetricType::Counter)?;
    for plugin in plugins {
        encode_counter(&mut family, &labels(plugin), plugin.guest_log_dropped.get())?;
    }
    encode_instances(encoder, plugins, labels)
}

fn encode_instances(
    encoder: &mut DescriptorEncoder<'_>,
    plugins: &[Arc<PluginMetrics>],
    labels: fn(&PluginMetrics) -> [(&str, &str); 2],
) -> fmt::Result {
    let help = "Instances started: one a call, or fewer if the plugin reuses them.";
    let mut family = encoder.encode_descriptor("instances_started", help, None, MetricType::Counter)?;
    for plugin in plugins {
        encode_counter(&mut family, &labels(plugin), plugin.instances_started.get())?;
    }
    let help = "Of the instances started: those that were put back to their start after another call.";
    let mut family = encoder.encode_descriptor("instances_restored", help, None, MetricType::Counter)?;
    for plugin in plugins {
        encode_counter(&mut family, &labels(plugin), plugin.instances_restored.get())?;
    }
    let help = "Instances that were put back to their start and wait for a call.";
    let mut family = encoder.encode_descriptor("restored_instances_idle", help, None, MetricType::Gauge)?;
    for plugin in plugins {
        encode_gauge(&mut family, &labels(plugin), &plugin.restored_instances_idle)?;
    }
    let help = "Calls that got an instance which had served another call.";
    let mut family = encoder.encode_descriptor("calls_reused", help, None, MetricType::Counter)?;
    for plugin in plugins {
        encode_counter(&mut family, &labels(plugin), plugin.calls_reused.get())?;
    }
    let help = "Instances that wait for their next call.";
    let mut family = encoder.encode_descriptor("instances_idle", help, None, MetricType::Gauge)?;
    for plugin in plugins {
        encode_gauge(&mut family, &labels(plugin), &plugin.instances_idle)?;
    }
    let help = "Instances that had answered a call and were not kept for another, by why.";
    let mut family = encoder.encode_descriptor("instances_let_go", help, None, MetricType::Counter)?;
    for plugin in plugins {
        plugin.encode_let_go(&mut family)?;
    }
    Ok(())
}

fn encode_tenants(encoder: &mut DescriptorEncoder<'_>, tenants: &[Arc<TenantMetrics>]) -> fmt::Result {
    fn labels(tenant: &TenantMetrics) -> [(&str, &str); 1] {
        [("tenant", tenant.tenant.as_str())]
    }

    let help = "Requests that hold one of the tenant's permits.";
    let mut family = encoder.encode_descriptor("tenant_requests_in_flight", help, None, MetricType::Gauge)?;
    for tenant in tenants {
        encode_gauge(&mut family, &labels(tenant), &tenant.in_flight)?;
    }
    let help = "Requests that wait for one of the tenant's permits.";
    let mut family = encoder.encode_descriptor("tenant_requests_waiting", help, None, MetricType::Gauge)?;
    for tenant in tenants {
        encode_gauge(&mut family, &labels(tenant), &tenant.waiting)?;
    }
    let help = "Requests turned away because the tenant's queue was full or the wait in it too long.";
    let mut family = encoder.encode_descriptor("tenant_queue_rejected", help, None, MetricType::Counter)?;
    for tenant in tenants {
        encode_counter(&mut family, &labels(tenant), tenant.queue_rejected.get())?;
    }
    let help = "Requests turned away because the tenant's quota of CPU was used up.";
    let mut family = encoder.encode_descriptor("tenant_cpu_rejected", help, None, MetricType::Counter)?;
    for tenant in tenants {
        encode_counter(&mut family, &labels(tenant), tenant.cpu_rejected.get())?;
    }
    let help = "CPU time of the tenant's calls, those under way included.";
    let unit = Some(&Unit::Seconds);
    let mut family = encoder.encode_descriptor("tenant_cpu", help, unit, MetricType::Counter)?;
    for tenant in tenants {
        let seconds = tenant.cpu().as_secs_f64();
        family.encode_family(&labels(tenant))?.encode_counter(&seconds, NO_EXEMPLAR)?;
    }
    let help = "Revisions that are no longer live and still have requests.";
    let mut family = encoder.encode_descriptor("revisions_draining", help, None, MetricType::Gauge)?;
    for tenant in tenants {
        encode_gauge(&mut family, &labels(tenant), &tenant.draining)?;
    }
    let help = "The revision that a tenant's requests run on.";
    let mut family = encoder.encode_descriptor("live_revision", help, None, MetricType::Info)?;
    for tenant in tenants {
        if let Some(revision) = tenant.live_revision() {
            family.encode_info(&[("tenant", tenant.tenant.as_str()), ("revision", &revision)])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
