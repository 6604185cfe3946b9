//! The tenants that the control plane knows: API-managed ones with their records, and file-managed ones to look at.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::allowance::Allowance;
use super::artifacts::{forget_all, in_background, kept_bytes};
use super::audit::{Actor, AuditEvent, disown};
use super::record::{Page, PageRequest, all, find, find_in, keys_of, parse, written};
use super::tenant_record::{TenantRecord, made_now};
use super::{ControlError, ControlPlane, Refused, TurnOf};
use crate::deploy::refusal::Fault;
use crate::deploy::standing::{ManagedBy, PluginStatus, Tenant};
use crate::document::{Place, TenantDocument, TenantSpec};
use crate::limits::Ceilings;
use crate::sandbox::Digest;
use crate::store::{Edit, Order, RecordError, Stop, Table};
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

/// The part of a token's record that says whose it is. The rest is of who makes tokens.
#[derive(Deserialize)]
struct TokenOwner {
    tenant: Option<TenantName>,
}

/// Removes the tokens of a tenant: a later tenant of the same name is not theirs.
fn remove_tokens(edit: &mut Edit<'_>, tenant: &TenantName) -> Result<(), RecordError> {
    for (id, record) in edit.list(Table::Tokens, all(""))? {
        if parse::<TokenOwner>(&record)?.tenant.as_ref() == Some(tenant) {
            edit.remove(Table::Tokens, id);
        }
    }
    Ok(())
}

impl ControlPlane {
    /// The number of tenants.
    pub async fn tenant_count(&self) -> Result<usize, ControlError> {
        let managed = self.records.read(|view| Ok(view.list(Table::Tenants, all(""))?.len()));
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
        let turn = self.turn(&name, TurnOf::Changes).await?;
        Self::whole(async move {
            let put = plane.put(name, spec, by).await;
            drop(turn);
            put
        })
        .await
    }

    async fn put(
        self: Arc<Self>,
        name: TenantName,
        spec: TenantSpec,
        by: Actor,
    ) -> Result<PutTenant, ControlError> {
        if self.deployer.file_managed_tenant(&name).is_some() {
            return Err(ControlError::FileManaged(name));
        }
        let before = self.record(&name).await?;
        if before.as_ref().is_some_and(|before| before.is_leaving) {
            return Err(ControlError::InUse(format!(
                "the tenant `{name}` is being removed: remove it again, or wait until it is"
            )));
        }
        if before.is_some() {
            self.keep_up(&name).await?;
        }
        let live = if before.is_some() { self.live_document(&name).await? } else { None };
        if let Some(live) = live {
            // The host's own ceilings are none of this change's.
            let secrets = self.secret_names(&name).await?;
            let allowance =
                Allowance { tenant: &name, spec: &spec, host: &Ceilings::new(), secrets: &secrets };
            ControlError::refuse_if_any(Refused::Tenant, allowance.faults(&live))?;
        }
        // Nobody else gets these hosts, or a tenant of this name from the site file, until this change is made.
        let reserved =
            self.deployer.reserve(&name, &spec.hosts).map_err(|claimed| ControlError::Refused {
                what: Refused::Tenant,
                faults: vec![Fault::new(Place::Document, claimed).id("claimed")],
            })?;
        let is_new = before.is_none();
        if before.as_ref().is_none_or(|before| before.spec != spec) {
            let event = if is_new { AuditEvent::TenantMade } else { AuditEvent::TenantChanged };
            let made = before.map_or_else(made_now, |before| before.made);
            let record = TenantRecord { spec: spec.clone(), made, is_leaving: false };
            let key = name.to_string();
            let put = self.change(&name, &by, move |edit| {
                claimed_in_records(edit, &key, &record.spec, is_new)?;
                edit.put(Table::Tenants, key, written(&record)?);
                Ok(((), Some(event)))
            });
            put.await?;
        }
        self.deployer.set_managed(&name, &spec);
        drop(reserved);
        // Other ceilings take the place of those that the live revision runs with.
        self.keep_up(&name).await?;
        Ok(PutTenant { tenant: self.described(name, spec), is_new })
    }

    /// Removes a tenant and everything of it. Its requests that are under way are ended. A removal that failed half way
    /// is gone on with.
    pub async fn remove_tenant(self: &Arc<Self>, name: &TenantName, by: &Actor) -> Result<(), ControlError> {
        if self.deployer.file_managed_tenant(name).is_some() {
            return Err(ControlError::FileManaged(name.clone()));
        }
        let (plane, name, by) = (self.clone(), name.clone(), by.clone());
        let turn = self.turn(&name, TurnOf::Changes).await?;
        Self::whole(async move {
            let key = name.to_string();
            let leave = plane.change(&name, &by, move |edit| {
                let record = find_in::<TenantRecord>(edit, Table::Tenants, &key)?;
                let record = record.ok_or_else(|| ControlError::not_found("tenant", &key))?;
                if record.is_leaving {
                    return Ok(((), None));
                }
                edit.put(Table::Tenants, key, written(&TenantRecord { is_leaving: true, ..record })?);
                Ok(((), Some(AuditEvent::TenantRemoved)))
            });
            leave.await?;
            let removed = plane.finish_removal(&name).await;
            drop(turn);
            removed
        })
        .await
    }

    /// Ends a removed tenant's requests, and removes its data. It is called again after a failure, by the next removal or
    /// the next start; until then nobody gets the tenant's name.
    pub(super) async fn finish_removal(&self, name: &TenantName) -> Result<(), ControlError> {
        let leaving = self.deployer.remove_managed(name).await;
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
            Ok::<_, Stop<ControlError>>(artifacts)
        });
        let artifacts = forget.await??;
        leaving.end();
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
        Ok(self.managed_record(name).await?.spec)
    }

    /// The record of an API-managed tenant. A file-managed tenant is a refusal.
    pub(super) async fn managed_record(&self, name: &TenantName) -> Result<TenantRecord, ControlError> {
        if self.deployer.file_managed_tenant(name).is_some() {
            return Err(ControlError::FileManaged(name.clone()));
        }
        let record = self.record(name).await?.filter(|record| !record.is_leaving);
        record.ok_or_else(|| ControlError::not_found("tenant", name))
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

    /// The faults of a document against what the tenant's operator and the host allow.
    pub(super) async fn allowance_faults(
        &self,
        tenant: &TenantName,
        spec: &TenantSpec,
        document: &TenantDocument,
    ) -> Result<Vec<Fault>, ControlError> {
        let secrets = self.secret_names(tenant).await?;
        let (tenant, spec, document) = (tenant.clone(), spec.clone(), document.clone());
        let ceilings = self.ceilings.clone();
        let check = move || {
            let allowance = Allowance { tenant: &tenant, spec: &spec, host: &ceilings, secrets: &secrets };
            allowance.faults(&document)
        };
        in_background(check).await
    }
}

/// Refuses hosts that another tenant's record has, and a tenant too many. Records are ahead of what is live after a
/// failure of the store.
fn claimed_in_records(
    edit: &Edit<'_>,
    name: &str,
    spec: &TenantSpec,
    is_new: bool,
) -> Result<(), Stop<ControlError>> {
    let records = edit.list(Table::Tenants, all(""))?;
    if is_new && records.len() >= MOST_TENANTS {
        return Err(ControlError::TooMany { what: "tenants", most: MOST_TENANTS }.into());
    }
    let hosts: BTreeSet<_> = spec.hosts.iter().collect();
    for (owner, record) in records.into_iter().filter(|(owner, _)| owner != name) {
        let record = parse::<TenantRecord>(&record)?;
        if let Some(host) = record.spec.hosts.iter().find(|host| hosts.contains(host)) {
            let fault =
                Fault::new(Place::Document, format!("the host `{host}` is another tenant's: `{owner}`"));
            return Err(
                ControlError::Refused { what: Refused::Tenant, faults: vec![fault.id("claimed")] }.into()
            );
        }
    }
    Ok(())
}
