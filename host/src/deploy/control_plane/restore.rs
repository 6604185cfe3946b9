//! The start of the control plane: every tenant goes on where its records say.
//!
//! A tenant whose revision cannot run any more is told in the log, and does not keep others from starting.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::artifacts::in_background;
use super::audit::AuditEntry;
use super::record::{last, parse};
use super::tenants::TenantRecord;
use super::{ControlError, ControlPlane};
use crate::deploy::artifact_folder::ArtifactFolder;
use crate::deploy::change::Change;
use crate::deploy::deployer::Deployer;
use crate::limits::Ceilings;
use crate::store::{Order, Range, Records, StoreError, Table};
use crate::tenant::TenantName;

/// The reason why the control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The records cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder of artifacts cannot be used.
    #[error("cannot use the folder of artifacts in the state folder: {0}")]
    Folder(#[from] std::io::Error),
    /// The site file and the records claim one thing.
    #[error("{0}")]
    Claimed(String),
}

impl ControlPlane {
    /// The folder of artifacts in a state folder. `most_bytes` is the size of the largest.
    pub fn artifacts_in(state: &Path, most_bytes: u64) -> Result<ArtifactFolder, RestoreError> {
        Ok(ArtifactFolder::open(state, most_bytes)?)
    }

    /// The control plane of a host that serves its site file's tenants already. Returns when all other tenants are
    /// live, or told in the log.
    pub async fn start(
        deployer: Arc<Deployer>,
        records: Records,
        artifacts: ArtifactFolder,
        ceilings: Ceilings,
    ) -> Result<Arc<Self>, RestoreError> {
        let found = records.read(|view| {
            let all = Range { prefix: "", after: None, order: Order::Ascending, limit: usize::MAX };
            let tenants = view.list(Table::Tenants, all)?.into_iter();
            let tenants = tenants.map(|(name, record)| Ok((name, parse::<TenantRecord>(&record)?)));
            let tenants = tenants.collect::<Result<Vec<_>, crate::store::DatabaseError>>()?;
            let latest = view.list(Table::Audit, last(""))?.pop();
            let latest = latest.map(|(_, entry)| parse::<AuditEntry>(&entry)).transpose()?;
            Ok((tenants, latest.map_or(0, |entry| entry.number)))
        });
        let (tenants, latest) = found.await?;
        let plane = Arc::new(Self {
            deployer,
            records,
            artifacts,
            ceilings,
            turns: Default::default(),
            host_turn: Default::default(),
            file_turn: Default::default(),
            latest: watch::Sender::new(latest),
        });
        let mut starting = JoinSet::new();
        for (name, record) in tenants {
            let Ok(name) = TenantName::parse(&name) else { continue };
            if !record.is_leaving {
                plane.claim(&name, &record)?;
                plane.deployer.set_managed(&name, &record.spec);
            }
            let plane = plane.clone();
            starting.spawn(async move {
                let started = match record.is_leaving {
                    true => plane.finish_removal(&name).await,
                    false => plane.catch_up(&name).await,
                };
                if let Err(error) = started {
                    plane.tell_failed(&name, &error);
                }
            });
        }
        starting.join_all().await;
        plane.sweep().await;
        Ok(plane)
    }

    /// Refuses a tenant whose name or host is in the site file.
    fn claim(&self, name: &TenantName, record: &TenantRecord) -> Result<(), RestoreError> {
        if self.deployer.file_managed_tenant(name).is_some() {
            return Err(RestoreError::Claimed(format!(
                "the tenant `{name}` is in the site file, and was made through the admin API: take it out of the \
                 file, or give it another name there"
            )));
        }
        match self.claimed_hosts(name, &record.spec).first() {
            Some(claimed) => Err(RestoreError::Claimed(format!(
                "the tenant `{name}`, which was made through the admin API: {}",
                claimed.headline
            ))),
            None => Ok(()),
        }
    }

    fn tell_failed(&self, name: &TenantName, error: &ControlError) {
        let reasons = match error {
            ControlError::Refused { faults, .. } => {
                faults.iter().map(|fault| format!("{}\n", fault.headline)).collect()
            }
            other => other.to_string(),
        };
        self.deployer.changes.tell(&Change::Refused { tenant: name.clone(), live: None, reasons });
    }

    /// Removes the files of artifacts that nobody has.
    async fn sweep(&self) {
        let _files = self.file_turn.lock().await;
        let folder = self.artifacts.clone();
        // A folder that cannot be listed now is swept at the next start.
        if let Ok(Ok(all)) = in_background(move || folder.all()).await {
            self.remove_ownerless(all).await;
        }
    }
}
