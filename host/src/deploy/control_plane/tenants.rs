//! The tenants that the control plane knows: API-managed ones with their records, and file-managed ones to look at.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::allowance::Allowance;
use super::artifacts::{forget_all, in_background, kept_bytes};
use super::audit::{Actor, AuditEvent, disown};
use super::record::{Page, PageRequest, find, find_in, keys_of, parse, written};
use super::{ControlError, ControlPlane, Refused};
use crate::deploy::refusal::Fault;
use crate::deploy::standing::{ManagedBy, PluginStatus, Tenant};
use crate::document::{Place, TenantDocument, TenantSpec};
use crate::sandbox::Digest;
use crate::store::{DatabaseError, Edit, Order, Range, Table};
use crate::tenant::TenantName;

/// The most API-managed tenants of a host.
const MOST_TENANTS: usize = 10_000;

/// A tenant that was made or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutTenant {
    /// The tenant.
    pub tenant: Tenant,
    /// True if it was made.
    pub is_new: bool,
}

/// What runs of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct TenantStatus {
    /// The tenant.
    pub tenant: TenantName,
    /// The live revision.
    pub live: Option<Digest>,
    /// The number of the rollout; 0 before the first one.
    pub rollout: u64,
    /// The revisions that are not live any more and still have requests.
    pub draining: usize,
    /// The key-value data.
    pub storage: StorageStatus,
    /// The bytes of artifacts.
    pub artifact_bytes: u64,
    /// The plugins of the live revision.
    pub plugins: Vec<PluginStatus>,
}

/// The key-value data of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct StorageStatus {
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Keys.
    pub keys: u64,
}

/// The record of a tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TenantRecord {
    #[serde(flatten)]
    pub(super) spec: TenantSpec,
    /// The tenant was removed, and its data may still be there.
    #[serde(default)]
    pub(super) is_leaving: bool,
}

/// The part of a token's record that says whose it is. The rest is of who makes tokens.
#[derive(Deserialize)]
struct TokenOwner {
    tenant: Option<TenantName>,
}

/// Removes the tokens of a tenant: a later tenant of the same name is not theirs.
fn remove_tokens(edit: &mut Edit<'_>, tenant: &TenantName) -> Result<(), DatabaseError> {
    let all = Range { prefix: "", after: None, order: Order::Ascending, limit: usize::MAX };
    for (id, record) in edit.list(Table::Tokens, all)? {
        if parse::<TokenOwner>(&record)?.tenant.as_ref() == Some(tenant) {
            edit.remove(Table::Tokens, id);
        }
    }
    Ok(())
}

impl ControlPlane {
    /// The number of tenants.
    pub async fn tenant_count(&self) -> Result<usize, ControlError> {
        let managed = self.records.read(|view| {
            let all = Range { prefix: "", after: None, order: Order::Ascending, limit: usize::MAX };
            Ok(view.list(Table::Tenants, all)?.len())
        });
        Ok(managed.await?.saturating_add(self.deployer.file_managed().len()))
    }

    /// All tenants: those of the site file first.
    pub async fn tenants(&self, page: PageRequest) -> Result<Page<Tenant>, ControlError> {
        let is_first = page.after.is_none();
        let read = self
            .records
            .read(move |view| page.read::<TenantRecord>(view, Table::Tenants, "", Order::Ascending));
        let Page { items, next } = read.await?;
        let managed =
            items.into_iter().filter(|(_, record)| !record.is_leaving).filter_map(|(name, record)| {
                let name = TenantName::parse(&name).ok()?;
                Some(self.described(name, record.spec))
            });
        let of_file = if is_first { self.deployer.file_managed() } else { Vec::new() };
        Ok(Page { items: of_file.into_iter().chain(managed).collect(), next })
    }

    /// One tenant.
    pub async fn tenant(&self, name: &TenantName) -> Result<Tenant, ControlError> {
        if let Some(tenant) = self.deployer.file_managed_tenant(name) {
            return Ok(tenant);
        }
        let spec = self.managed(name).await?;
        Ok(self.described(name.clone(), spec))
    }

    /// Makes a tenant, or gives it other hosts and another quota.
    pub async fn put_tenant(
        self: &Arc<Self>,
        name: &TenantName,
        spec: TenantSpec,
        by: &Actor,
    ) -> Result<PutTenant, ControlError> {
        let (plane, name, by) = (self.clone(), name.clone(), by.clone());
        Self::whole(async move { plane.put(name, spec, by).await }).await
    }

    async fn put(
        self: Arc<Self>,
        name: TenantName,
        spec: TenantSpec,
        by: Actor,
    ) -> Result<PutTenant, ControlError> {
        let _hosts = self.host_turn.lock().await;
        let _turn = self.turn(&name).await;
        if self.deployer.file_managed_tenant(&name).is_some() {
            return Err(ControlError::FileManaged(name));
        }
        let before = self.record(&name).await?;
        if before.as_ref().is_some_and(|before| before.is_leaving) {
            return Err(ControlError::InUse(format!(
                "the tenant `{name}` is being removed: wait until it is"
            )));
        }
        let is_new = before.is_none();
        let mut faults = self.claimed_hosts(&name, &spec);
        if !is_new {
            self.catch_up(&name).await?;
            if let Some(live) = self.live_document(&name).await? {
                faults.extend(self.allowance_faults(&name, &spec, &live).await?);
            }
        }
        ControlError::refuse_if_any(Refused::Tenant, faults)?;
        if before.is_none_or(|before| before.spec != spec) {
            let event = if is_new { AuditEvent::TenantMade } else { AuditEvent::TenantChanged };
            let (record, key) = (TenantRecord { spec: spec.clone(), is_leaving: false }, name.to_string());
            let put = self.change(&name, &by, move |edit| {
                let all = Range { prefix: "", after: None, order: Order::Ascending, limit: MOST_TENANTS };
                if is_new && edit.list(Table::Tenants, all)?.len() == MOST_TENANTS {
                    return Err(ControlError::TooMany { what: "tenants", most: MOST_TENANTS }.into());
                }
                edit.put(Table::Tenants, key, written(&record)?);
                Ok(((), Some(event)))
            });
            put.await?;
            self.deployer.set_managed(&name, &spec);
        }
        Ok(PutTenant { tenant: self.described(name, spec), is_new })
    }

    /// Removes a tenant and everything of it. Its requests that are under way are ended.
    pub async fn remove_tenant(self: &Arc<Self>, name: &TenantName, by: &Actor) -> Result<(), ControlError> {
        self.managed(name).await?;
        let (plane, name, by) = (self.clone(), name.clone(), by.clone());
        Self::whole(async move {
            let _turn = plane.turn(&name).await;
            let key = name.to_string();
            let leave = plane.change(&name, &by, move |edit| {
                let record = find_in::<TenantRecord>(edit, Table::Tenants, &key)?;
                let record = record.filter(|record| !record.is_leaving);
                let record = record.ok_or_else(|| ControlError::not_found("tenant", &key))?;
                edit.put(Table::Tenants, key, written(&TenantRecord { is_leaving: true, ..record })?);
                Ok(((), Some(AuditEvent::TenantRemoved)))
            });
            leave.await?;
            plane.finish_removal(&name).await
        })
        .await
    }

    /// Ends a removed tenant's requests, and removes its data. Called again at the next start after a failure.
    pub(super) async fn finish_removal(&self, name: &TenantName) -> Result<(), ControlError> {
        self.deployer.remove_managed(name).await;
        self.deployer.parts.store.remove_tenant(name).await?;
        let _files = self.file_turn.lock().await;
        let owner = name.clone();
        let forget = self.records.change(name, move |edit| {
            for table in [Table::Secrets, Table::Revisions, Table::RevisionOrder, Table::Rollouts] {
                edit.remove_all(table, keys_of(&owner));
            }
            disown(edit, &owner);
            remove_tokens(edit, &owner)?;
            edit.remove(Table::Tenants, owner.as_str());
            let artifacts = forget_all(edit, &owner)?;
            Ok::<_, crate::store::Stop<ControlError>>(artifacts)
        });
        let artifacts = forget.await??;
        self.remove_ownerless(artifacts).await;
        Ok(())
    }

    /// What runs of a tenant.
    pub async fn status(&self, name: &TenantName) -> Result<TenantStatus, ControlError> {
        self.known(name).await?;
        let owner = name.clone();
        let artifact_bytes = self.records.read(move |view| kept_bytes(view, &owner)).await?;
        let usage = self.deployer.parts.store.usage(name).await?;
        let rollout = self.rollout(name).await?.map_or(0, |rollout| rollout.number);
        let running = self.deployer.running(name);
        Ok(TenantStatus {
            tenant: name.clone(),
            live: running.live,
            rollout,
            draining: running.draining,
            storage: StorageStatus { bytes: usage.bytes, keys: usage.keys },
            artifact_bytes,
            plugins: running.plugins,
        })
    }

    /// The spec of an API-managed tenant. A file-managed tenant is a refusal.
    pub(super) async fn managed(&self, name: &TenantName) -> Result<TenantSpec, ControlError> {
        if self.deployer.file_managed_tenant(name).is_some() {
            return Err(ControlError::FileManaged(name.clone()));
        }
        let record = self.record(name).await?.filter(|record| !record.is_leaving);
        record.map(|record| record.spec).ok_or_else(|| ControlError::not_found("tenant", name))
    }

    /// Refuses the name of a tenant that does not exist.
    pub(super) async fn known(&self, name: &TenantName) -> Result<(), ControlError> {
        match self.managed(name).await {
            Ok(_) | Err(ControlError::FileManaged(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn record(&self, name: &TenantName) -> Result<Option<TenantRecord>, ControlError> {
        let key = name.to_string();
        Ok(self.records.read(move |view| find(view, Table::Tenants, &key)).await?)
    }

    fn described(&self, name: TenantName, spec: TenantSpec) -> Tenant {
        let live = self.deployer.live_id(&name);
        Tenant { name, managed_by: ManagedBy::Api, live, spec }
    }

    /// The faults of hosts that another tenant has.
    pub(super) fn claimed_hosts(&self, name: &TenantName, spec: &TenantSpec) -> Vec<Fault> {
        let claimed = spec.hosts.iter().filter_map(|host| {
            let owner = self.deployer.owner_of(host).filter(|owner| owner != name)?;
            let headline = format!("the host `{host}` is another tenant's: `{owner}`");
            let fault = Fault::new(Place::Document, headline).id("host-claimed");
            Some(fault.help("a host belongs to one tenant: take it away from the other".to_owned()))
        });
        claimed.collect()
    }

    /// The faults of a document against what the tenant's operator and the host allow.
    pub(super) async fn allowance_faults(
        &self,
        tenant: &TenantName,
        spec: &TenantSpec,
        document: &TenantDocument,
    ) -> Result<Vec<Fault>, ControlError> {
        let secrets = self.secret_names(tenant).await?;
        let (tenant, spec, host) = (tenant.clone(), spec.clone(), self.ceilings.clone());
        let document = document.clone();
        // Thousands of routes that are alike take seconds to compare.
        let compare = move || {
            Allowance { tenant: &tenant, spec: &spec, host: &host, secrets: &secrets }.faults(&document)
        };
        in_background(compare).await
    }
}
