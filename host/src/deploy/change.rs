//! A change: one value for what happened to what is live. Log lines and metrics are made from it here, and nowhere else.

use crate::document::Diff;
use crate::observe::{Log, Metrics};
use crate::sandbox::Digest;
use crate::snapshot::HostPattern;
use crate::tenant::{Quota, SecretName, TenantName};

/// What happened to a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Its requests run on this revision from now on.
    Published {
        /// The tenant.
        tenant: TenantName,
        /// The revision.
        revision: Digest,
        /// What is different from the one before; of the first, all that it has.
        diff: Box<Diff>,
    },
    /// A document of it was refused.
    Refused {
        /// The tenant.
        tenant: TenantName,
        /// The revision that stays live.
        live: Option<Digest>,
        /// All that is wrong, as whoever wrote the document is told.
        reasons: String,
    },
    /// A secret of it has another value.
    SecretChanged {
        /// The tenant.
        tenant: TenantName,
        /// The secret.
        secret: SecretName,
    },
    /// It has another quota.
    QuotaChanged {
        /// The tenant.
        tenant: TenantName,
        /// The quota before.
        from: Quota,
        /// The quota that holds.
        to: Quota,
    },
    /// It has other hosts.
    HostsChanged {
        /// The tenant.
        tenant: TenantName,
        /// The hosts before.
        from: Vec<HostPattern>,
        /// The hosts that it has.
        to: Vec<HostPattern>,
    },
    /// Nothing of it is live any more.
    Removed {
        /// The tenant.
        tenant: TenantName,
    },
    /// The last request on a revision that is not live any more has ended.
    Drained {
        /// The tenant.
        tenant: TenantName,
        /// The revision.
        revision: Digest,
    },
}

impl Change {
    /// Whether requests go elsewhere by it.
    pub(super) fn reroutes(&self) -> bool {
        match self {
            Self::Published { .. } | Self::HostsChanged { .. } | Self::Removed { .. } => true,
            Self::Refused { .. }
            | Self::SecretChanged { .. }
            | Self::QuotaChanged { .. }
            | Self::Drained { .. } => false,
        }
    }
}

/// Where changes are told; clones tell them to the same.
#[derive(Clone)]
pub(super) struct Changes {
    pub(super) log: Log,
    pub(super) metrics: Metrics,
}

impl Changes {
    /// Tells of a change that has happened.
    pub(super) fn tell(&self, change: &Change) {
        let info = |message, tenant: &TenantName| self.log.info(message).field("tenant", tenant);
        match change {
            Change::Published { tenant, revision, .. } => {
                self.metrics.tenant(tenant).set_live_revision(revision.to_string());
                info("revision live", tenant).display("revision", revision).send();
            }
            Change::Refused { tenant, live, reasons } => {
                let what_stays = match live {
                    Some(_) => "a change was refused; what was live stays live",
                    None => "a tenant was refused; nothing of it is live",
                };
                let entry = self.log.error(what_stays).field("tenant", tenant);
                let entry = entry.field("live", live.map(|revision| revision.to_string()));
                entry.block("diagnostics", reasons).send();
            }
            Change::SecretChanged { tenant, secret } => {
                info("secret changed", tenant).field("secret", secret.as_str()).send();
            }
            Change::QuotaChanged { tenant, .. } => info("quota changed", tenant).send(),
            Change::HostsChanged { tenant, .. } => info("hosts changed", tenant).send(),
            Change::Removed { tenant } => info("tenant removed", tenant).send(),
            Change::Drained { tenant, revision } => {
                info("revision drained", tenant).display("revision", revision).send();
            }
        }
    }
}
