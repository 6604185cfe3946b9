//! What is live, and how the next takes its place.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;

use super::files::{Files, paths, tenant_paths};
use super::load::{Loaded, LoadedTenant, Loader, TenantLoad, no_thread};
use super::secrets::{Environment, LiveSecrets};
use super::{Origin, document};
use crate::capability::http::{HttpClient, Origin as HttpOrigin, Outbound};
use crate::capability::{KeyValue, Limiters};
use crate::config::{
    CredentialSite, Diagnostic, Diagnostics, HostSettings, PluginSite, Site, Source, TenantSite,
};
use crate::observe::{Entry, Log, Metrics, Reload, TenantMetrics};
use crate::sandbox::{Abilities, Compiler, Component, Instances, Reuse};
use crate::snapshot::{Chain, HostPattern, Plugin, Revision, Routes, Rule, Snapshot};
use crate::store::{StorageQuota, Store};
use crate::tenant::{self, Gate, PluginName, Quota, Share, TenantName};

/// Revisions of one tenant that may be draining at once; one more ends the oldest's requests.
const MAX_DRAINING: usize = 16;

/// What a deployer works with.
pub struct Parts {
    /// Where the site comes from.
    pub origin: Origin,
    /// Compiles components.
    pub compiler: Arc<Compiler>,
    /// Under `wasi:keyvalue`.
    pub store: Store,
    /// Under `wasi:http/outgoing-handler`.
    pub http: HttpClient,
    /// Where secrets may be.
    pub environment: Environment,
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

/// Publishes what the site file says, now and whenever it says something else.
pub struct Deployer {
    parts: Parts,
    loader: Loader,
    limiters: Limiters,
    snapshot: Arc<ArcSwap<Snapshot>>,
    live: Mutex<Live>,
}

/// One owner for all that is live.
struct Live {
    /// `[host]` as it was at start, and as it was read last: what was told once is not told again.
    host: HostSettings,
    seen_host: HostSettings,
    seen_warnings: Vec<String>,
    /// The tenants of the site as it was read last.
    wanted: BTreeSet<TenantName>,
    tenants: BTreeMap<TenantName, LiveTenant>,
    loading: BTreeMap<TenantName, Loading>,
    /// How often anything began to be loaded.
    loads: u64,
    /// Every file that the last reload read, or should have.
    files: Files,
}

/// A tenant that is being loaded: it goes on unless something else is wanted.
struct Loading {
    number: u64,
    site: TenantSite,
    files: Files,
}

/// A reload that is under way; counted when the last of its tenants is done with.
struct UnderWay {
    metrics: Metrics,
    was_published: AtomicBool,
    was_refused: AtomicBool,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.metrics.reload(match (*self.was_refused.get_mut(), *self.was_published.get_mut()) {
            (true, _) => Reload::Refused,
            (false, true) => Reload::Published,
            (false, false) => Reload::Unchanged,
        });
    }
}

/// What a tenant keeps over its revisions.
struct LiveTenant {
    hosts: Vec<HostPattern>,
    quota: Quota,
    gate: Gate,
    share: Share,
    plugin_gates: BTreeMap<PluginName, Gate>,
    /// Connections to other servers stay through a swap, and so does how many there may be.
    ways_out: BTreeMap<PluginName, WayOut>,
    storage: Arc<StorageQuota>,
    secrets: LiveSecrets,
    metrics: Arc<TenantMetrics>,
    /// None while its first revision has yet to be valid.
    revision: Option<Arc<Revision>>,
    draining: VecDeque<Weak<Revision>>,
}

impl Deployer {
    /// Publishes `site` for the first time. At start nothing is forgiven: any fault is an error.
    pub fn start(parts: Parts, site: Site) -> Result<Self, StartError> {
        let mut files = Files::look(paths(&parts.origin, &site));
        if let Origin::SiteFile(path) = &parts.origin
            && std::fs::read_to_string(path).ok().as_deref() != Some(site.source.text())
        {
            // Edited since the caller read it: the first look at the files is to find that out.
            files.distrust(path);
        }
        let host = site.host.clone();
        let warnings = site.warnings.iter().map(|warning| warning.render(false)).collect();
        let loader = Loader::new(parts.compiler.clone(), parts.environment.clone(), parts.metrics.clone());
        let loaded = loader.load(site);
        let faults: Vec<_> = loaded.diagnostics().cloned().collect();
        if !faults.is_empty() {
            return Err(StartError::Site(faults.into()));
        }
        let Loaded { site, tenants } = loaded;
        let deployer = Self {
            parts,
            loader,
            limiters: Limiters::default(),
            snapshot: Arc::new(ArcSwap::from_pointee(Snapshot::new([]))),
            live: Mutex::new(Live {
                seen_host: host.clone(),
                host,
                // The caller has told them.
                seen_warnings: warnings,
                wanted: BTreeSet::new(),
                tenants: BTreeMap::new(),
                loading: BTreeMap::new(),
                loads: 0,
                files,
            }),
        };
        let mut live = deployer.live();
        let mut news = deployer.take_tenants_over(&mut live, &site);
        for (name, loaded) in tenants {
            if let (Some(tenant), Ok(loaded)) = (site.tenants.get(&name), loaded) {
                news.extend(deployer.renew(&mut live, &name, tenant, loaded));
            }
        }
        deployer.publish(&mut live, news);
        drop(live);
        Ok(deployer)
    }

    /// The pointer that is swapped.
    pub fn snapshot(&self) -> Arc<ArcSwap<Snapshot>> {
        self.snapshot.clone()
    }

    /// The files that the site is made from.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.live().files.paths()
    }

    /// Whether one of them looks other than when it was last read.
    pub(super) fn has_changed(&self) -> bool {
        self.live().files.have_changed()
    }

    /// Reads the site again. What is the operator's holds at once; a tenant's own change is published when it is
    /// loaded, whatever becomes of the others.
    pub fn reload(self: &Arc<Self>) {
        let mut live = self.live();
        let under_way = UnderWay {
            metrics: self.parts.metrics.clone(),
            was_published: AtomicBool::new(false),
            was_refused: AtomicBool::new(false),
        };
        let looked = live.files.look_again();
        match self.parts.origin.read().and_then(not_half_written) {
            Ok(site) => {
                live.files = looked.instead(paths(&self.parts.origin, &site));
                self.take_over(&mut live, site, Arc::new(under_way));
            }
            Err(diagnostics) => {
                live.files = looked;
                self.parts
                    .log
                    .error("a change of the site file was refused; what was live stays live")
                    .block("diagnostics", &diagnostics.render(false))
                    .send();
                under_way.was_refused.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Ends what is being loaded, for good.
    pub(super) fn stop(&self) {
        self.loader.stop();
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_over(self: &Arc<Self>, live: &mut Live, site: Site, under_way: Arc<UnderWay>) {
        // Of a component, `[host]` is what the command line said.
        let is_told = std::mem::replace(&mut live.seen_host, site.host.clone()) == site.host;
        if site.host != live.host && !is_told && matches!(self.parts.origin, Origin::SiteFile(_)) {
            self.parts
                .log
                .warn("[host] was changed: that needs a restart; the rest of the site file is taken over")
                .send();
        }
        let warnings: Vec<_> = site.warnings.iter().map(|warning| warning.render(false)).collect();
        for warning in warnings.iter().filter(|warning| !live.seen_warnings.contains(warning)) {
            self.parts.log.warn("the site file has a warning").block("diagnostic", warning).send();
        }
        live.seen_warnings = warnings;
        let news = self.take_tenants_over(live, &site);
        // Before what is gone may go: it may have to wait for one of these.
        for (name, tenant) in site.tenants {
            let is_loading = live.loading.get(&name);
            if is_loading.is_none_or(|loading| loading.site != tenant || loading.files.have_changed()) {
                self.begin(live, name, tenant, &site.source, &under_way);
            }
        }
        if self.publish(live, news) {
            under_way.was_published.store(true, Ordering::Relaxed);
        }
    }

    /// What is the operator's to say of tenants: who there is, their hosts and quotas. It holds at once, whatever
    /// becomes of their revisions.
    fn take_tenants_over(&self, live: &mut Live, site: &Site) -> Vec<Entry<'_>> {
        let log = &self.parts.log;
        let mut news = Vec::new();
        live.wanted = site.tenants.keys().cloned().collect();
        live.loading.retain(|name, _| site.tenants.contains_key(name));
        for (name, tenant_site) in &site.tenants {
            let tenant =
                live.tenants.entry(name.clone()).or_insert_with(|| self.new_tenant(name, tenant_site));
            if tenant.quota != tenant_site.quota {
                tenant.quota.clone_from(&tenant_site.quota);
                tenant.gate.set_bounds(tenant_site.quota.bounds());
                tenant.share.set(tenant_site.quota.weight, tenant_site.quota.cpu);
                tenant.storage.set(tenant_site.quota.storage);
                news.push(log.info("quota changed").field("tenant", name));
            }
            if tenant.hosts != tenant_site.hosts {
                tenant.hosts.clone_from(&tenant_site.hosts);
                news.push(log.info("hosts changed").field("tenant", name));
            }
        }
        news
    }

    /// Begins to load a tenant, in place of what of it is being loaded.
    fn begin(
        self: &Arc<Self>,
        live: &mut Live,
        name: TenantName,
        site: TenantSite,
        source: &Arc<Source>,
        under_way: &Arc<UnderWay>,
    ) {
        live.loads = live.loads.wrapping_add(1);
        let number = live.loads;
        // Looked at before they are read: one that changes while it is read has changed since.
        let files = Files::look(tenant_paths(&site));
        live.loading.insert(name.clone(), Loading { number, site: site.clone(), files });
        let load = TenantLoad::new(source, site);
        let (of, tenant) = (Arc::downgrade(self), name.clone());
        let is_wanted =
            move || of.upgrade().is_some_and(|deployer| deployer.live().loads_as(&tenant, number));
        let (of, tenant, under_way_too) = (Arc::downgrade(self), name.clone(), under_way.clone());
        let take = move |loaded| {
            if let Some(deployer) = of.upgrade() {
                deployer.loaded(&tenant, number, loaded, &under_way_too);
            }
        };
        if let Err(error) = self.loader.begin(name.clone(), load, is_wanted, take) {
            live.loading.remove(&name);
            let revision = live.tenants.get(&name).and_then(|tenant| tenant.revision.as_ref());
            self.refused(&name, revision, &no_thread(source, &error).into());
            under_way.was_refused.store(true, Ordering::Relaxed);
        }
    }

    /// A tenant was loaded, or found faulty.
    fn loaded(
        &self,
        name: &TenantName,
        number: u64,
        loaded: Result<LoadedTenant, Vec<Diagnostic>>,
        under_way: &UnderWay,
    ) {
        let mut live = self.live();
        if !live.loads_as(name, number) {
            return;
        }
        let Some(Loading { site, .. }) = live.loading.remove(name) else { return };
        let news = match loaded {
            Ok(loaded) => self.renew(&mut live, name, &site, loaded),
            Err(faults) => {
                under_way.was_refused.store(true, Ordering::Relaxed);
                let revision = live.tenants.get(name).and_then(|tenant| tenant.revision.as_ref());
                self.refused(name, revision, &faults.into());
                Vec::new()
            }
        };
        if self.publish(&mut live, news) {
            under_way.was_published.store(true, Ordering::Relaxed);
        }
    }

    fn refused(&self, tenant: &TenantName, live: Option<&Arc<Revision>>, diagnostics: &Diagnostics) {
        let what_stays = match live {
            Some(_) => "a change was refused; what was live stays live",
            None => "a tenant was refused; nothing of it is live",
        };
        self.parts
            .log
            .error(what_stays)
            .field("tenant", tenant)
            .field("live", live.map(|revision| revision.id.to_string()))
            .block("diagnostics", &diagnostics.render(false))
            .send();
    }

    /// Gives a tenant what was loaded for it, and what is to be told of it.
    fn renew(
        &self,
        live: &mut Live,
        name: &TenantName,
        site: &TenantSite,
        loaded: LoadedTenant,
    ) -> Vec<Entry<'_>> {
        let Some(tenant) = live.tenants.get_mut(name) else { return Vec::new() };
        let LoadedTenant { components, secrets } = loaded;
        let changed = tenant.secrets.renew(secrets).into_iter().map(|secret| {
            let entry = self.parts.log.info("secret changed").field("tenant", name);
            entry.field("secret", secret.as_str())
        });
        let mut news: Vec<_> = changed.collect();
        news.extend(self.revise(name, tenant, site, &components));
        news
    }

    /// Swaps the pointer if anything is different, and lets go of whom the site has no longer. Each change is told to
    /// the log once it is live. Whether there was one.
    fn publish<'a>(&'a self, live: &mut Live, mut news: Vec<Entry<'a>>) -> bool {
        for name in live.gone() {
            let Some(tenant) = live.tenants.get_mut(&name) else { continue };
            // What still runs of it keeps its gates; it is forgotten when that is drained.
            if tenant.leave() {
                news.push(self.parts.log.info("tenant removed").field("tenant", &name));
            }
        }
        let is_changed = !news.is_empty();
        live.keep_only_awaited_hosts();
        if is_changed {
            let revisions =
                live.tenants.values().filter_map(|tenant| Some((tenant, tenant.revision.clone()?)));
            let hosts = revisions.flat_map(|(tenant, revision)| {
                tenant.hosts.iter().cloned().map(move |host| (host, revision.clone()))
            });
            let previous = self.snapshot.swap(Arc::new(Snapshot::new(hosts)));
            news.into_iter().for_each(Entry::send);
            // Revisions without requests end with it, so that they do not count as draining.
            drop(previous);
        }
        live.tenants.values_mut().for_each(LiveTenant::end_oldest);
        let wanted = &live.wanted;
        live.tenants.retain(|name, tenant| {
            wanted.contains(name) || !tenant.draining.is_empty() || tenant.revision.is_some()
        });
        is_changed
    }

    fn new_tenant(&self, name: &TenantName, site: &TenantSite) -> LiveTenant {
        let share = Share::new(site.quota.weight, site.quota.cpu);
        let metrics = self.parts.metrics.tenant(name);
        metrics.set_share(share.clone());
        LiveTenant {
            hosts: site.hosts.clone(),
            quota: site.quota.clone(),
            gate: Gate::new(site.quota.bounds()),
            share,
            plugin_gates: BTreeMap::new(),
            ways_out: BTreeMap::new(),
            storage: Arc::new(StorageQuota::new(site.quota.storage)),
            secrets: LiveSecrets::default(),
            metrics,
            revision: None,
            draining: VecDeque::new(),
        }
    }

    /// Gives a tenant its next revision, if it is another one, and what is to be told of it.
    fn revise(
        &self,
        name: &TenantName,
        tenant: &mut LiveTenant,
        site: &TenantSite,
        components: &BTreeMap<PluginName, Component>,
    ) -> Option<Entry<'_>> {
        let id = document::id(site, components);
        if tenant.revision.as_ref().is_some_and(|revision| revision.id == id) {
            return None;
        }
        tenant.plugin_gates.retain(|plugin, gate| site.plugins.contains_key(plugin) || gate.is_shared());
        tenant
            .ways_out
            .retain(|plugin, _| site.plugins.get(plugin).is_some_and(|site| !site.http.is_empty()));
        let plugins: BTreeMap<PluginName, Arc<Plugin>> = site
            .plugins
            .iter()
            .filter_map(|(plugin, plugin_site)| {
                let component = components.get(plugin)?.clone();
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
        let of_tenant = (tenant.gate.clone(), tenant.share.clone());
        let (metrics, plugins) = (tenant.metrics.clone(), plugins.into_values().collect());
        let revision = Revision::new(name.clone(), id, of_tenant, metrics, routes, plugins, drained);
        tenant.retire();
        tenant.revision = Some(Arc::new(revision));
        tenant.metrics.set_live_revision(id.to_string());
        Some(self.parts.log.info("revision live").field("tenant", name).display("revision", id))
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
        let gate = gate.clone();
        let limiter = site.grants.limiter.then(|| self.limiters.get(tenant_name, name));
        let keyvalue = (site.grants.keyvalue || site.grants.keyvalue_shared).then(|| {
            let (tenant_name, name) = (tenant_name.clone(), name.clone());
            KeyValue::new(self.parts.store.clone(), tenant_name, name, site.grants, tenant.storage.clone())
        });
        let http = (!site.http.is_empty()).then(|| self.way_out(tenant, name, site));
        let secrets = tenant.secrets.of_config(site);
        let metrics = self.parts.metrics.plugin(tenant_name, name);
        let reuse = site.reuse.map(|tenant::Reuse { calls, age, idle }| Reuse { calls, age, idle });
        Plugin {
            tenant: tenant_name.clone(),
            name: name.clone(),
            instances: Instances::new(self.parts.compiler.sandbox(), component, reuse, metrics.clone()),
            limits: site.limits.clone(),
            abilities: Arc::new(Abilities { config: site.config.clone(), secrets, keyvalue, limiter, http }),
            gate,
            share: tenant.share.clone(),
            metrics,
        }
    }
}

impl Deployer {
    /// The plugin's way out: the one that it has, connections and bounds and all, if it is to have the same.
    fn way_out(&self, tenant: &mut LiveTenant, name: &PluginName, site: &PluginSite) -> Outbound {
        let (origins, credentials) = (&site.http, &site.credentials);
        if let Some(way) = tenant.ways_out.get(name)
            && (&way.origins, &way.credentials) == (origins, credentials)
        {
            return way.outbound.clone();
        }
        let outbound = Outbound::new(&self.parts.http, origins.clone(), tenant.secrets.credentials(site));
        let way =
            WayOut { origins: origins.clone(), credentials: credentials.clone(), outbound: outbound.clone() };
        tenant.ways_out.insert(name.clone(), way);
        outbound
    }
}

/// What a plugin's way out was made from, and the way.
struct WayOut {
    origins: BTreeSet<HttpOrigin>,
    credentials: Vec<CredentialSite>,
    outbound: Outbound,
}

impl Live {
    /// Whether that is what of a tenant is being loaded.
    fn loads_as(&self, name: &TenantName, number: u64) -> bool {
        self.loading.get(name).is_some_and(|loading| loading.number == number)
    }

    /// Tenants that the site has no longer. One whose host is to be that of a tenant that is still being loaded for the
    /// first time serves until that is done: a tenant can be given another name, and no caller notices.
    fn gone(&self) -> Vec<TenantName> {
        let awaited = self.awaited();
        let is_gone = |name: &TenantName, tenant: &LiveTenant| {
            !self.wanted.contains(name) && !tenant.hosts.iter().any(|host| awaited.contains(host))
        };
        let gone = self.tenants.iter().filter(|(name, tenant)| is_gone(name, tenant));
        gone.map(|(name, _)| name.clone()).collect()
    }

    /// Whoever stays although the site has it no longer serves the hosts that are awaited, and no others: those may be
    /// somebody else's by now.
    fn keep_only_awaited_hosts(&mut self) {
        let awaited: BTreeSet<HostPattern> = self.awaited().into_iter().cloned().collect();
        let staying = self.tenants.iter_mut().filter(|(name, _)| !self.wanted.contains(*name));
        staying.for_each(|(_, tenant)| tenant.hosts.retain(|host| awaited.contains(host)));
    }

    /// The hosts of tenants that are being loaded for the first time.
    fn awaited(&self) -> BTreeSet<&HostPattern> {
        let is_new =
            |name: &TenantName| self.tenants.get(name).is_none_or(|tenant| tenant.revision.is_none());
        let coming = self.loading.iter().filter(|(name, _)| is_new(name));
        coming.flat_map(|(_, loading)| &loading.site.hosts).collect()
    }
}

impl LiveTenant {
    /// The site has it no longer. Whether it was there until now.
    fn leave(&mut self) -> bool {
        self.retire();
        self.ways_out.clear();
        !std::mem::take(&mut self.hosts).is_empty()
    }

    /// What is live of it drains from now on.
    fn retire(&mut self) {
        if let Some(previous) = self.revision.take() {
            previous.retire(self.metrics.draining_guard());
            self.draining.push_back(Arc::downgrade(&previous));
        }
    }

    /// Forgets what is drained, and ends the oldest of what drains if there is too much of it.
    fn end_oldest(&mut self) {
        self.draining.retain(|revision| revision.strong_count() > 0);
        while self.draining.len() > MAX_DRAINING {
            if let Some(oldest) = self.draining.pop_front().and_then(|oldest| oldest.upgrade()) {
                oldest.end();
            }
        }
    }
}

/// A site file without a word is not yet written: `generate > site.toml` empties it first. The last tenant
/// is removed by a file that still has a `[host]`, or a comment.
fn not_half_written(site: Site) -> Result<Site, Diagnostics> {
    let is_written = site.tenants.values().next().is_some() || !site.source.text().trim().is_empty();
    if is_written {
        return Ok(site);
    }
    let help = "to remove every tenant, leave a comment in the file";
    Err(site.source.diagnostic(&(0..0), "the site file is empty", "", Some(help.into())).into())
}
