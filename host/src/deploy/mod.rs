//! From a document to a live snapshot, and again at every change.
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
//! [`Deployer::publish`] takes a tenant's document and answers when its revision is live, or with all that is wrong.
//! What it names is read, checked and compiled beside what runs, each tenant at its own pace; only then is one pointer
//! swapped. Hosts, quotas and the places of secrets are the operator's ([`Deployer::set_tenants`]) and hold at once.
//! What is broken changes nothing: a site file with a fault leaves everything as it is, a component with one leaves its
//! own tenant as it is. Gates, counters, limiters, quotas and secrets belong to tenants and plugins, not to revisions,
//! and stay through a swap.
//!
//! | file | owns |
//! |---|---|
//! | `publish.rs` | a document → a revision that is live, and the answer to whoever wanted it |
//! | `publications.rs` | one tenant's documents, of which the latest wins |
//! | `load.rs` | a document → compiled plugins, or everything that is wrong with it; whose turn it is |
//! | `fit.rs` | whether a component suits the plugin and the routes that name it |
//! | `refusal.rs` | a fault at its place in a document, and in the site file |
//! | `deployer.rs` | the tenants that there are, and the swap |
//! | `change.rs` | what happened, as a value; log lines and metrics are made of it |
//! | `live.rs` | what is live, and what of a tenant stays over its revisions |
//! | `revision.rs` | a document and its components → a revision |
//! | `secrets.rs` | the values of secrets, and the cells that keep them over revisions |
//! | `outbound.rs` | each plugin's way out, and the client behind all of them |
//! | `follow.rs` | the site's files → what is published |
//! | `settling.rs` | whether an edit of the site file is taken at once, or withheld for a while |
//! | `files.rs` | what the site's files looked like when they were read |
//! | `watch.rs` | which folders are watched, and the thread that looks when a file changes |

mod change;
mod deployer;
mod files;
mod fit;
mod follow;
mod live;
mod load;
mod outbound;
mod publications;
mod publish;
mod refusal;
mod revision;
mod secrets;
mod settling;
mod watch;

pub use change::Change;
pub use deployer::{Deployer, Parts, StartError};
pub use follow::Follower;
pub use load::{LEAST_LOADERS, Loader, read_component};
pub use outbound::http_client;
pub use publications::Published;
pub use refusal::{Fault, Refusal, diagnostics};
pub use secrets::Environment;
pub use watch::{WatchError, Watcher};

use std::path::PathBuf;

use crate::config::{Diagnostics, Site};

/// Where a site comes from.
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
