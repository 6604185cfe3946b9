//! The revisions of tenants: documents that were checked and loaded once, under the digests of their content.
//!
//! A revision never changes. It is *held* if its tenant's `approve` demands it, until the operator has approved it. The
//! oldest revisions are forgotten when there are more than the quota `revisions`, except the live and the previous one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::artifacts::{Artifact, used};
use super::audit::{Actor, AuditEvent};
use super::record::{Page, PageRequest, find, key, keys_of, now};
use super::revision_records::{
    Known, OrderRecord, Revision, RevisionDetail, RevisionState, detail, keep, order_of,
};
use super::rollout::rollout_in;
use super::{ControlError, ControlPlane, Refused, TurnOf};
use crate::deploy::managed::Prepared;
use crate::deploy::refusal::{Fault, Refusal};
use crate::document::{
    Approval, ComponentRef, Diff, Place, TenantDocument, TenantSpec, Widening, WideningKind,
};
use crate::sandbox::Digest;
use crate::store::{Order, Table};
use crate::tenant::{PluginName, TenantName};

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
        let turn = self.turn(&tenant, TurnOf::Changes).await?;
        Self::whole(async move {
            let added = plane.add_document(tenant, document, dry_run, by).await;
            drop(turn);
            added
        })
        .await
    }

    async fn add_document(
        self: Arc<Self>,
        tenant: TenantName,
        document: TenantDocument,
        dry_run: DryRun,
        by: Actor,
    ) -> Result<AddedRevision, ControlError> {
        let spec = self.managed(&tenant).await?;
        let id = document.id();
        let present = self.present(&tenant, &document, id).await?;
        let refused = |faults| ControlError::refuse_if_any(Refused::Document, faults);
        let mut faults = self.allowance_faults(&tenant, &spec, &document).await?;
        faults.extend(unknown_artifacts(&document, &present.artifacts));
        refused(faults)?;
        self.prepare(&tenant, &spec, &document).await?;
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
                keep(edit, &owner, detail, kept)?;
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
            let revision = |id: Digest| detail(view, &tenant, id);
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
            page.read::<OrderRecord>(view, Table::RevisionOrder, &keys_of(&tenant), Order::Descending)
        });
        Ok(read.await?.map(|(_, record)| record.revision))
    }

    /// A revision of a tenant.
    pub async fn revision(&self, tenant: &TenantName, id: Digest) -> Result<RevisionDetail, ControlError> {
        self.known(tenant).await?;
        let owner = tenant.clone();
        let found = self.records.read(move |view| detail(view, &owner, id)).await?;
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

    /// Lets a revision go live, whatever it may do more than another one.
    pub async fn approve(
        self: &Arc<Self>,
        tenant: &TenantName,
        id: Digest,
        by: &Actor,
    ) -> Result<(), ControlError> {
        let (plane, tenant, by) = (self.clone(), tenant.clone(), by.clone());
        let turn = self.turn(&tenant, TurnOf::Changes).await?;
        Self::whole(async move {
            plane.managed(&tenant).await?;
            let owner = tenant.clone();
            let approve = plane.change(&tenant, &by, move |edit| {
                let mut known = Known::find(edit, &owner, id)?;
                if known.order.is_approved {
                    return Ok(((), None));
                }
                known.order.is_approved = true;
                known.order.revision.state = RevisionState::Ready;
                known.keep(edit, &owner)?;
                Ok(((), Some(AuditEvent::RevisionApproved { revision: id })))
            });
            let approved = approve.await;
            drop(turn);
            approved
        })
        .await
    }

    /// Refuses a revision that would do more than the live one, and that the operator has not approved. A revision that
    /// was live before needs no approval.
    pub(super) async fn refuse_held(
        &self,
        tenant: &TenantName,
        spec: &TenantSpec,
        id: Digest,
    ) -> Result<(), ControlError> {
        let owner = tenant.clone();
        let found = self.records.read(move |view| order_of(view, &owner, id));
        let order = found.await?.ok_or_else(|| ControlError::not_found("revision", id))?;
        if order.is_approved || order.was_live {
            return Ok(());
        }
        let widens = self.diff(tenant, id, None).await?.widens;
        let is_held = order.revision.state == RevisionState::Held || is_to_be_approved(spec, &widens);
        if is_held { Err(ControlError::Held(id)) } else { Ok(()) }
    }

    /// Loads a document as it would run: its components compiled, each tried out.
    pub(super) async fn prepare(
        &self,
        tenant: &TenantName,
        spec: &TenantSpec,
        document: &TenantDocument,
    ) -> Result<Prepared, ControlError> {
        let secrets = self.secret_values(tenant).await?;
        self.deployer.prepare(spec, document.clone(), secrets).await.map_err(|refusal| match refusal {
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
                    Some((name.clone(), self.artifacts.get(digest)?.reaches.clone()))
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
