//! The live tenants: the state that each keeps over its revisions, and the tenants that stay live although the site
//! no longer has them.
//!
//! A tenant that the site no longer has keeps its entry while a revision of it drains: a tenant that comes back does not
//! have its quota twice.
//!
//! Knows nothing of how anything is loaded or published.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Weak};

use super::change::Change;
use super::load::Task;
use super::outbound::WaysOut;
use super::publications::Publications;
use super::secrets::LiveSecrets;
use super::standing::ManagedBy;
use crate::capability::files::FileShare;
use crate::config::{SecretSource, TenantSettings};
use crate::document::TenantDocument;
use crate::limits::Ceilings;
use crate::observe::TenantMetrics;
use crate::sandbox::Digest;
use crate::snapshot::{HostPattern, Revision, Snapshot};
use crate::store::StorageQuota;
use crate::tenant::{Gate, PluginName, Quota, SecretName, Share, TenantName};

/// Revisions of one tenant that may be draining at once; one more ends the oldest's requests.
const MAX_DRAINING: usize = 16;

/// The owner of all live state.
#[derive(Default)]
pub(super) struct Live {
    /// The tenants that the site has.
    pub(super) wanted: BTreeSet<TenantName>,
    /// Names and hosts that a change of an API-managed tenant has taken, and that are not live yet, or not gone yet.
    pub(super) reserved: BTreeMap<TenantName, Vec<HostPattern>>,
    pub(super) tenants: BTreeMap<TenantName, LiveTenant>,
}

/// The state that a tenant keeps over its revisions.
pub(super) struct LiveTenant {
    pub(super) managed_by: ManagedBy,
    /// The ceilings that the limits of a document are lowered to. Those of a site file's tenants are lowered already.
    pub(super) ceilings: Ceilings,
    /// The ceilings that the limits of the live revision were lowered to.
    pub(super) live_ceilings: Ceilings,
    pub(super) hosts: Vec<HostPattern>,
    pub(super) quota: Quota,
    pub(super) secret_sources: Arc<BTreeMap<SecretName, SecretSource>>,
    pub(super) gate: Gate,
    pub(super) share: Share,
    pub(super) plugin_gates: BTreeMap<PluginName, Gate>,
    pub(super) ways_out: WaysOut,
    pub(super) storage: Arc<StorageQuota>,
    pub(super) files: FileShare,
    pub(super) secrets: LiveSecrets,
    pub(super) metrics: Arc<TenantMetrics>,
    pub(super) publications: Publications,
    /// The live revision; none until the first valid one.
    pub(super) revision: Option<Arc<Revision>>,
    /// The document of the live revision, or an empty one.
    pub(super) document: TenantDocument,
    pub(super) draining: VecDeque<Weak<Revision>>,
}

impl Live {
    /// The tenant, if the site has it.
    pub(super) fn wanted(&mut self, name: &TenantName) -> Option<&mut LiveTenant> {
        if self.wanted.contains(name) { self.tenants.get_mut(name) } else { None }
    }

    /// The first tenant or host of a site file that is an API-managed tenant's, in words; none if there is no such one.
    pub(super) fn claimed_in(&self, tenants: &BTreeMap<TenantName, TenantSettings>) -> Option<String> {
        let managed = self.tenants.iter().filter(|(_, tenant)| tenant.managed_by == ManagedBy::Api);
        let managed = managed.map(|(name, tenant)| (name, &tenant.hosts)).chain(&self.reserved);
        let mut owners: BTreeMap<&HostPattern, &TenantName> = BTreeMap::new();
        for (name, hosts) in managed {
            if tenants.contains_key(name) {
                return Some(format!(
                    "the tenant `{name}` was made through the admin API: take it out of the site file, or remove it there"
                ));
            }
            owners.extend(hosts.iter().map(|host| (host, name)));
        }
        tenants.iter().find_map(|(name, settings)| {
            let (host, owner) = settings.hosts.iter().find_map(|host| Some((host, owners.get(host)?)))?;
            Some(format!(
                "the host `{host}` of the tenant `{name}` is that of `{owner}`, which was made through the admin API"
            ))
        })
    }

    /// The snapshot of the live revisions.
    pub(super) fn snapshot(&self) -> Snapshot {
        let revisions = self.tenants.values().filter_map(|tenant| Some((tenant, tenant.revision.clone()?)));
        Snapshot::new(revisions.flat_map(|(tenant, revision)| {
            tenant.hosts.iter().cloned().map(move |host| (host, revision.clone()))
        }))
    }

    /// The tenants to remove: those that the site no longer has. But a tenant whose host goes to a tenant that is
    /// being loaded for the first time stays until then: so a tenant can be renamed, and no caller notices.
    pub(super) fn gone(&self) -> Vec<TenantName> {
        let awaited = self.awaited();
        let is_gone = |name: &TenantName, tenant: &LiveTenant| {
            !self.wanted.contains(name) && !tenant.hosts.iter().any(|host| awaited.contains(host))
        };
        let gone = self.tenants.iter().filter(|(name, tenant)| is_gone(name, tenant));
        gone.map(|(name, _)| name.clone()).collect()
    }

    /// Takes all hosts from tenants that the site no longer has, except the awaited hosts: the others may belong to
    /// other tenants by now. Returns true if a host was taken away.
    pub(super) fn keep_only_awaited_hosts(&mut self) -> bool {
        let awaited: BTreeSet<HostPattern> = self.awaited().into_iter().cloned().collect();
        let mut is_taken = false;
        for (_, tenant) in self.tenants.iter_mut().filter(|(name, _)| !self.wanted.contains(*name)) {
            let before = tenant.hosts.len();
            tenant.hosts.retain(|host| awaited.contains(host));
            is_taken |= tenant.hosts.len() < before;
        }
        is_taken
    }

    /// The hosts of tenants that are being loaded for the first time.
    fn awaited(&self) -> BTreeSet<&HostPattern> {
        let wanted = self.tenants.iter().filter(|(name, _)| self.wanted.contains(*name));
        let coming =
            wanted.filter(|(_, tenant)| tenant.revision.is_none() && tenant.publications.are_under_way());
        coming.flat_map(|(_, tenant)| &tenant.hosts).collect()
    }

    /// Forgets removed tenants of which nothing is left.
    pub(super) fn forget_gone(&mut self) {
        let wanted = &self.wanted;
        self.tenants.retain(|name, tenant| {
            wanted.contains(name)
                || !tenant.draining.is_empty()
                || tenant.revision.is_some()
                || tenant.publications.are_under_way()
        });
    }
}

impl LiveTenant {
    /// A tenant without a live revision.
    pub(super) fn new(settings: &TenantSettings, metrics: Arc<TenantMetrics>, files: FileShare) -> Self {
        let TenantSettings { hosts, quota, secrets, document: _ } = settings;
        let share = Share::new(quota.weight, quota.cpu);
        metrics.set_share(share.clone());
        Self {
            managed_by: ManagedBy::File,
            ceilings: Ceilings::new(),
            live_ceilings: Ceilings::new(),
            hosts: hosts.clone(),
            quota: quota.clone(),
            secret_sources: Arc::new(secrets.clone()),
            gate: Gate::new(quota.into()),
            share,
            plugin_gates: BTreeMap::new(),
            ways_out: WaysOut::default(),
            storage: Arc::new(StorageQuota::new(quota.storage)),
            files,
            secrets: LiveSecrets::default(),
            metrics,
            publications: Publications::default(),
            revision: None,
            document: TenantDocument::default(),
            draining: VecDeque::new(),
        }
    }

    /// Applies the operator's settings of the tenant. Returns the changes.
    pub(super) fn set(&mut self, name: &TenantName, settings: &TenantSettings) -> Vec<Change> {
        let TenantSettings { hosts, quota, secrets, document: _ } = settings;
        let mut changes = Vec::new();
        if self.quota != *quota {
            self.gate.set_bounds(quota.into());
            self.share.cpu().set(quota.weight, quota.cpu);
            self.storage.set(quota.storage);
            let from = std::mem::replace(&mut self.quota, quota.clone());
            changes.push(Change::QuotaChanged { tenant: name.clone(), from, to: quota.clone() });
        }
        if self.hosts != *hosts {
            let from = std::mem::replace(&mut self.hosts, hosts.clone());
            changes.push(Change::HostsChanged { tenant: name.clone(), from, to: hosts.clone() });
        }
        if *self.secret_sources != *secrets {
            self.secret_sources = Arc::new(secrets.clone());
        }
        changes
    }

    /// The id of the revision that is live.
    pub(super) fn live_id(&self) -> Option<Digest> {
        self.revision.as_ref().map(|revision| revision.id)
    }

    /// The task of loading this document for the tenant.
    pub(super) fn task(&self, document: TenantDocument) -> Task {
        Task { document: Arc::new(document), secrets: self.secret_sources.clone(), given: Arc::default() }
    }

    /// Removes the tenant. Returns true if it was not removed already.
    pub(super) fn leave(&mut self) -> bool {
        self.retire();
        self.document = TenantDocument::default();
        self.ways_out.clear();
        !std::mem::take(&mut self.hosts).is_empty()
    }

    /// Drains the live revision.
    pub(super) fn retire(&mut self) {
        if let Some(previous) = self.revision.take() {
            previous.retire(self.metrics.draining_guard());
            self.draining.push_back(Arc::downgrade(&previous));
        }
    }

    /// Ends the requests of all draining revisions.
    pub(super) fn end_all(&mut self) {
        self.draining.iter().filter_map(Weak::upgrade).for_each(|revision| revision.end());
        self.draining.retain(|revision| revision.strong_count() > 0);
    }

    /// Forgets drained revisions, and ends the oldest of the draining ones if there are too many.
    pub(super) fn end_oldest(&mut self) {
        self.draining.retain(|revision| revision.strong_count() > 0);
        while self.draining.len() > MAX_DRAINING {
            if let Some(oldest) = self.draining.pop_front().and_then(|oldest| oldest.upgrade()) {
                oldest.end();
            }
        }
    }
}
