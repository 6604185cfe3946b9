//! The removal of all that a tenant keeps, in every space: owns the steps, each a transaction of its own, so that the
//! writes of other tenants go on between them.

use redb::{ReadableTable as _, WriteTransaction};

use super::keyvalue::ENTRIES;
use super::quota::{Usage, UsageRow};
use super::recent::Recent;
use super::{Effect, Store, StoreError};
use crate::tenant::TenantName;

/// The most entries of one step.
const ENTRIES_AT_ONCE: usize = 1000;

/// The cost of a step when the writer shares out its time.
const STEP_COST_BYTES: usize = 1 << 20;

impl Store {
    /// Removes all entries of a tenant, of all its plugins. A crash may leave some of them; then it is called again.
    pub async fn remove_tenant(&self, tenant: &TenantName) -> Result<(), StoreError> {
        loop {
            let (owner, recent) = (tenant.clone(), self.recent().clone());
            let step = move |transaction: &WriteTransaction| remove_some(transaction, &recent, &owner);
            if self.write(tenant, STEP_COST_BYTES, step).await? < ENTRIES_AT_ONCE {
                return Ok(());
            }
        }
    }
}

/// Removes the first entries of a tenant. Returns their number.
fn remove_some(
    transaction: &WriteTransaction,
    recent: &Recent,
    tenant: &TenantName,
) -> Result<(Effect, usize), redb::Error> {
    let prefix = [tenant.as_str().as_bytes(), &[0]].concat();
    let mut table = transaction.open_table(ENTRIES)?;
    let mut keys = Vec::new();
    for entry in table.range::<&[u8]>(&*prefix..)?.take(ENTRIES_AT_ONCE) {
        let key = entry?.0.value().to_vec();
        if !key.starts_with(&prefix) {
            break;
        }
        keys.push(key);
    }
    for key in &keys {
        table.remove(key.as_slice())?;
        recent.change(tenant, key);
    }
    if keys.len() < ENTRIES_AT_ONCE {
        UsageRow::open(transaction)?.set(tenant, Usage::default())?;
    }
    Ok((if keys.is_empty() { Effect::Unchanged } else { Effect::Changed }, keys.len()))
}
