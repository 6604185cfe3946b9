//! What requests run on: hosts → routes → chains → plugins. Immutable.
//!
//! Publishing swaps one pointer to a snapshot. A request takes its tenant's [`Revision`] out of the
//! snapshot when it is routed and holds it until its last body byte is written; so it runs on one
//! revision from start to end, and one tenant's long request keeps nobody else's old code alive. The last
//! one to let go of a revision *is* the drained event.

mod explain;
mod host_pattern;
mod hosts;
mod path;
mod pattern;
mod routes;

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, Method};
use tokio_util::sync::CancellationToken;

use crate::limits::Limits;
use crate::observe::{Held, PluginMetrics, TenantMetrics};
use crate::sandbox::{Abilities, Component, Digest, Habit, Instances};
use crate::tenant::{Gate, PluginName, Share, TenantName};

pub use explain::{ExplainedOutcome, Explanation, Misfit, Standing};
pub use host_pattern::HostPattern;
pub use hosts::HostTable;
pub use path::{PathError, RequestPath};
pub use pattern::{PatternError, RoutePattern};
pub use routes::{Captures, HostAnswer, Outcome, Routes, Rule, shared_filters};

/// Every tenant's live revision, found by host.
pub struct Snapshot {
    hosts: HostTable<Arc<Revision>>,
}

/// One tenant's plugins and routes, resolved and compiled.
pub struct Revision {
    /// Whose it is.
    pub tenant: TenantName,
    /// Its id: a digest of what it was made from.
    pub id: Digest,
    /// Where the tenant's requests in flight are counted, over revisions.
    pub gate: Gate,
    /// The tenant's share of the host, over revisions.
    pub share: Share,
    /// The tenant's counters, over revisions.
    pub metrics: Arc<TenantMetrics>,
    routes: Routes<Chain>,
    plugins: Vec<Arc<Plugin>>,
    ending: CancellationToken,
    draining: OnceLock<Held>,
    _when_drained: WhenDrained,
}

/// What a route runs: filters in order, then one plugin.
pub struct Chain {
    /// The pattern of its route, as the site file has it.
    pub route: Arc<str>,
    /// Run in this order before the plugin, and in reverse after it.
    pub filters: Vec<Arc<Plugin>>,
    /// What answers.
    pub plugin: Arc<Plugin>,
}

/// A plugin, ready to be called.
pub struct Plugin {
    /// Its tenant.
    pub tenant: TenantName,
    /// Its name.
    pub name: PluginName,
    /// What runs: no other plugin, and this one in no other revision, has any of them.
    pub instances: Instances,
    /// Whether its last call computed on.
    pub habit: Habit,
    /// The limits of its calls.
    pub limits: Arc<Limits>,
    /// What it was granted.
    pub abilities: Arc<Abilities>,
    /// Where its calls in flight are counted, over revisions.
    pub gate: Gate,
    /// Its tenant's share of the host, which its calls are charged to.
    pub share: Share,
    /// Its counters, over revisions.
    pub metrics: Arc<PluginMetrics>,
}

impl Snapshot {
    /// A snapshot of these hosts.
    pub fn new(hosts: impl IntoIterator<Item = (HostPattern, Arc<Revision>)>) -> Self {
        Self { hosts: HostTable::new(hosts) }
    }

    /// The revision that serves `host`, given without a port.
    pub fn revision(&self, host: &str) -> Option<&Arc<Revision>> {
        self.hosts.find(host).map(|(_, revision)| revision)
    }
}

impl Chain {
    /// The filters that all of them begin with.
    pub fn shared_filters<'a>(chains: &[&'a Self]) -> &'a [Arc<Plugin>] {
        shared_filters(chains.iter().map(|chain| &*chain.filters), Arc::ptr_eq)
    }
}

impl Plugin {
    /// What it runs.
    pub fn component(&self) -> &Component {
        self.instances.component()
    }
}

impl Revision {
    /// A revision of these routes to these plugins; `when_drained` is called when nothing runs on it any more.
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

    /// Another revision is live; this one drains, and is counted as draining until it is drained. None of its
    /// instances waits any more.
    pub fn retire(&self, counted: Held) {
        self.plugins.iter().for_each(|plugin| plugin.instances.close());
        // A revision is retired once; were it twice, the first count would do.
        let _ = self.draining.set(counted);
    }

    /// Ends the requests that still run on it.
    pub fn end(&self) {
        self.ending.cancel();
    }

    /// Ready when its requests are to end.
    pub async fn ended(&self) {
        self.ending.cancelled().await;
    }

    /// Whether its requests are to end.
    pub fn is_ended(&self) -> bool {
        self.ending.is_cancelled()
    }

    /// Where a request goes.
    pub fn route(
        &self,
        host: &str,
        path: &RequestPath<'_>,
        method: &Method,
        headers: &HeaderMap,
    ) -> Outcome<'_, Chain> {
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
