//! The data that requests run on: hosts → routes → chains → plugins. Immutable.
//!
//! Publishing swaps one pointer to a snapshot. A request takes its tenant's [`Revision`] out of the snapshot when it
//! is routed, and holds it until its last body byte is written. So the request runs on one revision from start to
//! end, and one tenant's long request keeps no other tenant's old code alive. When the last holder lets go of a
//! revision, the revision is drained: that *is* the event.

mod asked;
mod coding;
mod explain;
mod host_pattern;
mod hosts;
mod path;
mod pattern;
mod routes;

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, Method};
use tokio_util::sync::CancellationToken;

use crate::cpu::Habit;
use crate::limits::Limits;
use crate::observe::{GaugeGuard, PluginMetrics, TenantMetrics};
use crate::sandbox::{Abilities, Component, Digest, Instances};
use crate::tenant::{Gate, PluginName, Share, TenantName};

pub use asked::AskedRequest;
pub use coding::{Coding, UnknownCoding};
pub use explain::{ExplainedOutcome, Explanation, Misfit, Standing};
pub use host_pattern::HostPattern;
pub use hosts::HostTable;
pub use path::{PathError, RequestPath};
pub use pattern::{PatternError, RoutePattern};
pub use routes::{Captures, HostAnswer, RouteMatch, Routes, Rule, shared_filters};

/// Every tenant's live revision, found by host.
pub struct Snapshot {
    hosts: HostTable<Arc<Revision>>,
}

/// One tenant's plugins and routes, resolved and compiled.
pub struct Revision {
    /// The tenant that the revision belongs to.
    pub tenant: TenantName,
    /// The revision's id: a digest of what the revision was made from.
    pub id: Digest,
    /// The gate that counts the tenant's requests in flight, over revisions.
    pub gate: Gate,
    /// The tenant's share of the host, over revisions.
    pub share: Share,
    /// The tenant's counters, over revisions.
    pub metrics: Arc<TenantMetrics>,
    routes: Routes<Chain>,
    plugins: Vec<Arc<Plugin>>,
    ending: CancellationToken,
    draining: OnceLock<GaugeGuard>,
    _when_drained: WhenDrained,
}

/// The plugins that a route runs: filters in order, then one plugin.
pub struct Chain {
    /// The pattern of the chain's route, as the site file has it.
    pub route: Arc<str>,
    /// The filters. They run in this order before the plugin, and in reverse after it.
    pub filters: Vec<Arc<Plugin>>,
    /// The plugin that answers.
    pub plugin: Arc<Plugin>,
    /// The codings that answers may be compressed in, the most wanted first.
    pub compression: Vec<Coding>,
}

/// A plugin, ready to be called.
pub struct Plugin {
    /// The plugin's tenant.
    pub tenant: TenantName,
    /// The plugin's name.
    pub name: PluginName,
    /// The plugin's instances. No other plugin has any of them, nor has this plugin in another revision.
    pub instances: Instances,
    /// The number of the plugin's next calls that begin in the background.
    pub habit: Habit,
    /// The limits of the plugin's calls.
    pub limits: Arc<Limits>,
    /// The capabilities that the plugin was granted.
    pub abilities: Arc<Abilities>,
    /// The gate that counts the plugin's calls in flight, over revisions.
    pub gate: Gate,
    /// The tenant's share of the host, to which the plugin's calls are charged.
    pub share: Share,
    /// The plugin's counters, over revisions.
    pub metrics: Arc<PluginMetrics>,
}

impl Snapshot {
    /// A snapshot of these hosts.
    pub fn new(hosts: impl IntoIterator<Item = (HostPattern, Arc<Revision>)>) -> Self {
        Self { hosts: HostTable::new(hosts) }
    }

    /// The revision that serves `host`, given without a port.
    pub fn revision(&self, host: &str) -> Option<&Arc<Revision>> {
        self.find(host).map(|(_, revision)| revision)
    }

    /// The pattern that `host` fits best, given without a port, and the revision that serves it.
    pub fn find(&self, host: &str) -> Option<(&HostPattern, &Arc<Revision>)> {
        self.hosts.find(host)
    }
}

impl Chain {
    /// The filters that all of these chains begin with.
    pub fn shared_filters<'a>(chains: &[&'a Self]) -> &'a [Arc<Plugin>] {
        shared_filters(chains.iter().map(|chain| &*chain.filters), Arc::ptr_eq)
    }
}

impl Chain {
    /// The names of the links, in order, as an explanation shows them.
    fn shown(&self) -> String {
        let links = self.filters.iter().chain([&self.plugin]).map(|link| link.name.as_str());
        links.collect::<Vec<_>>().join(" → ")
    }

    fn filter_names(&self) -> Vec<String> {
        self.filters.iter().map(|filter| filter.name.to_string()).collect()
    }
}

impl Plugin {
    /// The component that the plugin runs.
    pub fn component(&self) -> &Component {
        self.instances.component()
    }
}

impl Revision {
    /// A revision of these routes to these plugins. `when_drained` is called when nothing runs on the revision any
    /// more.
    pub fn new(
        tenant: TenantName,
        id: Digest,
        (gate, share): (Gate, Share),
        metrics: Arc<TenantMetrics>,
        routes: Routes<Chain>,
        plugins: Vec<Arc<Plugin>>,
        when_drained: impl FnOnce() + Send + Sync + 'static,
    ) -> Self {
        Self {
            tenant,
            id,
            gate,
            share,
            metrics,
            routes,
            plugins,
            ending: CancellationToken::new(),
            draining: OnceLock::new(),
            _when_drained: WhenDrained(Some(Box::new(when_drained))),
        }
    }

    /// Retires the revision, since another one is live. It drains, and is counted as draining until it is drained.
    /// None of its instances is kept for a next call any more.
    pub fn retire(&self, counted: GaugeGuard) {
        self.plugins.iter().for_each(|plugin| plugin.instances.close());
        // A revision is retired once. If it were retired twice, the first count would do.
        let _ = self.draining.set(counted);
    }

    /// Ends the requests that still run on the revision.
    pub fn end(&self) {
        self.ending.cancel();
    }

    /// Ready when the revision's requests are to end.
    pub async fn ended(&self) {
        self.ending.cancelled().await;
    }

    /// True if the revision's requests are to end.
    pub fn is_ended(&self) -> bool {
        self.ending.is_cancelled()
    }

    /// Explains the route of a request of this tenant.
    pub fn explain(&self, path: &RequestPath<'_>, asked: &AskedRequest) -> Explanation {
        let AskedRequest { method, host, headers, uri: _ } = asked;
        self.routes.explain(host, path, method, headers, (Chain::shown, Chain::filter_names))
    }

    /// Routes a request of this tenant.
    pub fn route(
        &self,
        host: &str,
        path: &RequestPath<'_>,
        method: &Method,
        headers: &HeaderMap,
    ) -> RouteMatch<'_, Chain> {
        self.routes.find(host, path, method, headers)
    }
}

struct WhenDrained(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Drop for WhenDrained {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell();
        }
    }
}
