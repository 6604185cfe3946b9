//! The deployer: it takes over what the site file says, has each tenant loaded, and publishes what comes of it.
//!
//! What is live is `live.rs`'s, of which this is the only user; what a revision is made of is `revision.rs`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::Origin;
use super::files::{Files, paths, tenant_paths};
use super::live::{Live, LiveTenant, Loading};
use super::load::{Loaded, LoadedTenant, Loader, TenantLoad, no_thread};
use super::secrets::Environment;
use super::settling::{SETTLE_TIME, Settling, Verdict};
use crate::capability::Limiters;
use crate::capability::http::HttpClient;
use crate::config::{Diagnostic, Diagnostics, Site, Source, TenantSite};
use crate::observe::{Entry, Log, Metrics, Reload};
use crate::sandbox::Compiler;
use crate::snapshot::{Revision, Snapshot};
use crate::store::Store;
use crate::tenant::TenantName;

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
    pub(super) parts: Parts,
    loader: Loader,
    pub(super) limiters: Limiters,
    snapshot: Arc<ArcSwap<Snapshot>>,
    live: Mutex<Live>,
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
                settling: Settling::new(site.source.clone()),
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

    /// How long until an edit that is withheld may be taken.
    pub(super) fn is_due_in(&self) -> Option<Duration> {
        self.live().settling.is_due_in(Instant::now())
    }

    /// Reads the site again, and takes what it says. What is the operator's holds at once; a tenant's own change is
    /// published when it is loaded, whatever becomes of the others.
    pub fn reload(self: &Arc<Self>) {
        self.read_again(|_, _| Verdict::Take);
    }

    /// Reads the site again because a file has changed: what it leaves out may only not be written yet.
    pub(super) fn follow(self: &Arc<Self>) {
        self.read_again(|live, site| live.settling.judge(&site.source, Instant::now()));
    }

    fn read_again(self: &Arc<Self>, judge: impl FnOnce(&mut Live, &Site) -> Verdict) {
        let mut live = self.live();
        let looked = live.files.look_again();
        let read = self.parts.origin.read().and_then(not_half_written);
        if let Ok(site) = &read {
            let verdict = judge(&mut live, site);
            if let Verdict::Withhold { left_out } = &verdict {
                self.withheld(left_out);
            }
            if verdict != Verdict::Take {
                // Whatever else has changed is read when the edit is taken.
                live.files = looked;
                return;
            }
        }
        let under_way = UnderWay {
            metrics: self.parts.metrics.clone(),
            was_published: AtomicBool::new(false),
            was_refused: AtomicBool::new(false),
        };
        match read {
            Ok(site) => {
                live.settling.took(site.source.clone());
                live.files = looked.instead(paths(&self.parts.origin, &site));
                self.take_over(&mut live, site, Arc::new(under_way));
            }
            Err(diagnostics) => {
                live.settling.refused();
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

    fn withheld(&self, left_out: &str) {
        let what = format!(
            "the site file leaves out what it had: if it stays so for {} s, or on SIGHUP, that is taken",
            SETTLE_TIME.as_secs()
        );
        self.parts.log.info(&what).field("left-out", left_out).send();
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
            let tenant = live
                .tenants
                .entry(name.clone())
                .or_insert_with(|| LiveTenant::new(tenant_site, self.parts.metrics.tenant(name)));
            if tenant.quota != tenant_site.quota {
                tenant.quota.clone_from(&tenant_site.quota);
                tenant.gate.set_bounds((&tenant_site.quota).into());
                tenant.share.cpu().set(tenant_site.quota.weight, tenant_site.quota.cpu);
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
