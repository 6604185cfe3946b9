//! What is live: the tenants that there are, what each keeps over its revisions, and which of them stay although the
//! site has them no longer.
//!
//! Knows nothing of how anything is loaded or published.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Weak};

use super::files::Files;
use super::outbound::WaysOut;
use super::secrets::LiveSecrets;
use super::settling::Settling;
use crate::config::{HostSettings, TenantSite};
use crate::observe::TenantMetrics;
use crate::snapshot::{HostPattern, Revision};
use crate::store::StorageQuota;
use crate::tenant::{Gate, PluginName, Quota, Share, TenantName};

/// Revisions of one tenant that may be draining at once; one more ends the oldest's requests.
const MAX_DRAINING: usize = 16;

/// One owner for all that is live.
pub(super) struct Live {
    /// `[host]` as it was at start, and as it was read last: what was told once is not told again.
    pub(super) host: HostSettings,
    pub(super) seen_host: HostSettings,
    pub(super) seen_warnings: Vec<String>,
    /// The tenants of the site as it was read last.
    pub(super) wanted: BTreeSet<TenantName>,
    pub(super) tenants: BTreeMap<TenantName, LiveTenant>,
    pub(super) loading: BTreeMap<TenantName, Loading>,
    /// How often anything began to be loaded.
    pub(super) loads: u64,
    /// Every file that the last reload read, or should have.
    pub(super) files: Files,
    /// The text of the site that was taken last, and an edit of it that is withheld.
    pub(super) settling: Settling,
}

/// A tenant that is being loaded: it goes on unless something else is wanted.
pub(super) struct Loading {
    pub(super) number: u64,
    pub(super) site: TenantSite,
    pub(super) files: Files,
}

/// What a tenant keeps over its revisions.
pub(super) struct LiveTenant {
    pub(super) hosts: Vec<HostPattern>,
    pub(super) quota: Quota,
    pub(super) gate: Gate,
    pub(super) share: Share,
    pub(super) plugin_gates: BTreeMap<PluginName, Gate>,
    pub(super) ways_out: WaysOut,
    pub(super) storage: Arc<StorageQuota>,
    pub(super) secrets: LiveSecrets,
    pub(super) metrics: Arc<TenantMetrics>,
    /// None while its first revision has yet to be valid.
    pub(super) revision: Option<Arc<Revision>>,
    pub(super) draining: VecDeque<Weak<Revision>>,
}

impl Live {
    /// Whether that is what of a tenant is being loaded.
    pub(super) fn loads_as(&self, name: &TenantName, number: u64) -> bool {
        self.loading.get(name).is_some_and(|loading| loading.number == number)
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
    /// somebody else's by now.
    pub(super) fn keep_only_awaited_hosts(&mut self) {
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
    /// A tenant of which nothing is live yet.
    pub(super) fn new(site: &TenantSite, metrics: Arc<TenantMetrics>) -> Self {
        let share = Share::new(site.quota.weight, site.quota.cpu);
        metrics.set_share(share.clone());
        Self {
            hosts: site.hosts.clone(),
            quota: site.quota.clone(),
            gate: Gate::new((&site.quota).into()),
            share,
            plugin_gates: BTreeMap::new(),
            ways_out: WaysOut::default(),
            storage: Arc::new(StorageQuota::new(site.quota.storage)),
            secrets: LiveSecrets::default(),
            metrics,
            revision: None,
            draining: VecDeque::new(),
        }
    }

    /// The site has it no longer. Whether it was there until now.
    pub(super) fn leave(&mut self) -> bool {
        self.retire();
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
