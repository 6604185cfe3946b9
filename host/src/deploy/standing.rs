//! The standing of a tenant: who changes it, and what of it runs.

use serde::Serialize;

use crate::document::TenantSpec;
use crate::sandbox::Digest;
use crate::tenant::{PluginName, TenantName};

/// Who changes a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ManagedBy {
    /// The site file alone.
    File,
    /// The admin API alone.
    Api,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Tenant {
    /// The name.
    pub name: TenantName,
    /// Who changes it.
    pub managed_by: ManagedBy,
    /// The live revision.
    pub live: Option<Digest>,
    /// The operator's part.
    #[serde(flatten)]
    pub spec: TenantSpec,
}

/// A plugin of a live revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PluginStatus {
    /// The name.
    pub name: PluginName,
    /// Its artifact.
    pub component: String,
}

/// What runs of a tenant.
#[derive(Debug, Default)]
pub(super) struct Running {
    pub(super) live: Option<Digest>,
    /// The revisions that are not live any more and still have requests.
    pub(super) draining: usize,
    pub(super) plugins: Vec<PluginStatus>,
}
