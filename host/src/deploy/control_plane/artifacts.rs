//! The artifacts of tenants: what each is, and how many bytes of them a tenant keeps.
//!
//! An artifact that several tenants have uploaded is one file, and none of them sees that. An artifact stays as long as a
//! kept revision uses it. One that no revision uses is forgotten when its tenant's quota has no room for another one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::audit::{Actor, AuditEvent};
use super::record::{Page, PageRequest, all, find, find_in, first, key, keys_of, now, parse, written};
use super::tenant_record::still_there;
use super::{ControlError, ControlPlane, Refused, TurnOf};
use crate::deploy::artifact_folder::Upload;
use crate::deploy::refusal::Fault;
use crate::document::{ComponentRef, Place, TenantDocument};
use crate::observe::Plug;
use crate::sandbox::{Component, Digest, Need};
use crate::store::{Edit, Order, RecordError, Stop, Table, View};
use crate::tenant::TenantName;

/// The most artifacts of one tenant.
const MOST_ARTIFACTS: usize = 10_000;

/// The least bytes that an artifact counts as: a file takes a block of the disk.
const LEAST_CHARGE_BYTES: u64 = 4096;

/// The import of requests to other servers, of any version.
const CALLS_OUT: &str = "wasi:http/outgoing-handler@";

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
    /// The imports by which it could reach beyond itself: those that take a grant, and that of requests to other servers.
    pub reaches: BTreeSet<String>,
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
        let turn = self.turn(&tenant, TurnOf::Uploads).await?;
        Self::whole(async move {
            let added = plane.add(tenant, upload, by).await;
            drop(turn);
            added
        })
        .await
    }

    async fn add(
        self: Arc<Self>,
        tenant: TenantName,
        upload: Upload,
        by: Actor,
    ) -> Result<AddedArtifact, ControlError> {
        let owner = self.managed_record(&tenant).await?;
        let digest = upload.digest();
        let known = self.artifact(&tenant, digest).await.ok();
        // A file that is damaged is replaced by the same bytes.
        if let Some(artifact) = known
            && self.is_whole(digest).await?
        {
            return Ok(AddedArtifact { artifact, is_new: false });
        }
        let upload = Arc::new(upload);
        let read = upload.clone();
        let loaded = self.deployer.loader.load_bytes(move || read.read()).await;
        let component = loaded.map_err(|fault| ControlError::Refused {
            what: Refused::Artifact,
            faults: vec![Fault { place: Place::Document, ..fault }],
        })?;
        let artifact = described(&component, upload.len_bytes());
        let (folder, synced) = (self.artifacts.clone(), upload.clone());
        in_background(move || synced.sync()).await?.map_err(failed)?;
        let turn = self.file_turn.lock().await;
        in_background(move || folder.keep(&upload, digest)).await?.map_err(failed)?;
        let (record, name) = (ArtifactRecord { artifact, revisions: 0 }, tenant.clone());
        let kept = self.change(&tenant, &by, move |edit| {
            still_there(edit, &name, &owner)?;
            if let Some(known) = find_in::<ArtifactRecord>(edit, Table::Artifacts, &key(&name, digest))? {
                let known = AddedArtifact { artifact: known.artifact, is_new: false };
                return Ok(((known, Vec::new()), None));
            }
            let forgotten = make_room(edit, &name, record.artifact.bytes, owner.spec.quota.artifact_bytes)?;
            edit.put(Table::Artifacts, key(&name, digest), written(&record)?);
            edit.put(Table::ArtifactOwners, format!("{digest}\0{name}"), Vec::new());
            let added = AddedArtifact { artifact: record.artifact, is_new: true };
            Ok(((added, forgotten), Some(AuditEvent::ArtifactAdded { artifact: digest })))
        });
        let kept = kept.await;
        let forgotten = kept.as_ref().map_or_else(|_| vec![digest], |(_, forgotten)| forgotten.clone());
        self.remove_ownerless(forgotten).await;
        drop(turn);
        kept.map(|(added, _)| added)
    }

    /// True if the artifact's file has the artifact's bytes.
    async fn is_whole(&self, digest: Digest) -> Result<bool, ControlError> {
        let folder = self.artifacts.clone();
        in_background(move || folder.read(digest).is_ok()).await
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
            let owners = self.records.read(move |view| view.list(Table::ArtifactOwners, first(&prefix)));
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
    let granted = imports.iter().filter_map(|import| match import.need() {
        Need::Grant(grant) => Some(grant.as_str().to_owned()),
        Need::Nothing | Need::Unknown => None,
    });
    let plugs = Plug::ALL.into_iter().filter(|plug| component.is(*plug));
    Artifact {
        digest: component.digest(),
        bytes,
        uploaded: now(),
        plugs: plugs.map(|plug| plug.as_str().to_owned()).collect(),
        reaches: imports
            .iter()
            .filter(|import| matches!(import.need(), Need::Grant(_)) || import.name.starts_with(CALLS_OUT))
            .map(|import| import.name.clone())
            .collect(),
        imports: imports.iter().map(|import| import.name.clone()).collect(),
        grants: granted.collect(),
    }
}

/// Forgets artifacts that no revision uses until one of `bytes` fits. Returns them.
fn make_room(
    edit: &mut Edit<'_>,
    tenant: &TenantName,
    bytes: u64,
    allowed: u64,
) -> Result<Vec<Digest>, Stop<ControlError>> {
    let records = edit.list(Table::Artifacts, all(&keys_of(tenant)))?;
    let records = records.into_iter().map(|(_, record)| parse(&record));
    let mut records = records.collect::<Result<Vec<ArtifactRecord>, RecordError>>()?;
    let charge = |bytes: u64| bytes.max(LEAST_CHARGE_BYTES);
    let kept = records.iter().map(|record| charge(record.artifact.bytes)).fold(0, u64::saturating_add);
    let (mut needed, mut count) = (kept.saturating_add(charge(bytes)), records.len().saturating_add(1));
    records.retain(|record| record.revisions == 0);
    records.sort_by(|one, other| one.artifact.uploaded.cmp(&other.artifact.uploaded));
    let mut forgotten = Vec::new();
    for ArtifactRecord { artifact, .. } in records {
        if needed <= allowed && count <= MOST_ARTIFACTS {
            break;
        }
        needed = needed.saturating_sub(charge(artifact.bytes));
        count = count.saturating_sub(1);
        forget(edit, tenant, artifact.digest);
        forgotten.push(artifact.digest);
    }
    if needed > allowed {
        return Err(ControlError::Quota { needed, allowed }.into());
    }
    if count > MOST_ARTIFACTS {
        return Err(ControlError::TooMany { what: "artifacts", most: MOST_ARTIFACTS }.into());
    }
    Ok(forgotten)
}

fn forget(edit: &mut Edit<'_>, tenant: &TenantName, digest: Digest) {
    edit.remove(Table::Artifacts, key(tenant, digest));
    edit.remove(Table::ArtifactOwners, format!("{digest}\0{tenant}"));
}

/// Forgets all artifacts of a tenant. Returns them.
pub(super) fn forget_all(edit: &mut Edit<'_>, tenant: &TenantName) -> Result<Vec<Digest>, RecordError> {
    let records = edit.list(Table::Artifacts, all(&keys_of(tenant)))?;
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
pub(super) fn kept_bytes(view: &View<'_>, tenant: &TenantName) -> Result<u64, RecordError> {
    let mut bytes = 0_u64;
    for (_, record) in view.list(Table::Artifacts, all(&keys_of(tenant)))? {
        bytes = bytes.saturating_add(parse::<ArtifactRecord>(&record)?.artifact.bytes);
    }
    Ok(bytes)
}
