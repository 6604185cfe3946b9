//! Usage and quota of each tenant: owns the table of usage, which changes in the transaction that changes the data,
//! so that after a crash the two still agree.

use std::sync::atomic::{AtomicU64, Ordering};

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, TableError};

use crate::tenant::{Storage, TenantName};

/// Tenant → bytes and keys.
const USAGE: TableDefinition<'static, &str, (u64, u64)> = TableDefinition::new("usage");

/// The usage of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes of keys and values together.
    pub bytes: u64,
    /// Number of keys.
    pub keys: u64,
}

/// A tenant's `storage` quota, which the operator changes in place. Each write is checked against the quota at that
/// instant.
#[derive(Debug)]
pub struct StorageQuota {
    bytes: AtomicU64,
    keys: AtomicU64,
}

impl StorageQuota {
    /// A quota with the initial value `storage`.
    pub fn new(storage: Storage) -> Self {
        Self { bytes: AtomicU64::new(storage.bytes), keys: AtomicU64::new(storage.keys) }
    }

    /// Changes the quota. Stored entries stay, even if they are above the new quota.
    pub fn set(&self, storage: Storage) {
        self.bytes.store(storage.bytes, Ordering::Relaxed);
        self.keys.store(storage.keys, Ordering::Relaxed);
    }

    /// The quota at this instant.
    pub fn get(&self) -> Storage {
        Storage { bytes: self.bytes.load(Ordering::Relaxed), keys: self.keys.load(Ordering::Relaxed) }
    }
}

impl Default for StorageQuota {
    fn default() -> Self {
        Self::new(Storage::default())
    }
}

/// The usage of `tenant`, as `transaction` sees it.
pub(super) fn usage(transaction: &ReadTransaction, tenant: &TenantName) -> Result<Usage, redb::Error> {
    let table = match transaction.open_table(USAGE) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Usage::default()),
        Err(error) => return Err(error.into()),
    };
    Ok(from_row(table.get(tenant.as_str())?.map(|row| row.value())))
}

/// One tenant's row of the table, open for a change.
pub(super) struct UsageRow<'txn> {
    table: Table<'txn, &'static str, (u64, u64)>,
}

impl<'txn> UsageRow<'txn> {
    pub(super) fn open(transaction: &'txn redb::WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self { table: transaction.open_table(USAGE)? })
    }

    pub(super) fn get(&self, tenant: &TenantName) -> Result<Usage, redb::Error> {
        Ok(from_row(self.table.get(tenant.as_str())?.map(|row| row.value())))
    }

    pub(super) fn set(&mut self, tenant: &TenantName, usage: Usage) -> Result<(), redb::Error> {
        if usage == Usage::default() {
            self.table.remove(tenant.as_str())?;
        } else {
            self.table.insert(tenant.as_str(), (usage.bytes, usage.keys))?;
        }
        Ok(())
    }
}

fn from_row(row: Option<(u64, u64)>) -> Usage {
    row.map_or(Usage::default(), |(bytes, keys)| Usage { bytes, keys })
}
