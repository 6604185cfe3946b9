//! The audit log: who changed what, and when. An entry is written in the transaction of its change, so the log has
//! every change that was answered, and no other. Entries are never changed. Of each tenant the latest 10,000 are kept, and
//! of all the latest 1,000,000.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::record::{Page, PageRequest, all, find, first, keys_of, last, now, ordered, parse, written};
use super::{ControlError, ControlPlane};
use crate::sandbox::Digest;
use crate::store::{Edit, Order, Range, RecordError, Stop, Table};
use crate::tenant::{SecretName, TenantName};

/// The most entries that are kept of one tenant.
const MOST_ENTRIES: u64 = 10_000;

/// The most entries that are kept of all, those of removed tenants included.
const MOST_OF_ALL: u64 = 1_000_000;

/// The beginning of the keys of entries that are of no tenant: no name of a tenant is empty.
const OF_NO_TENANT: &str = "\0";

/// Somebody who changes things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Actor(String);

impl Actor {
    /// The operator, who could open the admin socket.
    pub fn socket() -> Self {
        Self("operator (socket)".into())
    }

    /// The holder of a token.
    pub fn token(name: &str, id: &str) -> Self {
        Self(format!("token {name} ({id})"))
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// The entry's number: later entries have greater ones.
    pub number: u64,
    /// The time (RFC 3339).
    pub at: String,
    /// Who made the change.
    pub by: Actor,
    /// The tenant that was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantName>,
    /// The change.
    #[serde(flatten)]
    pub event: AuditEvent,
}

/// A change, as the audit log has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum AuditEvent {
    /// A tenant was made.
    TenantMade,
    /// A tenant has other hosts or another quota.
    TenantChanged,
    /// A tenant was removed.
    TenantRemoved,
    /// A secret has a value.
    SecretSet {
        /// The secret.
        secret: SecretName,
    },
    /// A secret was removed.
    SecretRemoved {
        /// The secret.
        secret: SecretName,
    },
    /// An artifact was uploaded.
    ArtifactAdded {
        /// The artifact.
        artifact: Digest,
    },
    /// A revision was added.
    RevisionAdded {
        /// The revision.
        revision: Digest,
    },
    /// A held revision may go live.
    RevisionApproved {
        /// The revision.
        revision: Digest,
    },
    /// Another revision is live.
    Rollout {
        /// The number of the rollout.
        rollout: u64,
        /// The revision before.
        from: Option<Digest>,
        /// The revision that is live.
        to: Digest,
        /// The reason that was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// A token was made.
    TokenMade {
        /// The token's id.
        token: String,
        /// The token's name.
        name: String,
    },
    /// A token was removed.
    TokenRemoved {
        /// The token's id.
        token: String,
    },
}

/// Stages an entry in the change that it is about. Returns its number.
pub fn append(
    edit: &mut Edit<'_>,
    by: &Actor,
    tenant: Option<&TenantName>,
    event: AuditEvent,
) -> Result<u64, RecordError> {
    let number = match edit.list(Table::Audit, last(""))?.pop() {
        Some((_, record)) => parse::<AuditEntry>(&record)?.number.saturating_add(1),
        None => 1,
    };
    let entry = AuditEntry { number, at: now(), by: by.clone(), tenant: tenant.cloned(), event };
    edit.put(Table::Audit, ordered(number), written(&entry)?);
    // One more than is added, so that a log that was too long gets shorter.
    for (oldest, _) in edit.list(Table::Audit, Range { limit: 2, ..all("") })? {
        if oldest.parse().is_ok_and(|oldest: u64| number.saturating_sub(oldest) >= MOST_OF_ALL) {
            edit.remove(Table::Audit, oldest);
        }
    }
    forget_oldest(edit, tenant, number)?;
    Ok(number)
}

/// Counts the entry among those of its tenant, and forgets the tenant's oldest one if there are too many.
fn forget_oldest(edit: &mut Edit<'_>, tenant: Option<&TenantName>, number: u64) -> Result<(), RecordError> {
    let prefix = tenant.map_or_else(|| OF_NO_TENANT.to_owned(), keys_of);
    // The value of each is its place among the tenant's own entries.
    let place = |record: Option<(String, Vec<u8>)>| match record {
        Some((key, record)) => Ok::<_, RecordError>(Some((key, parse::<u64>(&record)?))),
        None => Ok(None),
    };
    let oldest = place(edit.list(Table::AuditOfTenants, first(&prefix))?.pop())?;
    let latest = place(edit.list(Table::AuditOfTenants, last(&prefix))?.pop())?;
    let next = latest.map_or(0, |(_, place)| place.saturating_add(1));
    edit.put(Table::AuditOfTenants, format!("{prefix}{}", ordered(number)), written(&next)?);
    if let Some((key, oldest)) = oldest
        && next.saturating_sub(oldest) >= MOST_ENTRIES
    {
        edit.remove(Table::AuditOfTenants, format!("{prefix}{key}"));
        edit.remove(Table::Audit, key);
    }
    Ok(())
}

/// Forgets which entries are the tenant's: a later tenant of the same name does not see them. The operator does.
pub(super) fn disown(edit: &mut Edit<'_>, tenant: &TenantName) {
    edit.remove_all(Table::AuditOfTenants, keys_of(tenant));
}

impl ControlPlane {
    /// The entries of one tenant, or all, latest first.
    pub async fn audit(
        &self,
        tenant: Option<&TenantName>,
        page: PageRequest,
    ) -> Result<Page<AuditEntry>, ControlError> {
        self.entries(tenant, page, Order::Descending).await
    }

    /// The entries of one tenant, or all, after the one of this number, in the order of their numbers.
    pub async fn audit_after(
        &self,
        tenant: Option<&TenantName>,
        number: u64,
    ) -> Result<Vec<AuditEntry>, ControlError> {
        let page = PageRequest { after: Some(ordered(number)), limit: None };
        Ok(self.entries(tenant, page, Order::Ascending).await?.items)
    }

    /// The number of the latest entry, as it grows.
    pub fn latest_entry(&self) -> tokio::sync::watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// Says that the entry of this number is on disk.
    pub fn entry_is_there(&self, number: u64) {
        self.latest.send_if_modified(|latest| {
            let is_later = number > *latest;
            *latest = number.max(*latest);
            is_later
        });
    }

    async fn entries(
        &self,
        tenant: Option<&TenantName>,
        page: PageRequest,
        order: Order,
    ) -> Result<Page<AuditEntry>, ControlError> {
        let tenant = tenant.cloned();
        let read = self.records.read(move |view| {
            let Some(tenant) = &tenant else {
                let page = page.read::<AuditEntry>(view, Table::Audit, "", order)?;
                return Ok(page.map(|(_, entry)| entry));
            };
            let Page { items, next } =
                page.read::<u64>(view, Table::AuditOfTenants, &keys_of(tenant), order)?;
            let mut entries = Vec::new();
            for (number, _) in items {
                entries.extend(find(view, Table::Audit, &number)?);
            }
            Ok(Page { items: entries, next })
        });
        Ok(read.await?)
    }

    /// Makes a change with its entry in the audit log: in one transaction, or not at all.
    pub(super) async fn change<R: Send + 'static>(
        &self,
        tenant: &TenantName,
        by: &Actor,
        work: impl FnOnce(&mut Edit<'_>) -> Result<(R, Option<AuditEvent>), Stop<ControlError>> + Send + 'static,
    ) -> Result<R, ControlError> {
        let (owner, by) = (tenant.clone(), by.clone());
        let changed = self.records.change(tenant, move |edit| {
            let (result, event) = work(edit)?;
            let number = match event {
                Some(event) => append(edit, &by, Some(&owner), event)?,
                None => 0,
            };
            Ok((result, number))
        });
        let (result, number) = changed.await??;
        self.entry_is_there(number);
        Ok(result)
    }
}
