//! The deployer's side of API-managed tenants: a revision is loaded, and later goes live at once.
//!
//! Leaves to `control_plane/` what is on disk, and in which order things happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::change::Change;
use super::deployer::Deployer;
use super::live::LiveTenant;
use super::load::{LoadedTenant, Task};
use super::refusal::Refusal;
use super::secrets::Secrets;
use super::standing::{ManagedBy, PluginStatus, Running, Tenant};
use crate::config::TenantSettings;
use crate::document::{TenantDocument, TenantQuota, TenantSpec};
use crate::limits::Ceilings;
use crate::sandbox::Digest;
use crate::snapshot::HostPattern;
use crate::tenant::TenantName;

/// The time between two looks at a removed tenant whose requests end.
const UNTIL_NEXT_LOOK: Duration = Duration::from_millis(20);

/// A document that was loaded, and can go live.
pub(super) struct Prepared {
    document: TenantDocument,
    loaded: LoadedTenant,
}

/// A name and hosts that are reserved until this is dropped.
pub(super) struct Reserved<'a> {
    deployer: &'a Deployer,
    name: TenantName,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.deployer.live().reserved.remove(&self.name);
    }
}

/// A tenant that is being removed. Its name stays taken, unless the removal ends.
#[must_use]
pub(super) struct Leaving<'a> {
    deployer: &'a Deployer,
    name: TenantName,
}

impl Leaving<'_> {
    /// Ends the removal: the name is free.
    pub(super) fn end(self) {
        self.deployer.live().reserved.remove(&self.name);
    }
}

impl Deployer {
    /// Loads a document, with the values of its tenant's secrets, as it runs below the tenant's ceilings.
    pub(super) async fn prepare(
        &self,
        spec: &TenantSpec,
        document: TenantDocument,
        secrets: Secrets,
    ) -> Result<Prepared, Refusal> {
        let ceilings = self.ceilings_of(spec);
        let mut lowered = document.clone();
        for plugin in lowered.plugins.values_mut() {
            plugin.limits = plugin.limits.lowered_to(&ceilings);
        }
        let task = Task { document: Arc::new(lowered), secrets: Arc::default(), given: Arc::new(secrets) };
        match self.loader.load(&task, || true).await {
            Some(Ok(loaded)) => Ok(Prepared { document, loaded }),
            Some(Err(faults)) => Err(Refusal::Faulty { live: None, faults }),
            None => Err(Refusal::Superseded),
        }
    }

    /// Makes a loaded document the tenant's live revision.
    pub(super) fn go_live(&self, name: &TenantName, prepared: Prepared) {
        let Prepared { document, loaded } = prepared;
        let mut live = self.live();
        let Some(tenant) = live.wanted(name) else { return };
        let mut changes = self.renew(name, tenant, &document, loaded);
        self.settle(&mut live, &mut changes);
    }

    /// The tenant's live revision.
    pub(super) fn live_id(&self, name: &TenantName) -> Option<Digest> {
        self.live().wanted(name)?.live_id()
    }

    /// True if this revision is live, below the present ceilings.
    pub(super) fn runs(&self, name: &TenantName, revision: Digest) -> bool {
        self.live().wanted(name).is_some_and(|tenant| {
            tenant.live_id() == Some(revision) && tenant.live_ceilings == tenant.ceilings
        })
    }

    /// The ceilings of a tenant: the lower ones of its own and the host's.
    fn ceilings_of(&self, spec: &TenantSpec) -> Ceilings {
        let mut ceilings = spec.quota.ceilings.clone();
        for (limit, most) in &self.parts.ceilings {
            let ceiling = ceilings.entry(*limit).or_insert(*most);
            *ceiling = (*ceiling).min(*most);
        }
        ceilings
    }

    /// Takes a name and hosts for an API-managed tenant, until they are live. Another tenant that has one of them is the
    /// error, in words.
    pub(super) fn reserve(&self, name: &TenantName, hosts: &[HostPattern]) -> Result<Reserved<'_>, String> {
        let mut live = self.live();
        if live.wanted(name).is_some_and(|tenant| tenant.managed_by == ManagedBy::File) {
            return Err(format!(
                "the tenant `{name}` is in the site file: take it out, or take another name"
            ));
        }
        let wanted: BTreeSet<_> = hosts.iter().collect();
        let others = live.tenants.iter().map(|(owner, tenant)| (owner, &tenant.hosts)).chain(&live.reserved);
        for (owner, theirs) in others.filter(|(owner, _)| *owner != name) {
            if let Some(host) = theirs.iter().find(|host| wanted.contains(host)) {
                return Err(format!("the host `{host}` is another tenant's: `{owner}`"));
            }
        }
        live.reserved.insert(name.clone(), hosts.to_vec());
        Ok(Reserved { deployer: self, name: name.clone() })
    }

    /// Applies the operator's part of an API-managed tenant, which it makes if there is none. Other ceilings of limits
    /// hold for the revisions that go live afterwards.
    pub(super) fn set_managed(&self, name: &TenantName, spec: &TenantSpec) {
        let settings = TenantSettings {
            hosts: spec.hosts.clone(),
            quota: spec.quota.quota.clone(),
            secrets: BTreeMap::new(),
            document: TenantDocument::default(),
        };
        let mut live = self.live();
        live.wanted.insert(name.clone());
        let tenant = live.tenants.entry(name.clone()).or_insert_with(|| self.new_tenant(name, &settings));
        tenant.managed_by = ManagedBy::Api;
        tenant.ceilings = self.ceilings_of(spec);
        let mut changes = tenant.set(name, &settings);
        self.settle(&mut live, &mut changes);
    }

    /// Gives a tenant's live revision other values of its secrets.
    pub(super) fn set_secrets(&self, name: &TenantName, secrets: Secrets) {
        let mut live = self.live();
        let Some(tenant) = live.wanted(name) else { return };
        let changed = tenant.secrets.renew(secrets).into_iter();
        let mut changes: Vec<_> =
            changed.map(|secret| Change::SecretChanged { tenant: name.clone(), secret }).collect();
        self.settle(&mut live, &mut changes);
    }

    /// Notes at the start that a tenant is still being removed.
    pub(super) fn set_leaving(&self, name: &TenantName) {
        self.live().reserved.insert(name.clone(), Vec::new());
    }

    /// Removes an API-managed tenant, ends its requests, and returns when nothing of it runs any more.
    pub(super) async fn remove_managed(&self, name: &TenantName) -> Leaving<'_> {
        self.set_leaving(name);
        loop {
            {
                let mut live = self.live();
                live.wanted.remove(name);
                self.settle(&mut live, &mut Vec::new());
                let Some(tenant) = live.tenants.get_mut(name) else { break };
                tenant.end_all();
            }
            tokio::time::sleep(UNTIL_NEXT_LOOK).await;
        }
        Leaving { deployer: self, name: name.clone() }
    }

    /// The tenants of the site file.
    pub(super) fn file_managed(&self) -> Vec<Tenant> {
        let live = self.live();
        let of_file = live
            .tenants
            .iter()
            .filter(|(name, tenant)| tenant.managed_by == ManagedBy::File && live.wanted.contains(*name));
        of_file.map(|(name, tenant)| described(name, tenant)).collect()
    }

    /// A tenant of the site file.
    pub(super) fn file_managed_tenant(&self, name: &TenantName) -> Option<Tenant> {
        let mut live = self.live();
        let tenant = live.wanted(name)?;
        (tenant.managed_by == ManagedBy::File).then(|| described(name, tenant))
    }

    /// What runs of a tenant.
    pub(super) fn running(&self, name: &TenantName) -> Running {
        let mut live = self.live();
        let Some(tenant) = live.wanted(name) else { return Running::default() };
        let plugins = tenant.document.plugins.iter();
        Running {
            live: tenant.live_id(),
            draining: tenant.draining.iter().filter(|revision| revision.strong_count() > 0).count(),
            plugins: plugins
                .map(|(name, plugin)| PluginStatus {
                    name: name.clone(),
                    component: plugin.component.to_string(),
                })
                .collect(),
        }
    }
}

fn described(name: &TenantName, tenant: &LiveTenant) -> Tenant {
    let quota = TenantQuota { quota: tenant.quota.clone(), ..TenantQuota::default() };
    let spec = TenantSpec { hosts: tenant.hosts.clone(), approve: Default::default(), quota };
    Tenant { name: name.clone(), managed_by: tenant.managed_by, live: tenant.live_id(), spec }
}
