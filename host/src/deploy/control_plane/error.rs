//! The reasons why the control plane does not make a change, or cannot answer.

use std::sync::Arc;

use crate::deploy::refusal::Fault;
use crate::sandbox::Digest;
use crate::store::{RecordError, Stop, StoreError};
use crate::tenant::TenantName;

/// The reason why a change was not made, or a question not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ControlError {
    /// There is no such thing.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// The kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The tenant is changed by its site file alone.
    #[error("the tenant `{0}` is in the site file: change it there")]
    FileManaged(TenantName),
    /// The live revision uses the thing.
    #[error("{0}")]
    InUse(String),
    /// The revision waits for the operator's approval.
    #[error("the revision {0} has grants that the live one has not: the operator must approve it first")]
    Held(Digest),
    /// Another rollout came first.
    #[error("the rollout is number {number} by now: read it again, and decide again")]
    RolloutChanged {
        /// The number of the present rollout.
        number: u64,
    },
    /// What was given cannot run here, or is not allowed.
    #[error("the reasons are {}", faults.len())]
    Refused {
        /// The kind of what was given.
        what: Refused,
        /// All reasons.
        faults: Vec<Fault>,
    },
    /// The tenant would keep more bytes of artifacts than its quota allows.
    #[error(
        "the quota `artifacts` is used up: {needed} bytes would be kept, and {allowed} are allowed; \
         let the operator raise it"
    )]
    Quota {
        /// The bytes that would be kept.
        needed: u64,
        /// The quota.
        allowed: u64,
    },
    /// There are too many of a kind.
    #[error("there are {most} {what} already, which is the most: remove one first")]
    TooMany {
        /// The kind.
        what: &'static str,
        /// The most.
        most: usize,
    },
    /// Too many changes of the tenant wait already.
    #[error("too many changes of this tenant wait already: try again when some are made")]
    Busy,
    /// The store failed. It is unknown whether a change that met the failure is kept; if it is, it goes live before the
    /// tenant's next change.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of an artifact cannot be written.
    #[error("cannot keep the artifact: {0}")]
    Folder(Arc<std::io::Error>),
    /// The host itself failed.
    #[error("{0}")]
    Host(String),
}

/// The kind of a thing that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A tenant document.
    Document,
    /// An artifact.
    Artifact,
    /// The operator's part of a tenant.
    Tenant,
    /// The value of a secret.
    Secret,
}

impl ControlError {
    pub(super) fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound { what, name: name.to_string() }
    }

    /// Refuses if there are faults.
    pub(super) fn refuse_if_any(what: Refused, faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() { Ok(()) } else { Err(Self::Refused { what, faults }) }
    }
}

impl From<ControlError> for Stop<ControlError> {
    fn from(error: ControlError) -> Self {
        Self::Refused(error)
    }
}

/// The error of a record that this program did not write.
pub(super) fn unreadable(error: &serde_json::Error) -> RecordError {
    RecordError::Unreadable(error.to_string())
}
