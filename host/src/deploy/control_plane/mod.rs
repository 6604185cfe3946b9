//! The control plane: tenants that are made and changed while the host serves, by callers that name themselves.
//!
//! Owns the records of API-managed tenants (their specs, secrets, artifacts, revisions and rollouts) and the audit log.
//! A change is checked, then loaded, then put on disk, then live, and only then answered. So after a crash a change is
//! there whole, or it was not answered. A tenant's changes take turns. Each runs in a task of its own: a caller that
//! leaves does not stop it half way.
//!
//! | file | owns |
//! |---|---|
//! | `tenants.rs` | the tenants: their specs, their making and their removal |
//! | `secrets.rs` | the values that tenants set |
//! | `artifacts.rs` | the artifacts of tenants |
//! | `revisions.rs` | the revisions of tenants, held or ready |
//! | `rollouts.rs` | the revision that is live, and those that were |
//! | `turns.rs` | the turns of each tenant's changes and uploads |
//! | `allowance.rs` | the check of a document against what its operator allows |
//! | `audit.rs` | the log of everything that was changed |
//! | `tenant_record.rs`, `revision_records.rs`, `rollout.rs` | the records of each, and what they promise together |
//! | `record.rs` | the keys of records, and their JSON |
//! | `error.rs` | the reasons why a change is not made |

mod allowance;
mod artifacts;
mod audit;
mod error;
mod record;
mod restore;
mod revision_records;
mod revisions;
mod rollout;
mod rollouts;
mod secrets;
mod tenant_record;
mod tenants;
mod turns;

use std::sync::Arc;

use tokio::sync::watch;

use super::artifact_folder::ArtifactFolder;
use super::deployer::Deployer;
use crate::limits::Ceilings;
use crate::store::Records;
use crate::tenant::TenantName;
use turns::{Turn, TurnOf, Turns};

pub use artifacts::{AddedArtifact, Artifact};
pub use audit::{Actor, AuditEntry, AuditEvent, append as append_to_audit};
pub use error::{ControlError, Refused};
pub use record::{Page, PageRequest, now};
pub use restore::RestoreError;
pub use revision_records::{Revision, RevisionDetail, RevisionState};
pub use revisions::{AddedRevision, DryRun, RevisionDiff};
pub use rollout::Rollout;
pub use rollouts::RolloutRequest;
pub use secrets::SecretInfo;
pub use tenants::{PutTenant, StorageStatus, TenantStatus};

/// The control plane of one host.
pub struct ControlPlane {
    deployer: Arc<Deployer>,
    records: Records,
    artifacts: ArtifactFolder,
    /// The ceilings of the host.
    ceilings: Ceilings,
    turns: Turns,
    /// The turn of changes of which artifact has an owner, so that no file is removed while it gets another one.
    file_turn: tokio::sync::Mutex<()>,
    /// The number of the latest entry of the audit log.
    latest: watch::Sender<u64>,
}

impl ControlPlane {
    /// The records, which other owners of records share.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The artifacts' files.
    pub fn artifact_folder(&self) -> &ArtifactFolder {
        &self.artifacts
    }

    /// The deployer behind it.
    pub fn deployer(&self) -> &Arc<Deployer> {
        &self.deployer
    }

    /// A tenant's turn.
    async fn turn(&self, tenant: &TenantName, of: TurnOf) -> Result<Turn, ControlError> {
        self.turns.of(tenant, of).await.ok_or(ControlError::Busy)
    }

    /// Runs a change to its end, also if the caller stops waiting.
    async fn whole<T: Send + 'static>(
        change: impl Future<Output = Result<T, ControlError>> + Send + 'static,
    ) -> Result<T, ControlError> {
        let ended = tokio::spawn(change).await;
        ended.unwrap_or_else(|error| Err(ControlError::Host(format!("the change did not end: {error}"))))
    }
}
