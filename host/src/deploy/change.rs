//! A change: one value that says what happened to the live tenants. Log lines and metrics are made from it here, and
//! nowhere else.

use crate::document::Diff;
use crate::observe::{Log, Metrics};
use crate::sandbox::Digest;
use crate::snapshot::HostPattern;
use crate::tenant::{Quota, SecretName, TenantName};

/// An event in the life of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The tenant's requests run on this revision from now on.
    Published {
        /// The tenant.
        tenant: TenantName,
        /// The revision.
        revision: Digest,
        /// The difference to the revision before; for the first revision, all of its content.
        diff: Box<Diff>,
    },
    /// A document of the tenant was refused.
    Refused {
        /// The tenant.
        tenant: TenantName,
        /// The revision that stays live.
        live: Option<Digest>,
        /// The faults as text, as the author of the document gets them.
        reasons: String,
    },
    /// A secret of the tenant has another value.
    SecretChanged {
        /// The tenant.
        tenant: TenantName,
        /// The secret.
        secret: SecretName,
    },
    /// The tenant has another quota.
    QuotaChanged {
        /// The tenant.
        tenant: TenantName,
        /// The quota before.
        from: Quota,
        /// The quota that holds.
        to: Quota,
    },
    /// The tenant has other hosts.
    HostsChanged {
        /// The tenant.
        tenant: TenantName,
        /// The hosts before.
        from: Vec<HostPattern>,
        /// The hosts that hold.
        to: Vec<HostPattern>,
    },
    /// Nothing of the tenant is live any more.
    Removed {
        /// The tenant.
        tenant: TenantName,
    },
    /// The last request on a revision that is no longer live has ended.
    Drained {
        /// The tenant.
        tenant: TenantName,
        /// The revision.
        revision: Digest,
    },
}

impl Change {
    /// True if requests are routed differently after this change.
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

/// The log and the metrics that changes are reported to; clones share them.
#[derive(Clone)]
pub(super) struct Changes {
    pub(super) log: Log,
    pub(super) metrics: Metrics,
}

impl Changes {
    /// Reports a change that has happened.
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
