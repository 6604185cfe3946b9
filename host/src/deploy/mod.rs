//! Deployment: a document becomes a live snapshot, at start and again at every change.
//!
//! ```text
//! a file changes ─▶ watch ─▶ follow: read it, settling? ─▶ a document for each tenant
//!                                                                     │
//!             Published or Refusal ◀─────────────────────── Deployer::publish ◀─ whoever else has a document
//!                                                                     │
//!                        load: a component a turn, fit? ◀─ publications: the latest
//!                          │
//!                          └─▶ revision ─▶ settle: swap the Snapshot ─▶ Change ─▶ log lines, metrics
//! ```
//!
//! [`Deployer::publish`] takes a tenant's document and answers when its revision is live, or with all faults. The
//! components and secrets that the document names are read, checked and compiled while the live revision serves, each
//! tenant at its own pace; only then is one pointer swapped. Hosts, quotas and the places of secrets are the operator's
//! ([`Deployer::set_tenants`]) and hold at once. A fault changes nothing: a site file with a fault leaves everything as
//! it is, a component with a fault leaves its own tenant as it is. Gates, counters, limiters, quotas and secrets belong
//! to tenants and plugins, not to revisions, and stay through a swap.
//!
//! | file | owns |
//! |---|---|
//! | `publish.rs` | a document → a live revision, and the answer to the caller |
//! | `publications.rs` | one tenant's documents, of which the latest wins |
//! | `load.rs` | a document → compiled plugins, or its faults; the turns of tenants |
//! | `fit.rs` | the check whether a component suits the plugin and the routes that name it |
//! | `refusal.rs` | a fault at its place in a document and in the site file; the refusal of a document |
//! | `deployer.rs` | the tenants of the host, and the swap |
//! | `artifact_folder.rs` | the files of artifacts |
//! | `standing.rs` | who changes a tenant, and what of it runs |
//! | `control_plane/` | tenants that are changed through the admin API, and the audit log |
//! | `managed.rs` | their side of the deployer: a loaded document goes live at once |
//! | `change.rs` | a change as a value, from which log lines and metrics are made |
//! | `live.rs` | the live tenants, and the state of each that stays over its revisions |
//! | `revision.rs` | a document and its components → a revision |
//! | `secrets.rs` | the values of secrets, and the cells that keep them over revisions |
//! | `outbound.rs` | each plugin's outbound client, and the client behind all of them |
//! | `follow.rs` | the site's files → publications |
//! | `settling.rs` | the decision to take an edit of the site file at once, or to withhold it for a while |
//! | `files.rs` | the stamps of the site's files when they were read |
//! | `watch.rs` | the watched folders, and the thread that reloads when a file changes |

mod artifact_folder;
mod change;
mod control_plane;
mod deployer;
mod files;
mod fit;
mod follow;
mod live;
mod load;
mod managed;
mod outbound;
mod publications;
mod publish;
mod refusal;
mod revision;
mod secrets;
mod settling;
mod standing;
mod watch;

pub use artifact_folder::{ArtifactFolder, Upload, UploadError};
pub use change::Change;
pub use control_plane::{
    Actor, AddedArtifact, AddedRevision, Artifact, AuditEntry, AuditEvent, ControlError, ControlPlane,
    DryRun, Page, PageRequest, PutTenant, Refused, RestoreError, Revision, RevisionDetail, RevisionDiff,
    RevisionState, Rollout, RolloutRequest, SecretInfo, StorageStatus, TenantStatus, append_to_audit, now,
};
pub use deployer::{Deployer, Parts, StartError};
pub use follow::Follower;
pub use load::{LEAST_LOADERS, Loader, read_component};
pub use outbound::http_client;
pub use publications::Published;
pub use refusal::{Fault, Refusal, diagnostics};
pub use secrets::Environment;
pub use standing::{ManagedBy, PluginStatus, Tenant};
pub use watch::{WatchError, Watcher};

use std::path::PathBuf;

use crate::config::{Diagnostics, Site};

/// The origin of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A site file.
    SiteFile(PathBuf),
    /// One component, served at every path of every host.
    Component(PathBuf),
}

impl Origin {
    /// Reads the site.
    pub fn read(&self) -> Result<Site, Diagnostics> {
        match self {
            Self::SiteFile(path) => Site::load(path),
            Self::Component(path) => Ok(Site::for_component(path)),
        }
    }
}
