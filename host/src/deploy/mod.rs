//! From a document to a live snapshot, and again at every change.
//!
//! A change is read, checked and compiled beside what runs (`load.rs`), each tenant at its own pace; only then is one
//! pointer swapped.
//! What is broken changes nothing: a site file with a fault leaves everything as it is, a component with
//! one leaves its own tenant as it is. Gates, counters, limiters, quotas and secrets belong to tenants and plugins,
//! not to revisions, and stay through a swap.
//!
//! | file | owns |
//! |---|---|
//! | `load.rs` | a site → compiled plugins, or everything that is wrong with it, tenant by tenant |
//! | `turns.rs` | whose turn it is to load |
//! | `deployer.rs` | a reload, and how what was loaded takes the place of what is live |
//! | `settling.rs` | whether an edit of the site file is taken at once, or withheld for a while |
//! | `live.rs` | what is live, and what of a tenant stays over its revisions |
//! | `revision.rs` | a document and its components → a revision |
//! | `document.rs` | the id of a revision |
//! | `secrets.rs` | the values of secrets, and the cells that keep them over revisions |
//! | `outbound.rs` | each plugin's way out, and the client behind all of them |
//! | `files.rs` | what the site's files looked like when they were read |
//! | `watch.rs` | which folders are watched, and the thread that reloads when a file changes |

mod deployer;
mod document;
mod files;
mod live;
mod load;
mod outbound;
mod revision;
mod secrets;
mod settling;
mod turns;
mod watch;

pub use deployer::{Deployer, Parts, StartError};
pub use load::{Loaded, LoadedTenant, Loader, read_component};
pub use outbound::http_client;
pub use secrets::Environment;
pub use turns::LEAST_LOADERS;
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
