//! A rollout, as it is kept and shown.

use serde::{Deserialize, Serialize};

use super::audit::Actor;
use super::record::{keys_of, last, parse};
use crate::sandbox::Digest;
use crate::store::{RecordError, Table, View};
use crate::tenant::TenantName;

/// A rollout: the revision that is live from a moment on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The number, from 1 on.
    pub number: u64,
    /// The revision that is live.
    pub live: Digest,
    /// The revision that was live before.
    pub previous: Option<Digest>,
    /// Who made it.
    pub by: Actor,
    /// The time (RFC 3339).
    pub at: String,
    /// The reason that was given.
    #[serde(default)]
    pub why: Option<String>,
}

/// The rollout of a tenant.
pub(super) fn rollout_in(view: &View<'_>, tenant: &TenantName) -> Result<Option<Rollout>, RecordError> {
    let latest = view.list(Table::Rollouts, last(&keys_of(tenant)))?.pop();
    latest.map(|(_, record)| parse(&record)).transpose()
}
