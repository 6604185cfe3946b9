//! The values that tenants set: written through the admin API, never given back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::audit::{Actor, AuditEvent};
use super::record::{Page, PageRequest, all, key, keys_of, now, parse, written};
use super::revision_records::RevisionDetail;
use super::{ControlError, ControlPlane, Refused, TurnOf};
use crate::capability::http::Secret;
use crate::deploy::refusal::Fault;
use crate::deploy::secrets::{MAX_SECRET_BYTES, Secrets, unsuited};
use crate::document::{Place, TenantDocument};
use crate::store::{Order, RecordError, Table, View};
use crate::tenant::{SecretName, TenantName};

/// The most secrets of one tenant.
const MOST_SECRETS: usize = 1000;

/// A secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SecretInfo {
    /// The name.
    pub name: SecretName,
    /// The time when it was set last (RFC 3339).
    pub changed: String,
}

#[derive(Serialize, Deserialize)]
struct SecretRecord {
    value: String,
    changed: String,
}

impl ControlPlane {
    /// The secrets of a tenant.
    pub async fn secrets(
        &self,
        tenant: &TenantName,
        page: PageRequest,
    ) -> Result<Page<SecretInfo>, ControlError> {
        self.known(tenant).await?;
        let prefix = keys_of(tenant);
        let read = self
            .records
            .read(move |view| page.read::<SecretRecord>(view, Table::Secrets, &prefix, Order::Ascending));
        let Page { items, next } = read.await?;
        let infos = items.into_iter().filter_map(|(name, SecretRecord { changed, value: _ })| {
            Some(SecretInfo { name: SecretName::parse(&name).ok()?, changed })
        });
        Ok(Page { items: infos.collect(), next })
    }

    /// Sets a secret: calls that begin afterwards get the new value.
    pub async fn set_secret(
        self: &Arc<Self>,
        tenant: &TenantName,
        name: SecretName,
        value: String,
        by: &Actor,
    ) -> Result<(), ControlError> {
        let (plane, tenant, by) = (self.clone(), tenant.clone(), by.clone());
        let turn = self.turn(&tenant, TurnOf::Changes).await?;
        Self::whole(async move {
            let set = plane.set(tenant, name, value, by).await;
            drop(turn);
            set
        })
        .await
    }

    async fn set(
        self: Arc<Self>,
        tenant: TenantName,
        name: SecretName,
        value: String,
        by: Actor,
    ) -> Result<(), ControlError> {
        self.managed(&tenant).await?;
        self.keep_up(&tenant).await?;
        let refused = |why: String| ControlError::Refused {
            what: Refused::Secret,
            faults: vec![Fault::new(Place::Secret(name.clone()), format!("secret `{name}`: {why}"))],
        };
        if value.is_empty() || value.len() > MAX_SECRET_BYTES {
            return Err(refused(format!("a value has 1 to {MAX_SECRET_BYTES} bytes")));
        }
        let mut values = self.secret_values(&tenant).await?;
        if !values.contains_key(&name) && values.len() >= MOST_SECRETS {
            return Err(ControlError::TooMany { what: "secrets", most: MOST_SECRETS });
        }
        values.insert(name.clone(), Secret::new(value.clone().into_bytes()));
        if let Some(live) = self.live_document(&tenant).await? {
            ControlError::refuse_if_any(Refused::Secret, unsuited(&live, &values))?;
        }
        let (place, secret) = (key(&tenant, &name), name);
        let set = self.change(&tenant, &by, move |edit| {
            edit.put(Table::Secrets, place, written(&SecretRecord { value, changed: now() })?);
            Ok(((), Some(AuditEvent::SecretSet { secret })))
        });
        set.await?;
        self.deployer.set_secrets(&tenant, values);
        // A revision that lacked this value at the start of the host can run now.
        self.keep_up(&tenant).await
    }

    /// Removes a secret that the live revision does not use.
    pub async fn remove_secret(
        self: &Arc<Self>,
        tenant: &TenantName,
        name: SecretName,
        by: &Actor,
    ) -> Result<(), ControlError> {
        let (plane, tenant, by) = (self.clone(), tenant.clone(), by.clone());
        let turn = self.turn(&tenant, TurnOf::Changes).await?;
        Self::whole(async move {
            let removed = plane.remove(tenant, name, by).await;
            drop(turn);
            removed
        })
        .await
    }

    async fn remove(
        self: Arc<Self>,
        tenant: TenantName,
        name: SecretName,
        by: Actor,
    ) -> Result<(), ControlError> {
        self.managed(&tenant).await?;
        self.keep_up(&tenant).await?;
        let live = self.live_document(&tenant).await?;
        if live.is_some_and(|live| uses(&live, &name)) {
            return Err(ControlError::InUse(format!("the live revision uses the secret `{name}`")));
        }
        let place = key(&tenant, &name);
        let remove = self.change(&tenant, &by, move |edit| {
            if edit.get(Table::Secrets, &place)?.is_none() {
                return Err(ControlError::not_found("secret", &name).into());
            }
            edit.remove(Table::Secrets, place);
            Ok(((), Some(AuditEvent::SecretRemoved { secret: name })))
        });
        remove.await?;
        let values = self.secret_values(&tenant).await?;
        self.deployer.set_secrets(&tenant, values);
        Ok(())
    }

    /// The values of a tenant's secrets.
    pub(super) async fn secret_values(&self, tenant: &TenantName) -> Result<Secrets, ControlError> {
        let secrets = self.secret_records(tenant).await?.into_iter();
        Ok(secrets.map(|(name, secret)| (name, Secret::new(secret.value.into_bytes()))).collect())
    }

    pub(super) async fn secret_names(
        &self,
        tenant: &TenantName,
    ) -> Result<BTreeSet<SecretName>, ControlError> {
        Ok(self.secret_records(tenant).await?.into_keys().collect())
    }

    async fn secret_records(
        &self,
        tenant: &TenantName,
    ) -> Result<BTreeMap<SecretName, SecretRecord>, ControlError> {
        let tenant = tenant.clone();
        Ok(self.records.read(move |view| records(view, &tenant)).await?)
    }

    /// The document of the live revision.
    pub(super) async fn live_document(
        &self,
        tenant: &TenantName,
    ) -> Result<Option<TenantDocument>, ControlError> {
        let Some(rollout) = self.rollout(tenant).await? else { return Ok(None) };
        let RevisionDetail { document, .. } = self.revision(tenant, rollout.live).await?;
        Ok(Some(document))
    }
}

fn records(view: &View<'_>, tenant: &TenantName) -> Result<BTreeMap<SecretName, SecretRecord>, RecordError> {
    let records = view.list(Table::Secrets, all(&keys_of(tenant)))?.into_iter();
    let named = records.filter_map(|(name, record)| Some((SecretName::parse(&name).ok()?, record)));
    named.map(|(name, record)| Ok((name, parse(&record)?))).collect()
}

fn uses(document: &TenantDocument, secret: &SecretName) -> bool {
    document.plugins.values().any(|plugin| {
        plugin.credentials.iter().any(|credential| credential.secret == *secret)
            || plugin.config_secrets().any(|(_, name)| name == secret)
    })
}
