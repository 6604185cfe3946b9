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
    let mut usage = UsageRow::open(transaction)?;
    let is_last = keys.len() < ENTRIES_AT_ONCE;
    let is_unchanged = keys.is_empty() && usage.get(tenant)? == Usage::default();
    if is_last {
        usage.set(tenant, Usage::default())?;
    }
    Ok((if is_unchanged { Effect::Unchanged } else { Effect::Changed }, keys.len()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::Space;
    use crate::store::memory_disk::MemoryDisk;
    use crate::tenant::PluginName;

    #[tokio::test]
    async fn a_tenant_that_is_removed_leaves_no_entry_and_takes_none_of_anothers() {
        let disk = MemoryDisk::default();
        let store = Store::with_backend(move || disk.backend()).unwrap();
        let named = |name: &str| TenantName::parse(name).unwrap();
        let plugin = || Space::Plugin(PluginName::parse("p").unwrap());
        for keys in [0, 1, 999, 1000, 2000, 2701] {
            for name in ["shop", "shop-2"] {
                let entries = store.entries(&named(name), &plugin(), Arc::default());
                for from in (0..keys).step_by(900) {
                    let pairs = (from..keys.min(from + 900)).map(|key| (format!("{key:04}"), b"v".to_vec()));
                    entries.set_many(pairs.collect()).await.unwrap();
                }
                let shared = store.entries(&named(name), &Space::Shared, Arc::default());
                shared.set("s", b"v".to_vec()).await.unwrap();
                assert!(shared.get("s").await.unwrap().is_some());
            }
            store.remove_tenant(&named("shop")).await.unwrap();
            assert_eq!(store.usage(&named("shop")).await.unwrap(), Usage::default(), "{keys}");
            for space in [plugin(), Space::Shared] {
                let left = store.entries(&named("shop"), &space, Arc::default());
                assert_eq!(left.list_after(None).await.unwrap().keys, [""; 0], "{keys}");
                assert_eq!(left.get("s").await.unwrap(), None);
            }
            assert_eq!(store.usage(&named("shop-2")).await.unwrap().keys, keys + 1);
            store.remove_tenant(&named("shop-2")).await.unwrap();
        }
    }
}
