//! What is live: the tenants that there are, what each keeps over its revisions, and which of them stay although the
//! site has them no longer.
//!
//! Knows nothing of how anything is loaded or published.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Weak};

use super::change::Change;
use super::load::Task;
use super::outbound::WaysOut;
use super::publications::Publications;
use super::secrets::LiveSecrets;
use crate::config::{SecretSource, TenantSettings};
use crate::document::TenantDocument;
use crate::observe::TenantMetrics;
use crate::sandbox::Digest;
use crate::snapshot::{HostPattern, Revision, Snapshot};
use crate::store::StorageQuota;
use crate::tenant::{Gate, PluginName, Quota, SecretName, Share, TenantName};

/// Revisions of one tenant that may be draining at once; one more ends the oldest's requests.
const MAX_DRAINING: usize = 16;

/// One owner for all that is live.
#[derive(Default)]
pub(super) struct Live {
    /// The tenants that there are to be.
    pub(super) wanted: BTreeSet<TenantName>,
    pub(super) tenants: BTreeMap<TenantName, LiveTenant>,
}

/// What a tenant keeps over its revisions.
pub(super) struct LiveTenant {
    pub(super) hosts: Vec<HostPattern>,
    pub(super) quota: Quota,
    pub(super) secret_sources: Arc<BTreeMap<SecretName, SecretSource>>,
    pub(super) gate: Gate,
    pub(super) share: Share,
    pub(super) plugin_gates: BTreeMap<PluginName, Gate>,
    pub(super) ways_out: WaysOut,
    pub(super) storage: Arc<StorageQuota>,
    pub(super) secrets: LiveSecrets,
    pub(super) metrics: Arc<TenantMetrics>,
    pub(super) publications: Publications,
    /// None while its first revision has yet to be valid.
    pub(super) revision: Option<Arc<Revision>>,
    /// The document of that revision, or an empty one.
    pub(super) document: TenantDocument,
    pub(super) draining: VecDeque<Weak<Revision>>,
}

impl Live {
    /// A tenant that there is to be.
    pub(super) fn wanted(&mut self, name: &TenantName) -> Option<&mut LiveTenant> {
        if self.wanted.contains(name) { self.tenants.get_mut(name) } else { None }
    }

    /// The snapshot of what is live.
    pub(super) fn snapshot(&self) -> Snapshot {
        let revisions = self.tenants.values().filter_map(|tenant| Some((tenant, tenant.revision.clone()?)));
        Snapshot::new(revisions.flat_map(|(tenant, revision)| {
            tenant.hosts.iter().cloned().map(move |host| (host, revision.clone()))
        }))
    }

    /// Tenants that the site has no longer. One whose host is to be that of a tenant that is still being loaded for the
    /// first time serves until that is done: a tenant can be given another name, and no caller notices.
    pub(super) fn gone(&self) -> Vec<TenantName> {
        let awaited = self.awaited();
        let is_gone = |name: &TenantName, tenant: &LiveTenant| {
            !self.wanted.contains(name) && !tenant.hosts.iter().any(|host| awaited.contains(host))
        };
        let gone = self.tenants.iter().filter(|(name, tenant)| is_gone(name, tenant));
        gone.map(|(name, _)| name.clone()).collect()
    }

    /// Whoever stays although the site has it no longer serves the hosts that are awaited, and no others: those may be
    /// somebody else's by now. Whether a host was taken away.
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

    /// Forgets tenants of which nothing is left.
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
    /// A tenant of which nothing is live yet.
    pub(super) fn new(settings: &TenantSettings, metrics: Arc<TenantMetrics>) -> Self {
        let TenantSettings { hosts, quota, secrets, document: _ } = settings;
        let share = Share::new(quota.weight, quota.cpu);
        metrics.set_share(share.clone());
        Self {
            hosts: hosts.clone(),
            quota: quota.clone(),
            secret_sources: Arc::new(secrets.clone()),
            gate: Gate::new(quota.into()),
            share,
            plugin_gates: BTreeMap::new(),
            ways_out: WaysOut::default(),
            storage: Arc::new(StorageQuota::new(quota.storage)),
            secrets: LiveSecrets::default(),
            metrics,
            publications: Publications::default(),
            revision: None,
            document: TenantDocument::default(),
            draining: VecDeque::new(),
        }
    }

    /// Takes over what is the operator's to say of it. What has changed by it.
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

    /// The task of loading this document for it.
    pub(super) fn task(&self, document: TenantDocument) -> Task {
        Task { document: Arc::new(document), secrets: self.secret_sources.clone() }
    }

    /// The site has it no longer. Whether it was there until now.
    pub(super) fn leave(&mut self) -> bool {
        self.retire();
        self.document = TenantDocument::default();
        self.ways_out.clear();
        !std::mem::take(&mut self.hosts).is_empty()
    }

    /// What is live of it drains from now on.
    pub(super) fn retire(&mut self) {
        if let Some(previous) = self.revision.take() {
            previous.retire(self.metrics.draining_guard());
            self.draining.push_back(Arc::downgrade(&previous));
        }
    }

    /// Forgets what is drained, and ends the oldest of what drains if there is too much of it.
    pub(super) fn end_oldest(&mut self) {
        self.draining.retain(|revision| revision.strong_count() > 0);
        while self.draining.len() > MAX_DRAINING {
            if let Some(oldest) = self.draining.pop_front().and_then(|oldest| oldest.upgrade()) {
                oldest.end();
            }
        }
    }
}
