//! What is live, and how the next takes its place.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;

use super::load::{Loaded, LoadedTenant, load};
use super::{Origin, document};
use crate::capability::{KeyValue, Limiters};
use crate::config::{Diagnostics, HostSettings, PluginSite, Site, TenantSite};
use crate::observe::{Log, Metrics, Reload, TenantMetrics};
use crate::sandbox::{Abilities, Component, Sandbox};
use crate::snapshot::{Chain, HostPattern, Plugin, Revision, Routes, Rule, Snapshot};
use crate::store::{StorageQuota, Store};
use crate::tenant::{Gate, PluginName, TenantName};

/// Revisions of one tenant that may be draining at once; one more ends the oldest's requests.
const MAX_DRAINING: usize = 16;

/// What a deployer works with.
pub struct Parts {
    /// Where the site comes from.
    pub origin: Origin,
    /// Compiles components.
    pub sandbox: Arc<Sandbox>,
    /// Under `wasi:keyvalue`.
    pub store: Store,
    /// Where it says what it did.
    pub log: Log,
    /// Where it counts it.
    pub metrics: Metrics,
}

/// Why there is nothing to serve at start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The site, or a component that it names, is faulty.
    #[error("{}", .0.render(false))]
    Site(Diagnostics),
}

/// What became of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reloaded {
    /// At least one tenant runs on something else now.
    Published,
    /// There was nothing to change.
    Unchanged,
    /// All or part of it was refused; what that part ran on is still live.
    Refused,
}

/// Publishes what the site file says, now and whenever it says something else.
pub struct Deployer {
    parts: Parts,
    limiters: Limiters,
    snapshot: Arc<ArcSwap<Snapshot>>,
    live: Mutex<Live>,
}

/// One owner for all that is live: reloads take turns.
struct Live {
    host: HostSettings,
    tenants: BTreeMap<TenantName, LiveTenant>,
    /// Every file that the last reload read, or should have.
    files: Vec<std::path::PathBuf>,
}

/// What a tenant keeps over its revisions.
struct LiveTenant {
    hosts: Vec<HostPattern>,
    gate: Gate,
    plugin_gates: BTreeMap<PluginName, Gate>,
    storage: Arc<StorageQuota>,
    metrics: Arc<TenantMetrics>,
    /// None while its first revision has yet to be valid.
    revision: Option<Arc<Revision>>,
    components: BTreeMap<PluginName, Component>,
    draining: VecDeque<Weak<Revision>>,
}

impl Deployer {
    /// Publishes `site` for the first time. At start nothing is forgiven: any fault is an error.
    pub fn start(parts: Parts, site: Site) -> Result<Self, StartError> {
        let files = files(&parts.origin, &site);
        let host = site.host.clone();
        let loaded = load(site, &parts.sandbox, []);
        let faults: Vec<_> = loaded.diagnostics().cloned().collect();
        if !faults.is_empty() {
            return Err(StartError::Site(faults.into()));
        }
        let deployer = Self {
            parts,
            limiters: Limiters::default(),
            snapshot: Arc::new(ArcSwap::from_pointee(Snapshot::new([]))),
            live: Mutex::new(Live { host, tenants: BTreeMap::new(), files }),
        };
        let mut live = deployer.live.lock().unwrap_or_else(PoisonError::into_inner);
        deployer.publish(&mut live, loaded);
        drop(live);
        Ok(deployer)
    }

    /// The pointer that is swapped.
    pub fn snapshot(&self) -> Arc<ArcSwap<Snapshot>> {
        self.snapshot.clone()
    }

    /// The files that a change of would be a change of the site.
    pub fn files(&self) -> Vec<std::path::PathBuf> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).files.clone()
    }

    /// Reads everything again, and publishes what is different and valid.
    pub fn reload(&self) -> Reloaded {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let reloaded = match self.parts.origin.read() {
            Ok(site) => self.take_over(&mut live, site),
            Err(diagnostics) => {
                self.refused(None, &diagnostics);
                Reloaded::Refused
            }
        };
        self.parts.metrics.reload(match reloaded {
            Reloaded::Published => Reload::Published,
            Reloaded::Unchanged => Reload::Unchanged,
            Reloaded::Refused => Reload::Refused,
        });
        reloaded
    }

    fn take_over(&self, live: &mut Live, site: Site) -> Reloaded {
        live.files = files(&self.parts.origin, &site);
        if site.host != live.host {
            self.parts
                .log
                .warn("[host] was changed: that needs a restart; the rest of the site file is taken over")
                .send();
        }
        for warning in &site.warnings {
            self.parts
                .log
                .warn("the site file has a warning")
                .block("diagnostic", &warning.render(false))
                .send();
        }
        let known: Vec<_> =
            live.tenants.values().flat_map(|tenant| tenant.components.values().cloned()).collect();
        let loaded = load(site, &self.parts.sandbox, known);
        let mut was_refused = false;
        for (name, tenant) in &loaded.tenants {
            if let Err(faults) = tenant {
                was_refused = true;
                self.refused(Some(name), &faults.clone().into());
            }
        }
        let was_published = self.publish(live, loaded);
        match (was_refused, was_published) {
            (true, _) => Reloaded::Refused,
            (false, true) => Reloaded::Published,
            (false, false) => Reloaded::Unchanged,
        }
    }

    fn refused(&self, tenant: Option<&TenantName>, diagnostics: &Diagnostics) {
        self.parts
            .log
            .error("a change was refused; what was live stays live")
            .field("tenant", tenant)
            .block("diagnostics", &diagnostics.render(false))
            .send();
    }

    /// Makes revisions of what can run, and swaps the pointer if anything is different.
    fn publish(&self, live: &mut Live, loaded: Loaded) -> bool {
        let Loaded { site, mut tenants } = loaded;
        let mut changed = false;
        let gone: Vec<_> =
            live.tenants.keys().filter(|name| !site.tenants.contains_key(*name)).cloned().collect();
        for name in gone {
            live.tenants.remove(&name);
            self.parts.log.info("tenant removed").field("tenant", &name).send();
            changed = true;
        }
        for (name, tenant_site) in &site.tenants {
            let tenant =
                live.tenants.entry(name.clone()).or_insert_with(|| self.new_tenant(name, tenant_site));
            // Hosts and quota are the operator's: they hold at once, whatever becomes of the revision.
            tenant.gate.set_bounds(tenant_site.quota.bounds());
            tenant.storage.set(tenant_site.quota.storage);
            if tenant.hosts != tenant_site.hosts {
                tenant.hosts.clone_from(&tenant_site.hosts);
                changed = true;
            }
            if let Some(Ok(loaded)) = tenants.remove(name) {
                changed |= self.revise(name, tenant, tenant_site, loaded);
            }
        }
        if changed {
            let revisions =
                live.tenants.values().filter_map(|tenant| Some((tenant, tenant.revision.clone()?)));
            let hosts = revisions.flat_map(|(tenant, revision)| {
                tenant.hosts.iter().cloned().map(move |host| (host, revision.clone()))
            });
            self.snapshot.store(Arc::new(Snapshot::new(hosts)));
        }
        changed
    }

    fn new_tenant(&self, name: &TenantName, site: &TenantSite) -> LiveTenant {
        LiveTenant {
            hosts: Vec::new(),
            gate: Gate::new(site.quota.bounds()),
            plugin_gates: BTreeMap::new(),
            storage: Arc::new(StorageQuota::new(site.quota.storage)),
            metrics: self.parts.metrics.tenant(name),
            revision: None,
            components: BTreeMap::new(),
            draining: VecDeque::new(),
        }
    }

    /// Gives a tenant its next revision, if it is another one.
    fn revise(
        &self,
        name: &TenantName,
        tenant: &mut LiveTenant,
        site: &TenantSite,
        loaded: LoadedTenant,
    ) -> bool {
        let id = document::id(site, &loaded.components);
        if tenant.revision.as_ref().is_some_and(|revision| revision.id == id) {
            return false;
        }
        tenant.plugin_gates.retain(|plugin, _| site.plugins.contains_key(plugin));
        let plugins: BTreeMap<PluginName, Arc<Plugin>> = site
            .plugins
            .iter()
            .filter_map(|(plugin, plugin_site)| {
                let component = loaded.components.get(plugin)?.clone();
                Some((plugin.clone(), Arc::new(self.plugin(name, tenant, plugin, plugin_site, component))))
            })
            .collect();
        let rules = site.routes.iter().filter_map(|route| {
            let target = Chain {
                route: route.pattern.as_str().into(),
                filters: route.filters.iter().filter_map(|filter| plugins.get(filter).cloned()).collect(),
                plugin: plugins.get(&route.plugin)?.clone(),
            };
            Some(Rule {
                pattern: route.pattern.clone(),
                hosts: route.hosts.clone(),
                methods: route.methods.clone(),
                headers: route.headers.clone(),
                target,
            })
        });
        let routes = Routes::new(rules.collect());
        let drained = {
            let (log, name) = (self.parts.log.clone(), name.clone());
            move || log.info("revision drained").field("tenant", &name).display("revision", id).send()
        };
        let revision =
            Revision::new(name.clone(), id, tenant.gate.clone(), tenant.metrics.clone(), routes, drained);
        let previous = tenant.revision.replace(Arc::new(revision));
        tenant.components = loaded.components;
        tenant.metrics.set_live_revision(id.to_string());
        if let Some(previous) = previous {
            previous.retire(tenant.metrics.draining_guard());
            retire(&mut tenant.draining, &previous);
        }
        self.parts.log.info("revision live").field("tenant", name).display("revision", id).send();
        true
    }

    fn plugin(
        &self,
        tenant_name: &TenantName,
        tenant: &mut LiveTenant,
        name: &PluginName,
        site: &PluginSite,
        component: Component,
    ) -> Plugin {
        let bounds = site.limits.bounds();
        let gate = tenant.plugin_gates.entry(name.clone()).or_insert_with(|| Gate::new(bounds));
        gate.set_bounds(bounds);
        let limiter = site.grants.limiter.then(|| self.limiters.get(tenant_name, name));
        let keyvalue = (site.grants.keyvalue || site.grants.keyvalue_shared).then(|| {
            let (tenant_name, name) = (tenant_name.clone(), name.clone());
            KeyValue::new(self.parts.store.clone(), tenant_name, name, site.grants, tenant.storage.clone())
        });
        Plugin {
            tenant: tenant_name.clone(),
            name: name.clone(),
            component,
            limits: site.limits.clone(),
            abilities: Arc::new(Abilities { config: site.config.clone(), keyvalue, limiter }),
            gate: gate.clone(),
            metrics: self.parts.metrics.plugin(tenant_name, name),
        }
    }
}

/// Remembers a revision that is draining, and ends the oldest if there are too many.
fn retire(draining: &mut VecDeque<Weak<Revision>>, previous: &Arc<Revision>) {
    draining.retain(|revision| revision.strong_count() > 0);
    draining.push_back(Arc::downgrade(previous));
    while draining.len() > MAX_DRAINING {
        if let Some(oldest) = draining.pop_front().and_then(|oldest| oldest.upgrade()) {
            oldest.end();
        }
    }
}

fn files(origin: &Origin, site: &Site) -> Vec<std::path::PathBuf> {
    let (Origin::SiteFile(path) | Origin::Component(path)) = origin;
    let plugins = site.tenants.values().flat_map(|tenant| tenant.plugins.values());
    let mut files: Vec<_> = plugins.map(|plugin| plugin.component.clone()).chain([path.clone()]).collect();
    files.sort();
    files.dedup();
    files
}
