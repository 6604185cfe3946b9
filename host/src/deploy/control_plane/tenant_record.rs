//! The record of an API-managed tenant.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::ControlError;
use super::record::find_in;
use crate::document::TenantSpec;
use crate::store::{Edit, Stop, Table};
use crate::tenant::TenantName;

/// The record of a tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TenantRecord {
    #[serde(flatten)]
    pub(super) spec: TenantSpec,
    /// The time at which the tenant was made, in nanoseconds: an earlier tenant of the same name was another one.
    pub(super) made: i64,
    /// The tenant was removed, and its data may still be there.
    #[serde(default)]
    pub(super) is_leaving: bool,
}

/// Refuses if the tenant is not the one of this record any more.
pub(super) fn still_there(
    edit: &Edit<'_>,
    name: &TenantName,
    tenant: &TenantRecord,
) -> Result<(), Stop<ControlError>> {
    let record = find_in::<TenantRecord>(edit, Table::Tenants, name.as_str())?;
    match record.filter(|record| record.made == tenant.made && !record.is_leaving) {
        Some(_) => Ok(()),
        None => Err(ControlError::not_found("tenant", name).into()),
    }
}

/// The present time as the mark of a tenant that is made.
pub(super) fn made_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
