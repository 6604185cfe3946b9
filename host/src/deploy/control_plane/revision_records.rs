//! The records of revisions: each document under its id, and beside it, in the order in which revisions were added, all
//! that changes or that a list shows.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ControlError;
use super::artifacts::{count, used};
use super::audit::Actor;
use super::record::{all, find, find_in, key, keys_of, last, ordered, parse, written};
use super::rollout::Rollout;
use crate::document::TenantDocument;
use crate::sandbox::Digest;
use crate::store::{Edit, Range, RecordError, Stop, Table, View};
use crate::tenant::TenantName;

/// The most revisions that one change forgets.
const MOST_FORGOTTEN: usize = 100;

/// Whether a revision may go live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RevisionState {
    /// It may.
    Ready,
    /// It waits for the operator's approval.
    Held,
}

/// A revision of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Revision {
    /// The id: the digest of the document.
    pub revision: Digest,
    /// Whether it may go live.
    pub state: RevisionState,
    /// The time when it was added (RFC 3339).
    pub created: String,
    /// Who added it.
    pub by: Actor,
}

/// A revision and its document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RevisionDetail {
    /// The revision.
    #[serde(flatten)]
    pub revision: Revision,
    /// The document.
    pub document: TenantDocument,
}

/// A revision and its document, as they are kept, with the place in the order of revisions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredRevision {
    place: u64,
    document: TenantDocument,
}

/// A revision in the order of revisions: all of it that changes, or that a list shows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OrderRecord {
    #[serde(flatten)]
    pub(super) revision: Revision,
    /// The operator has approved it.
    pub(super) is_approved: bool,
    /// It was live once.
    pub(super) was_live: bool,
    /// The artifacts that it uses.
    artifacts: BTreeSet<Digest>,
}

/// A revision's record in the order of revisions, and its place there.
pub(super) struct Known {
    place: u64,
    pub(super) order: OrderRecord,
}

impl Known {
    pub(super) fn find(edit: &Edit<'_>, tenant: &TenantName, id: Digest) -> Result<Self, Stop<ControlError>> {
        let not_found = || ControlError::not_found("revision", id);
        let stored = find_in::<StoredRevision>(edit, Table::Revisions, &key(tenant, id))?;
        let place = stored.ok_or_else(not_found)?.place;
        let order = find_in::<OrderRecord>(edit, Table::RevisionOrder, &key(tenant, ordered(place)))?;
        Ok(Self { place, order: order.ok_or_else(not_found)? })
    }

    pub(super) fn keep(self, edit: &mut Edit<'_>, tenant: &TenantName) -> Result<(), RecordError> {
        edit.put(Table::RevisionOrder, key(tenant, ordered(self.place)), written(&self.order)?);
        Ok(())
    }
}

/// Notes that a revision goes live. A revision that is not kept is a refusal.
pub(super) fn went_live(
    edit: &mut Edit<'_>,
    tenant: &TenantName,
    id: Digest,
) -> Result<(), Stop<ControlError>> {
    let mut known = Known::find(edit, tenant, id)?;
    known.order.was_live = true;
    Ok(known.keep(edit, tenant)?)
}

/// The record of this revision in the order of revisions.
pub(super) fn order_of(
    view: &View<'_>,
    tenant: &TenantName,
    id: Digest,
) -> Result<Option<OrderRecord>, RecordError> {
    match find::<StoredRevision>(view, Table::Revisions, &key(tenant, id))? {
        Some(stored) => find(view, Table::RevisionOrder, &key(tenant, ordered(stored.place))),
        None => Ok(None),
    }
}

/// The revision of this id.
pub(super) fn detail(
    view: &View<'_>,
    tenant: &TenantName,
    id: Digest,
) -> Result<Option<RevisionDetail>, RecordError> {
    let Some(stored) = find::<StoredRevision>(view, Table::Revisions, &key(tenant, id))? else {
        return Ok(None);
    };
    let StoredRevision { place, document } = stored;
    let order = find::<OrderRecord>(view, Table::RevisionOrder, &key(tenant, ordered(place)))?;
    Ok(order.map(|order| RevisionDetail { revision: order.revision, document }))
}

/// Keeps a revision, and forgets the oldest ones beyond `most`.
pub(super) fn keep(
    edit: &mut Edit<'_>,
    tenant: &TenantName,
    RevisionDetail { revision, document }: RevisionDetail,
    most: usize,
) -> Result<(), Stop<ControlError>> {
    if edit.get(Table::Tenants, tenant.as_str())?.is_none() {
        return Err(ControlError::not_found("tenant", tenant).into());
    }
    let latest = edit.list(Table::RevisionOrder, last(&keys_of(tenant)))?.pop();
    let latest = latest.and_then(|(place, _)| place.parse::<u64>().ok()).unwrap_or(0);
    let (id, place) = (revision.revision, latest.saturating_add(1));
    let artifacts = used(&document);
    let mut differences: BTreeMap<Digest, i64> = artifacts.iter().map(|digest| (*digest, 1)).collect();
    let order = OrderRecord { revision, is_approved: false, was_live: false, artifacts };
    edit.put(Table::Revisions, key(tenant, id), written(&StoredRevision { place, document })?);
    Known { place, order }.keep(edit, tenant)?;
    for (place, order) in oldest_beyond(edit, tenant, most)? {
        for digest in order.artifacts {
            let difference = differences.entry(digest).or_default();
            *difference = difference.saturating_sub(1);
        }
        edit.remove(Table::RevisionOrder, key(tenant, place));
        edit.remove(Table::Revisions, key(tenant, order.revision.revision));
    }
    count(edit, tenant, &differences)
}

/// The oldest revisions that are too many beside one more, each with its place; a bounded number of them at once.
/// Neither the live revision nor the previous one is among them.
fn oldest_beyond(
    edit: &Edit<'_>,
    tenant: &TenantName,
    most: usize,
) -> Result<Vec<(String, OrderRecord)>, RecordError> {
    let prefix = keys_of(tenant);
    let places = edit.list(Table::RevisionOrder, all(&prefix))?;
    let beyond = places.len().saturating_add(1).saturating_sub(most).min(MOST_FORGOTTEN);
    if beyond == 0 {
        return Ok(Vec::new());
    }
    let rollouts = edit.list(Table::Rollouts, Range { limit: 2, ..last(&prefix) })?;
    let rollouts = rollouts.iter().map(|(_, record)| parse::<Rollout>(record));
    let in_use = rollouts.map(|rollout| Ok(rollout?.live)).collect::<Result<BTreeSet<_>, RecordError>>()?;
    let mut oldest = Vec::new();
    for (place, record) in places {
        if oldest.len() == beyond {
            break;
        }
        let order = parse::<OrderRecord>(&record)?;
        if !in_use.contains(&order.revision.revision) {
            oldest.push((place, order));
        }
    }
    Ok(oldest)
}
