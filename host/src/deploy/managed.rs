//! The deployer's side of API-managed tenants: a revision is loaded, and later goes live at once.
//!
//! Leaves to `control_plane/` what is on disk, and in which order things happen.

use std::collections::BTreeMap;
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

impl Deployer {
    /// Loads a document, with the values of its tenant's secrets.
    pub(super) async fn prepare(
        &self,
        document: TenantDocument,
        secrets: Secrets,
    ) -> Result<Prepared, Refusal> {
        let task =
            Task { document: Arc::new(document.clone()), secrets: Arc::default(), given: Arc::new(secrets) };
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

    /// Applies the operator's part of an API-managed tenant, which it makes if there is none. The ceilings of limits
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
        tenant.ceilings.clone_from(&spec.quota.ceilings);
        tenant.ceilings.extend(self.parts.ceilings.iter().filter_map(|(limit, most)| {
            let lower = spec.quota.ceilings.get(limit).is_none_or(|ceiling| ceiling > most);
            lower.then_some((*limit, *most))
        }));
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

    /// Removes an API-managed tenant, ends its requests, and returns when nothing of it runs any more.
    pub(super) async fn remove_managed(&self, name: &TenantName) {
        loop {
            {
                let mut live = self.live();
                live.wanted.remove(name);
                self.settle(&mut live, &mut Vec::new());
                let Some(tenant) = live.tenants.get_mut(name) else { return };
                tenant.end_all();
            }
            tokio::time::sleep(UNTIL_NEXT_LOOK).await;
        }
    }

    /// The tenant that has this very host.
    pub(super) fn owner_of(&self, host: &HostPattern) -> Option<TenantName> {
        let live = self.live();
        let has = |tenant: &LiveTenant| tenant.hosts.contains(host);
        live.tenants.iter().find(|(_, tenant)| has(tenant)).map(|(name, _)| name.clone())
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
