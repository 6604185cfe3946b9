//! The deployer: owns the tenants of the host, and the snapshot that is made of their live revisions.
//!
//! Leaves the live state to `live.rs`, the content of a revision to `revision.rs`, and the way from a document to a
//! revision to `publish.rs`. Its lock is not held while files are read, parsed or compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;

use super::Origin;
use super::artifact_folder::ArtifactFolder;
use super::change::{Change, Changes};
use super::live::{Live, LiveTenant};
use super::load::{LoadedTenant, Loader, diagnostics_of};
use super::secrets::Environment;
use super::standing::ManagedBy;
use crate::capability::Limiters;
use crate::capability::files::OpenFiles;
use crate::capability::http::HttpClient;
use crate::config::{Diagnostics, Site, TenantSettings};
use crate::document::TenantDocument;
use crate::limits::Ceilings;
use crate::observe::{Log, Metrics};
use crate::sandbox::Compiler;
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::tenant::TenantName;

/// The parts that a deployer works with.
pub struct Parts {
    /// The origin of the site.
    pub origin: Origin,
    /// The compiler of components.
    pub compiler: Arc<Compiler>,
    /// The store under `wasi:keyvalue`.
    pub store: Store,
    /// The client under `wasi:http/outgoing-handler`.
    pub http: HttpClient,
    /// The most files and folders of mounts that guests hold open.
    pub open_files: usize,
    /// The host's ceilings of limits.
    pub ceilings: Ceilings,
    /// The artifacts of tenants.
    pub artifacts: Option<ArtifactFolder>,
    /// The environment, in which secrets may be.
    pub environment: Environment,
    /// The log that changes are reported to.
    pub log: Log,
    /// The metrics that changes are counted in.
    pub metrics: Metrics,
}

/// The reason why there is nothing to serve at start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The site, or a component that it names, is faulty.
    #[error("{}", .0.render(false))]
    Site(Diagnostics),
}

/// The deployer: publishes the documents of the wanted tenants, and removes tenants that are no longer wanted.
pub struct Deployer {
    pub(super) parts: Parts,
    pub(super) loader: Loader,
    pub(super) limiters: Limiters,
    files: OpenFiles,
    pub(super) changes: Changes,
    /// The runtime of the tenants' tasks.
    pub(super) runtime: Handle,
    snapshot: Arc<ArcSwap<Snapshot>>,
    live: Mutex<Live>,
}

impl Deployer {
    /// Publishes `site` for the first time. At start, any fault is an error.
    pub async fn start(parts: Parts, site: &Site) -> Result<Self, StartError> {
        let (origin, compiler) = (parts.origin.clone(), parts.compiler.clone());
        let loader = Loader::new(origin, compiler, parts.environment.clone(), parts.metrics.clone());
        let loader = loader.with_artifacts(parts.artifacts.clone());
        let (loaded, faults) = diagnostics_of(loader.load_site(site).await, site);
        if !faults.is_empty() {
            return Err(StartError::Site(faults.into()));
        }
        let deployer = Self {
            changes: Changes { log: parts.log.clone(), metrics: parts.metrics.clone() },
            files: OpenFiles::new(parts.open_files),
            parts,
            loader,
            limiters: Limiters::default(),
            runtime: Handle::current(),
            snapshot: Arc::new(ArcSwap::from_pointee(Snapshot::new([]))),
            live: Mutex::default(),
        };
        let mut live = deployer.live();
        let mut changes = deployer.take_over(&mut live, &site.tenants);
        for (name, loaded) in loaded {
            if let (Some(settings), Some(tenant)) = (site.tenants.get(&name), live.wanted(&name)) {
                changes.extend(deployer.renew(&name, tenant, &settings.document, loaded));
            }
        }
        deployer.settle(&mut live, &mut changes);
        drop(live);
        Ok(deployer)
    }

    /// The pointer to the live snapshot.
    pub fn snapshot(&self) -> Arc<ArcSwap<Snapshot>> {
        self.snapshot.clone()
    }

    /// Applies the operator's settings of these tenants: that the tenants exist, their hosts, their quotas and the
    /// places of their secrets. The settings hold at once, whatever becomes of the tenants' documents. Returns the
    /// changes. If an API-managed tenant has one of the names or hosts, nothing is applied, and the error says which.
    pub fn set_tenants(&self, tenants: &BTreeMap<TenantName, TenantSettings>) -> Result<Vec<Change>, String> {
        let mut live = self.live();
        if let Some(claimed) = live.claimed_in(tenants) {
            return Err(claimed);
        }
        let mut changes = self.take_over(&mut live, tenants);
        self.settle(&mut live, &mut changes);
        Ok(changes)
    }

    /// Removes all tenants of the site file except the `wanted` ones. Returns the changes.
    pub fn remove_others(&self, wanted: &BTreeSet<TenantName>) -> Vec<Change> {
        let (mut live, mut changes) = (self.live(), Vec::new());
        let live_now = &mut *live;
        live_now.wanted.retain(|name| {
            let tenant = live_now.tenants.get(name);
            wanted.contains(name) || tenant.is_some_and(|tenant| tenant.managed_by == ManagedBy::Api)
        });
        self.settle(&mut live, &mut changes);
        changes
    }

    fn take_over(&self, live: &mut Live, tenants: &BTreeMap<TenantName, TenantSettings>) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, settings) in tenants {
            live.wanted.insert(name.clone());
            let tenant = live.tenants.entry(name.clone()).or_insert_with(|| self.new_tenant(name, settings));
            tenant.managed_by = ManagedBy::File;
            tenant.ceilings.clear();
            changes.extend(tenant.set(name, settings));
        }
        changes
    }

    /// A tenant of which nothing is live yet.
    pub(super) fn new_tenant(&self, name: &TenantName, settings: &TenantSettings) -> LiveTenant {
        LiveTenant::new(settings, self.parts.metrics.tenant(name), self.files.share())
    }

    /// Ends all loads, for good.
    pub(super) fn stop(&self) {
        self.loader.stop();
    }

    pub(super) fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a tenant its loaded components and secrets. Returns the changes.
    pub(super) fn renew(
        &self,
        name: &TenantName,
        tenant: &mut LiveTenant,
        document: &TenantDocument,
        loaded: LoadedTenant,
    ) -> Vec<Change> {
        let LoadedTenant { components, secrets } = loaded;
        let secrets = tenant.secrets.renew(secrets).into_iter();
        let mut changes: Vec<_> =
            secrets.map(|secret| Change::SecretChanged { tenant: name.clone(), secret }).collect();
        changes.extend(self.revise(name, tenant, document, &components));
        changes
    }

    /// Removes tenants that are no longer wanted, adds those removals to `changes`, and swaps the pointer if requests
    /// are routed differently now. Each change is reported once it is live.
    pub(super) fn settle(&self, live: &mut Live, changes: &mut Vec<Change>) {
        for name in live.gone() {
            // The running requests of the tenant keep its gates; the tenant is forgotten when they are drained.
            if live.tenants.get_mut(&name).is_some_and(LiveTenant::leave) {
                changes.push(Change::Removed { tenant: name });
            }
        }
        let is_rerouted = live.keep_only_awaited_hosts() || changes.iter().any(Change::reroutes);
        let previous = is_rerouted.then(|| self.snapshot.swap(Arc::new(live.snapshot())));
        changes.iter().for_each(|change| self.changes.tell(change));
        // Revisions without requests end with the snapshot, so that they do not count as draining.
        drop(previous);
        live.tenants.values_mut().for_each(LiveTenant::end_oldest);
        live.forget_gone();
    }
}
