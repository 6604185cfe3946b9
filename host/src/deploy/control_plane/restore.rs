//! The start of the control plane: every tenant goes on where its records say.
//!
//! A tenant whose revision cannot run any more is told in the log, and does not keep others from starting.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::artifacts::in_background;
use super::audit::AuditEntry;
use super::record::{all, last, parse};
use super::tenant_record::TenantRecord;
use super::{ControlError, ControlPlane};
use crate::deploy::artifact_folder::ArtifactFolder;
use crate::deploy::change::Change;
use crate::deploy::deployer::Deployer;
use crate::limits::Ceilings;
use crate::store::{RecordError, Records, StoreError, Table};
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
            let tenants = view.list(Table::Tenants, all(""))?.into_iter();
            let tenants = tenants.map(|(name, record)| Ok((name, parse::<TenantRecord>(&record)?)));
            let tenants = tenants.collect::<Result<Vec<_>, RecordError>>()?;
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
            file_turn: Default::default(),
            latest: watch::Sender::new(latest),
        });
        let mut starting = JoinSet::new();
        for (name, record) in tenants {
            let Ok(name) = TenantName::parse(&name) else { continue };
            plane.claim(&name, &record)?;
            let plane = plane.clone();
            starting.spawn(async move {
                let started = match record.is_leaving {
                    true => plane.finish_removal(&name).await,
                    false => plane.catch_up(&name).await,
                };
                if let Err(error) = started {
                    plane.tell_failed(&name, &record, &error);
                }
            });
        }
        starting.join_all().await;
        plane.sweep().await;
        Ok(plane)
    }

    /// Takes the tenant's name and hosts. A site file that has one of them is a refusal.
    fn claim(&self, name: &TenantName, record: &TenantRecord) -> Result<(), RestoreError> {
        let hosts = if record.is_leaving { &[][..] } else { &record.spec.hosts };
        let reserved = self.deployer.reserve(name, hosts).map_err(|claimed| {
            RestoreError::Claimed(format!("the tenant `{name}` was made through the admin API: {claimed}"))
        })?;
        if record.is_leaving {
            drop(reserved);
            self.deployer.set_leaving(name);
        } else {
            self.deployer.set_managed(name, &record.spec);
        }
        Ok(())
    }

    fn tell_failed(&self, name: &TenantName, record: &TenantRecord, error: &ControlError) {
        if record.is_leaving {
            let entry =
                self.deployer.parts.log.error("the removal of a tenant was not finished: remove it again");
            entry.field("tenant", name).display("error", error).send();
            return;
        }
        let reasons = match error {
            ControlError::Refused { faults, .. } => faults
                .iter()
                .map(|fault| match &*fault.label {
                    "" => format!("{}\n", fault.headline),
                    label => format!("{}: {label}\n", fault.headline),
                })
                .collect(),
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
