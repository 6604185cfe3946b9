//! The revisions of tenants: documents that were checked and loaded once, under the digests of their content.
//!
//! A revision never changes. It is *held* if its tenant's `approve` demands it, until the operator has approved it. The
//! oldest revisions are forgotten when there are more than the quota `revisions`, except the live and the previous one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::artifacts::{Artifact, count, used};
use super::audit::{Actor, AuditEvent};
use super::record::{Page, PageRequest, find, find_in, key, keys_of, last, now, ordered, parse, written};
use super::rollouts::{Rollout, rollout_in};
use super::{ControlError, ControlPlane, Refused};
use crate::deploy::refusal::{Fault, Refusal};
use crate::document::{
    Approval, ComponentRef, Diff, Place, TenantDocument, TenantSpec, Widening, WideningKind,
};
use crate::sandbox::Digest;
use crate::store::{DatabaseError, Edit, Order, Range, Stop, Table};
use crate::tenant::{PluginName, TenantName};

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

/// Whether a document is only looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRun {
    /// Nothing is kept.
    Yes,
    /// The revision is kept.
    No,
}

/// The difference between two revisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RevisionDiff {
    /// The earlier revision; none is an empty one.
    pub against: Option<Digest>,
    /// The difference.
    pub diff: Diff,
    /// What the later revision may do and the earlier may not.
    pub widens: Vec<Widening>,
}

/// A document that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedRevision {
    /// Its id.
    pub revision: Digest,
    /// Whether it may go live.
    pub state: RevisionState,
    /// Its difference to the live revision.
    pub difference: RevisionDiff,
    /// False if it was there already, or is only looked at.
    pub is_new: bool,
}

/// The state that a document is compared with.
struct Present {
    artifacts: BTreeMap<Digest, Artifact>,
    live: Option<RevisionDetail>,
    same: Option<RevisionDetail>,
}

impl ControlPlane {
    /// Checks and loads a document, and keeps it as a revision of the tenant. It does not go live.
    pub async fn add_revision(
        self: &Arc<Self>,
        tenant: &TenantName,
        document: TenantDocument,
        dry_run: DryRun,
        by: &Actor,
    ) -> Result<AddedRevision, ControlError> {
        let (plane, tenant, by) = (self.clone(), tenant.clone(), by.clone());
        Self::whole(async move { plane.add_document(tenant, document, dry_run, by).await }).await
    }

    async fn add_document(
        self: Arc<Self>,
        tenant: TenantName,
        document: TenantDocument,
        dry_run: DryRun,
        by: Actor,
    ) -> Result<AddedRevision, ControlError> {
        let _turn = self.turn(&tenant).await;
        let spec = self.managed(&tenant).await?;
        let id = document.id();
        let present = self.present(&tenant, &document, id).await?;
        let refused = |faults| ControlError::refuse_if_any(Refused::Document, faults);
        let mut faults = self.allowance_faults(&tenant, &spec, &document).await?;
        faults.extend(unknown_artifacts(&document, &present.artifacts));
        refused(faults)?;
        self.prepare(&tenant, &document).await?;
        let difference = present.difference(&document);
        let is_held = present.same.as_ref().map_or_else(
            || is_to_be_approved(&spec, &difference.widens),
            |same| same.revision.state == RevisionState::Held,
        );
        let state = if is_held { RevisionState::Held } else { RevisionState::Ready };
        let is_new = present.same.is_none() && dry_run == DryRun::No;
        if is_new {
            let revision = Revision { revision: id, state, created: now(), by: by.clone() };
            let detail = RevisionDetail { revision, document };
            let kept = spec.quota.revisions;
            let owner = tenant.clone();
            let keep = self.change(&tenant, &by, move |edit| {
                keep(edit, &owner, &detail, kept)?;
                Ok(((), Some(AuditEvent::RevisionAdded { revision: id })))
            });
            keep.await?;
        }
        Ok(AddedRevision { revision: id, state, difference, is_new })
    }

    async fn present(
        &self,
        tenant: &TenantName,
        document: &TenantDocument,
        id: Digest,
    ) -> Result<Present, ControlError> {
        let (tenant, wanted) = (tenant.clone(), used(document));
        let read = self.records.read(move |view| {
            let rollout = rollout_in(view, &tenant)?;
            let revision = |id: Digest| find::<RevisionDetail>(view, Table::Revisions, &key(&tenant, id));
            let live = rollout.as_ref().map(|rollout| revision(rollout.live)).transpose()?.flatten();
            let same = revision(id)?;
            let documents = live.iter().map(|live| &live.document);
            let all: BTreeSet<Digest> = documents.flat_map(used).chain(wanted.iter().copied()).collect();
            let mut artifacts = BTreeMap::new();
            for digest in all {
                if let Some(artifact) = find::<Artifact>(view, Table::Artifacts, &key(&tenant, digest))? {
                    artifacts.insert(digest, artifact);
                }
            }
            Ok(Present { artifacts, live, same })
        });
        Ok(read.await?)
    }

    /// The revisions of a tenant, latest first.
    pub async fn revisions(
        &self,
        tenant: &TenantName,
        page: PageRequest,
    ) -> Result<Page<Revision>, ControlError> {
        self.known(tenant).await?;
        let tenant = tenant.clone();
        let read = self.records.read(move |view| {
            let Page { items, next } =
                page.read::<Digest>(view, Table::RevisionOrder, &keys_of(&tenant), Order::Descending)?;
            let mut revisions = Vec::new();
            for (_, id) in items {
                let found = find::<RevisionDetail>(view, Table::Revisions, &key(&tenant, id))?;
                revisions.extend(found.map(|found| found.revision));
            }
            Ok(Page { items: revisions, next })
        });
        Ok(read.await?)
    }

    /// A revision of a tenant.
    pub async fn revision(&self, tenant: &TenantName, id: Digest) -> Result<RevisionDetail, ControlError> {
        self.known(tenant).await?;
        let place = key(tenant, id);
        let found = self.records.read(move |view| find(view, Table::Revisions, &place)).await?;
        found.ok_or_else(|| ControlError::not_found("revision", id))
    }

    /// The difference from `against`, or else the live revision, to this one.
    pub async fn diff(
        &self,
        tenant: &TenantName,
        id: Digest,
        against: Option<Digest>,
    ) -> Result<RevisionDiff, ControlError> {
        let later = self.revision(tenant, id).await?;
        let mut present = self.present(tenant, &later.document, id).await?;
        if let Some(against) = against {
            let earlier = self.revision(tenant, against).await?;
            present.artifacts.extend(self.present(tenant, &earlier.document, against).await?.artifacts);
            present.live = Some(earlier);
        }
        Ok(present.difference(&later.document))
    }

    /// Lets a held revision go live.
    pub async fn approve(
        self: &Arc<Self>,
        tenant: &TenantName,
        id: Digest,
        by: &Actor,
    ) -> Result<(), ControlError> {
        self.managed(tenant).await?;
        let (plane, tenant, by) = (self.clone(), tenant.clone(), by.clone());
        Self::whole(async move {
            let owner = tenant.clone();
            let approve = plane.change(&tenant, &by, move |edit| {
                let found = find_in::<RevisionDetail>(edit, Table::Revisions, &key(&owner, id))?;
                let mut detail = found.ok_or_else(|| ControlError::not_found("revision", id))?;
                if detail.revision.state == RevisionState::Ready {
                    return Ok(((), None));
                }
                detail.revision.state = RevisionState::Ready;
                edit.put(Table::Revisions, key(&owner, id), written(&detail)?);
                Ok(((), Some(AuditEvent::RevisionApproved { revision: id })))
            });
            approve.await
        })
        .await
    }

    /// Loads a document as it would run: its components compiled, each tried out.
    pub(super) async fn prepare(
        &self,
        tenant: &TenantName,
        document: &TenantDocument,
    ) -> Result<crate::deploy::managed::Prepared, ControlError> {
        let secrets = self.secret_values(tenant).await?;
        self.deployer.prepare(document.clone(), secrets).await.map_err(|refusal| match refusal {
            Refusal::Faulty { faults, .. } => ControlError::Refused { what: Refused::Document, faults },
            other => ControlError::Host(other.to_string()),
        })
    }
}

impl Present {
    fn difference(&self, document: &TenantDocument) -> RevisionDiff {
        let empty = TenantDocument::default();
        let before = self.live.as_ref().map_or(&empty, |live| &live.document);
        let imports = |document: &TenantDocument| -> BTreeMap<PluginName, BTreeSet<String>> {
            let plugins = document.plugins.iter();
            let imports = plugins.filter_map(|(name, plugin)| match &plugin.component {
                ComponentRef::Artifact(digest) => {
                    Some((name.clone(), self.artifacts.get(digest)?.imports.clone()))
                }
                ComponentRef::File(_) => None,
            });
            imports.collect()
        };
        RevisionDiff {
            against: self.live.as_ref().map(|live| live.revision.revision),
            diff: before.diff(document),
            widens: document.widens(&imports(document), before, &imports(before)),
        }
    }
}

fn is_to_be_approved(spec: &TenantSpec, widens: &[Widening]) -> bool {
    spec.approve.contains(&Approval::Grants)
        && widens.iter().any(|widening| widening.kind != WideningKind::Import)
}

/// The faults of components that are no artifact of the tenant.
fn unknown_artifacts(document: &TenantDocument, artifacts: &BTreeMap<Digest, Artifact>) -> Vec<Fault> {
    let faults = document.plugins.iter().filter_map(|(name, plugin)| {
        let help = match &plugin.component {
            ComponentRef::Artifact(digest) if artifacts.contains_key(digest) => return None,
            ComponentRef::Artifact(_) => "upload it first",
            ComponentRef::File(_) => "write the digest of an uploaded artifact: `sha256:` and 64 digits",
        };
        let headline = format!("plugin `{name}`: the tenant has no artifact `{}`", plugin.component);
        let fault = Fault::new(Place::Component(name.clone()), headline).id("unknown-artifact");
        Some(fault.help(help.to_owned()))
    });
    faults.collect()
}

/// Keeps a revision, and forgets the oldest ones beyond `most`.
fn keep(
    edit: &mut Edit<'_>,
    tenant: &TenantName,
    detail: &RevisionDetail,
    most: usize,
) -> Result<(), Stop<ControlError>> {
    if edit.get(Table::Tenants, tenant.as_str())?.is_none() {
        return Err(ControlError::not_found("tenant", tenant).into());
    }
    let id = detail.revision.revision;
    let prefix = keys_of(tenant);
    let latest = edit.list(Table::RevisionOrder, last(&prefix))?.pop();
    let latest = latest.and_then(|(number, _)| number.parse::<u64>().ok()).unwrap_or(0);
    edit.put(Table::RevisionOrder, key(tenant, ordered(latest.saturating_add(1))), written(&id)?);
    edit.put(Table::Revisions, key(tenant, id), written(detail)?);
    let mut differences: BTreeMap<Digest, i64> =
        used(&detail.document).into_iter().map(|digest| (digest, 1)).collect();
    for (place, forgotten) in oldest_beyond(edit, tenant, most)? {
        if let Some(gone) = find_in::<RevisionDetail>(edit, Table::Revisions, &key(tenant, forgotten))? {
            for digest in used(&gone.document) {
                let difference = differences.entry(digest).or_default();
                *difference = difference.saturating_sub(1);
            }
        }
        edit.remove(Table::RevisionOrder, place);
        edit.remove(Table::Revisions, key(tenant, forgotten));
    }
    count(edit, tenant, &differences)
}

/// The oldest revisions, with one more beside them than `most` allows, each with the key of its place. Neither the live
/// revision nor the previous one is among them.
fn oldest_beyond(
    edit: &Edit<'_>,
    tenant: &TenantName,
    most: usize,
) -> Result<Vec<(String, Digest)>, DatabaseError> {
    let prefix = keys_of(tenant);
    let all = Range { prefix: &prefix, after: None, order: Order::Ascending, limit: usize::MAX };
    let places = edit.list(Table::RevisionOrder, all)?;
    let beyond = places.len().saturating_add(1).saturating_sub(most);
    let latest = Range { prefix: &prefix, after: None, order: Order::Descending, limit: 2 };
    let rollouts = edit.list(Table::Rollouts, latest)?;
    let rollouts = rollouts.iter().map(|(_, record)| parse::<Rollout>(record));
    let in_use = rollouts.map(|rollout| Ok(rollout?.live)).collect::<Result<BTreeSet<_>, DatabaseError>>()?;
    let mut oldest = Vec::new();
    for (place, record) in places {
        if oldest.len() == beyond {
            break;
        }
        let id = parse::<Digest>(&record)?;
        if !in_use.contains(&id) {
            oldest.push((format!("{prefix}{place}"), id));
        }
    }
    Ok(oldest)
}
