//! The artifacts of tenants: what each is, and how many bytes of them a tenant keeps.
//!
//! An artifact that several tenants have uploaded is one file, and none of them sees that. An artifact stays as long as a
//! kept revision uses it. One that no revision uses is forgotten when its tenant's quota has no room for another one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::audit::{Actor, AuditEvent};
use super::record::{Page, PageRequest, find, find_in, key, keys_of, now, parse, written};
use super::{ControlError, ControlPlane, Refused};
use crate::deploy::artifact_folder::Upload;
use crate::deploy::refusal::Fault;
use crate::document::{ComponentRef, Place, TenantDocument};
use crate::observe::Plug;
use crate::sandbox::{Component, Digest, Need};
use crate::store::{DatabaseError, Edit, Order, Range, Stop, Table, View};
use crate::tenant::TenantName;

/// An artifact of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Artifact {
    /// The digest, which is its name.
    pub digest: Digest,
    /// The size in bytes.
    pub bytes: u64,
    /// The time of its upload (RFC 3339).
    pub uploaded: String,
    /// What it can be in a route.
    pub plugs: BTreeSet<String>,
    /// The interfaces that it imports.
    pub imports: BTreeSet<String>,
    /// The grants that its imports take.
    pub grants: BTreeSet<String>,
}

/// An artifact, and the number of kept revisions that use it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ArtifactRecord {
    #[serde(flatten)]
    artifact: Artifact,
    revisions: u64,
}

/// An artifact that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedArtifact {
    /// The artifact.
    pub artifact: Artifact,
    /// False if the tenant had it already.
    pub is_new: bool,
}

impl ControlPlane {
    /// Keeps an uploaded artifact for a tenant, if it is a component that can run here.
    pub async fn add_artifact(
        self: &Arc<Self>,
        tenant: &TenantName,
        upload: Upload,
        by: &Actor,
    ) -> Result<AddedArtifact, ControlError> {
        let (plane, tenant, by) = (self.clone(), tenant.clone(), by.clone());
        Self::whole(async move { plane.add(tenant, upload, by).await }).await
    }

    async fn add(
        self: Arc<Self>,
        tenant: TenantName,
        upload: Upload,
        by: Actor,
    ) -> Result<AddedArtifact, ControlError> {
        let spec = self.managed(&tenant).await?;
        let digest = upload.digest();
        if let Ok(artifact) = self.artifact(&tenant, digest).await {
            return Ok(AddedArtifact { artifact, is_new: false });
        }
        let (read, upload) = in_background(move || (upload.read(), upload)).await?;
        let loaded = self.deployer.loader.load_bytes(read.map_err(failed)?).await;
        let component = loaded.map_err(|fault| ControlError::Refused {
            what: Refused::Artifact,
            faults: vec![Fault { place: Place::Document, ..fault }],
        })?;
        let artifact = described(&component, upload.len_bytes());
        let turn = self.file_turn.lock().await;
        let folder = self.artifacts.clone();
        in_background(move || folder.keep(&upload, digest)).await?.map_err(failed)?;
        let record = ArtifactRecord { artifact: artifact.clone(), revisions: 0 };
        let (owner, allowed) = (tenant.clone(), spec.quota.artifact_bytes);
        let kept = self.change(&tenant, &by, move |edit| {
            let (forgotten, has_tenant) = make_room(edit, &owner, record.artifact.bytes, allowed)?;
            if !has_tenant {
                return Err(ControlError::not_found("tenant", &owner).into());
            }
            edit.put(Table::Artifacts, key(&owner, digest), written(&record)?);
            edit.put(Table::ArtifactOwners, format!("{digest}\0{owner}"), Vec::new());
            Ok((forgotten, Some(AuditEvent::ArtifactAdded { artifact: digest })))
        });
        let kept = kept.await;
        let forgotten = kept.as_ref().map_or_else(|_| vec![digest], Clone::clone);
        self.remove_ownerless(forgotten).await;
        drop(turn);
        kept.map(|_| AddedArtifact { artifact, is_new: true })
    }

    /// The artifacts of a tenant.
    pub async fn artifacts(
        &self,
        tenant: &TenantName,
        page: PageRequest,
    ) -> Result<Page<Artifact>, ControlError> {
        self.known(tenant).await?;
        let tenant = tenant.clone();
        let read = self.records.read(move |view| {
            page.read::<ArtifactRecord>(view, Table::Artifacts, &keys_of(&tenant), Order::Ascending)
        });
        Ok(read.await?.map(|(_, record)| record.artifact))
    }

    /// An artifact of a tenant.
    pub async fn artifact(&self, tenant: &TenantName, digest: Digest) -> Result<Artifact, ControlError> {
        let place = key(tenant, digest);
        let found =
            self.records.read(move |view| find::<ArtifactRecord>(view, Table::Artifacts, &place)).await?;
        found.map(|record| record.artifact).ok_or_else(|| ControlError::not_found("artifact", digest))
    }

    /// Removes the files of those artifacts that no tenant has. Called in the turn of files.
    pub(super) async fn remove_ownerless(&self, artifacts: Vec<Digest>) {
        for digest in artifacts {
            let prefix = format!("{digest}\0");
            let owners = self.records.read(move |view| {
                let range = Range { prefix: &prefix, after: None, order: Order::Ascending, limit: 1 };
                view.list(Table::ArtifactOwners, range)
            });
            // A file that stays although nobody has it is removed at the next start.
            if owners.await.is_ok_and(|owners| owners.is_empty()) {
                let folder = self.artifacts.clone();
                let _ = in_background(move || folder.remove(digest)).await;
            }
        }
    }
}

/// Runs what blocks on the disk.
pub(super) async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ControlError> {
    spawn_blocking(work).await.map_err(|error| ControlError::Host(format!("cannot use the disk: {error}")))
}

pub(super) fn failed(error: std::io::Error) -> ControlError {
    ControlError::Folder(Arc::new(error))
}

fn described(component: &Component, bytes: u64) -> Artifact {
    let imports = component.imports();
    let granted = imports.iter().filter_map(|import| match import.need {
        Need::Grant(grant) => Some(grant.as_str().to_owned()),
        Need::Nothing | Need::Unknown => None,
    });
    let plugs = Plug::ALL.into_iter().filter(|plug| component.is(*plug));
    Artifact {
        digest: component.digest(),
        bytes,
        uploaded: now(),
        plugs: plugs.map(|plug| plug.as_str().to_owned()).collect(),
        imports: imports.iter().map(|import| import.name.clone()).collect(),
        grants: granted.collect(),
    }
}

/// Forgets artifacts that no revision uses until `bytes` more fit. Returns those, and whether the tenant is there.
fn make_room(
    edit: &mut Edit<'_>,
    tenant: &TenantName,
    bytes: u64,
    allowed: u64,
) -> Result<(Vec<Digest>, bool), Stop<ControlError>> {
    let has_tenant = edit.get(Table::Tenants, tenant.as_str())?.is_some();
    let prefix = keys_of(tenant);
    let all = Range { prefix: &prefix, after: None, order: Order::Ascending, limit: usize::MAX };
    let records = edit.list(Table::Artifacts, all)?.into_iter().map(|(_, record)| parse(&record));
    let mut records = records.collect::<Result<Vec<ArtifactRecord>, DatabaseError>>()?;
    let kept = records.iter().map(|record| record.artifact.bytes).fold(0, u64::saturating_add);
    let mut needed = kept.saturating_add(bytes);
    records.retain(|record| record.revisions == 0);
    records.sort_by(|one, other| one.artifact.uploaded.cmp(&other.artifact.uploaded));
    let mut forgotten = Vec::new();
    for ArtifactRecord { artifact, .. } in records {
        if needed <= allowed {
            break;
        }
        needed = needed.saturating_sub(artifact.bytes);
        forget(edit, tenant, artifact.digest);
        forgotten.push(artifact.digest);
    }
    if needed > allowed {
        return Err(ControlError::Quota { needed, allowed }.into());
    }
    Ok((forgotten, has_tenant))
}

fn forget(edit: &mut Edit<'_>, tenant: &TenantName, digest: Digest) {
    edit.remove(Table::Artifacts, key(tenant, digest));
    edit.remove(Table::ArtifactOwners, format!("{digest}\0{tenant}"));
}

/// Forgets all artifacts of a tenant. Returns them.
pub(super) fn forget_all(edit: &mut Edit<'_>, tenant: &TenantName) -> Result<Vec<Digest>, DatabaseError> {
    let prefix = keys_of(tenant);
    let all = Range { prefix: &prefix, after: None, order: Order::Ascending, limit: usize::MAX };
    let records = edit.list(Table::Artifacts, all)?;
    let digests: Vec<Digest> = records.iter().filter_map(|(digest, _)| digest.parse().ok()).collect();
    digests.iter().for_each(|digest| forget(edit, tenant, *digest));
    Ok(digests)
}

/// The artifacts of a document, each once.
pub(super) fn used(document: &TenantDocument) -> BTreeSet<Digest> {
    let components = document.plugins.values().map(|plugin| &plugin.component);
    let artifacts = components.filter_map(|component| match component {
        ComponentRef::Artifact(digest) => Some(*digest),
        ComponentRef::File(_) => None,
    });
    artifacts.collect()
}

/// Counts the kept revisions that use an artifact: so many more or fewer of each. An artifact that the tenant has not is
/// a refusal, if one more revision is to use it.
pub(super) fn count(
    edit: &mut Edit<'_>,
    tenant: &TenantName,
    differences: &BTreeMap<Digest, i64>,
) -> Result<(), Stop<ControlError>> {
    for (digest, difference) in differences {
        let Some(mut record) = find_in::<ArtifactRecord>(edit, Table::Artifacts, &key(tenant, digest))?
        else {
            if *difference > 0 {
                return Err(ControlError::not_found("artifact", digest).into());
            }
            continue;
        };
        record.revisions = record.revisions.saturating_add_signed(*difference);
        edit.put(Table::Artifacts, key(tenant, digest), written(&record)?);
    }
    Ok(())
}

/// The bytes of a tenant's artifacts.
pub(super) fn kept_bytes(view: &View<'_>, tenant: &TenantName) -> Result<u64, DatabaseError> {
    let prefix = keys_of(tenant);
    let all = Range { prefix: &prefix, after: None, order: Order::Ascending, limit: usize::MAX };
    let mut bytes = 0_u64;
    for (_, record) in view.list(Table::Artifacts, all)? {
        bytes = bytes.saturating_add(parse::<ArtifactRecord>(&record)?.artifact.bytes);
    }
    Ok(bytes)
}
