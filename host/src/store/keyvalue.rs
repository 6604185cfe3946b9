//! Key-value entries, separate for each tenant and plugin: owns the table of entries, its limits, and the meaning of
//! each operation. Leaves to `capability` which plugin may open which space.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError};

use super::quota::{self, StorageQuota, Usage, UsageRow};
use super::recent::{Content, Recent};
use super::{Effect, Store, StoreError};
use crate::tenant::{PluginName, TenantName};

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1 << 10;
/// The longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;
/// The most keys in one operation.
pub const MAX_BATCH_ENTRIES: usize = 1000;
/// The most bytes, of keys and values together, that one operation may bring or take.
pub const MAX_BATCH_BYTES: usize = 8 << 20;
/// The most keys on one page of a list.
pub const MAX_PAGE_KEYS: usize = 1000;

/// The cost of an entry beside its bytes, when the writer shares out its time.
const ENTRY_COST_BYTES: usize = 1 << 10;

/// Tenant, NUL, plugin (empty for the shared space), NUL, key → value. Names contain no NUL, so no space is inside
/// another, and the keys of one space are adjacent in byte order.
pub(super) const ENTRIES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("keyvalue");

/// The owner of a set of entries inside a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Space {
    /// One plugin's own entries.
    Plugin(PluginName),
    /// The entries that all plugins of the tenant share.
    Shared,
}

/// The error of an operation on entries. Nothing was changed, except as [`StoreError::Unavailable`] says.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EntryError {
    /// The key is empty.
    #[error("the key is empty: give it 1 to {MAX_KEY_BYTES} bytes")]
    EmptyKey,
    /// The key is too long.
    #[error("key too long: it has {bytes} bytes, and {MAX_KEY_BYTES} are allowed")]
    KeyTooLong {
        /// The key's length.
        bytes: usize,
    },
    /// The value is too long.
    #[error("value too long: it has {bytes} bytes, and {MAX_VALUE_BYTES} are allowed")]
    ValueTooLong {
        /// The value's length.
        bytes: usize,
    },
    /// Too many keys in one operation.
    #[error("too many keys at once: {entries}, and {MAX_BATCH_ENTRIES} are allowed; use several calls")]
    TooManyEntries {
        /// The number of keys.
        entries: usize,
    },
    /// Too many bytes in one operation, given or asked for.
    #[error(
        "too much at once: {bytes} bytes of keys and values, and {MAX_BATCH_BYTES} are allowed; \
         use several calls"
    )]
    BatchTooLarge {
        /// The bytes that were counted before the operation was given up.
        bytes: usize,
    },
    /// The tenant would keep more bytes than its quota `storage` allows.
    #[error(
        "storage quota used up: {needed} bytes would be kept, and {allowed} are allowed; \
         delete something first"
    )]
    QuotaBytes {
        /// Bytes that the tenant would keep.
        needed: u64,
        /// The quota.
        allowed: u64,
    },
    /// The tenant would keep more keys than its quota `storage` allows.
    #[error(
        "storage quota used up: {needed} keys would be kept, and {allowed} are allowed; \
         delete something first"
    )]
    QuotaKeys {
        /// Keys that the tenant would keep.
        needed: u64,
        /// The quota.
        allowed: u64,
    },
    /// The present value is not a decimal number in the range of the operation.
    #[error("cannot increment: the value is not a decimal number from {min} to {max}")]
    NotANumber {
        /// The least number that is accepted.
        min: i128,
        /// The greatest number that is accepted.
        max: i128,
    },
    /// The sum is out of range.
    #[error("cannot increment: the sum {sum} is not from {min} to {max}")]
    Overflow {
        /// The sum.
        sum: i128,
        /// The least sum that is allowed.
        min: i128,
        /// The greatest sum that is allowed.
        max: i128,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of a compare-and-swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swap {
    /// The value was as expected, and is replaced.
    Done,
    /// The value was another one: this one.
    Changed(Option<Vec<u8>>),
}

/// One page of keys, in byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<C> {
    /// The keys, at most [`MAX_PAGE_KEYS`].
    pub keys: Vec<String>,
    /// The cursor of the next page; none on the last page.
    pub next: Option<C>,
}

/// The entries of one space of one tenant. Every change is one transaction: all of it or nothing.
#[derive(Debug, Clone)]
pub struct Entries {
    store: Store,
    tenant: TenantName,
    prefix: Arc<[u8]>,
    quota: Arc<StorageQuota>,
}

/// The changes of one write: for each key the value that it shall have, none to remove the key.
type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

type ReadTable = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;
type Guard<'a> = redb::AccessGuard<'a, &'static [u8]>;
type Entry<'a> = Result<(Guard<'a>, Guard<'a>), redb::StorageError>;

/// The values that one operation takes.
#[derive(Default)]
struct Batch {
    values: Vec<Option<Vec<u8>>>,
    bytes: usize,
}

/// The range of numbers of an increment, both ends included.
#[derive(Clone, Copy)]
struct NumberRange {
    min: i128,
    max: i128,
}

impl Entries {
    pub(super) fn new(store: Store, tenant: &TenantName, space: &Space, quota: Arc<StorageQuota>) -> Self {
        Self { store, tenant: tenant.clone(), prefix: prefix(tenant, space).into(), quota }
    }

    /// The value under `key`.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, EntryError> {
        let key = self.full_key(key)?;
        if let Some(value) = self.store.recent().find(&key).and_then(Content::into_value) {
            return Ok(value.map(|value| value.to_vec()));
        }
        let (moment, key) = (self.store.recent().moment(), Arc::<[u8]>::from(key));
        let wanted = Arc::clone(&key);
        let value =
            self.read(move |table| Ok(find(table, &wanted)?.map(|value| value.value().to_vec()))).await?;
        self.store.recent().keep(moment, &self.tenant, key, Content::of(value.as_deref()));
        Ok(value)
    }

    /// True if `key` has a value.
    pub async fn exists(&self, key: &str) -> Result<bool, EntryError> {
        let key = self.full_key(key)?;
        if let Some(content) = self.store.recent().find(&key) {
            return Ok(content.exists());
        }
        let (moment, key) = (self.store.recent().moment(), Arc::<[u8]>::from(key));
        let wanted = Arc::clone(&key);
        let content = self.read(move |table| {
            let value = find(table, &wanted)?;
            Ok(Content::of(value.as_ref().map(|value| value.value())))
        });
        let content = content.await?;
        let exists = content.exists();
        self.store.recent().keep(moment, &self.tenant, key, content);
        Ok(exists)
    }

    /// The values of `keys`, in their order.
    pub async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, EntryError> {
        check_entries(keys.len())?;
        let keys = keys.iter().map(|key| Ok(self.full_key(key)?.into()));
        let keys = keys.collect::<Result<Arc<[Arc<[u8]>]>, EntryError>>()?;
        if let Some(kept) = self.store.recent().find_values(keys.iter()) {
            let mut batch = Batch::default();
            kept.iter().try_for_each(|value| batch.push(value.as_deref()))?;
            return Ok(batch.values);
        }
        let (moment, wanted) = (self.store.recent().moment(), Arc::clone(&keys));
        let values = self.read(move |table| {
            let mut batch = Batch::default();
            for key in &*wanted {
                let value = find(table, key)?;
                if let Err(error) = batch.push(value.as_ref().map(|value| value.value())) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(batch.values))
        });
        let values = values.await??;
        for (key, value) in keys.iter().zip(&values) {
            self.store.recent().keep(moment, &self.tenant, Arc::clone(key), Content::of(value.as_deref()));
        }
        Ok(values)
    }

    /// The keys after the key `after`, which need not exist, or from the first.
    pub async fn list_after(&self, after: Option<&str>) -> Result<Page<String>, EntryError> {
        let after = match after {
            Some(key) if key.len() > MAX_KEY_BYTES => {
                return Err(EntryError::KeyTooLong { bytes: key.len() });
            }
            after => after.unwrap_or_default(),
        };
        let prefix = Arc::clone(&self.prefix);
        let from = [&*prefix, after.as_bytes()].concat();
        let mut keys = self
            .read(move |table| {
                let Some(table) = table else { return Ok(Vec::new()) };
                keys_of(
                    &prefix,
                    table.range::<&[u8]>(from.as_slice()..)?.filter(|entry| !is_at(entry, &from)),
                )
            })
            .await?;
        let more = keys.len() > MAX_PAGE_KEYS;
        keys.truncate(MAX_PAGE_KEYS);
        let next = if more { keys.last().cloned() } else { None };
        Ok(Page { keys, next })
    }

    /// A page of the keys after the first `skip` ones. The time that this takes grows with `skip`.
    pub async fn list_from(&self, skip: u64) -> Result<Page<u64>, EntryError> {
        let prefix = Arc::clone(&self.prefix);
        let tenant = self.tenant.clone();
        let mut keys = self
            .store
            .read(move |transaction| {
                // A `skip` beyond the last key needs no walk through the table.
                let skip = match usize::try_from(skip) {
                    Ok(skip_keys) if skip < quota::usage(transaction, &tenant)?.keys => skip_keys,
                    _ => return Ok(Vec::new()),
                };
                let Some(table) = open_if_any(transaction)? else { return Ok(Vec::new()) };
                let within = table.range::<&[u8]>(&*prefix..)?.take_while(|entry| {
                    entry.as_ref().map_or(true, |(key, _)| key.value().starts_with(&prefix))
                });
                keys_of(&prefix, within.skip(skip))
            })
            .await?;
        let more = keys.len() > MAX_PAGE_KEYS;
        keys.truncate(MAX_PAGE_KEYS);
        let next = if more {
            u64::try_from(MAX_PAGE_KEYS).ok().and_then(|page| skip.checked_add(page))
        } else {
            None
        };
        Ok(Page { keys, next })
    }

    /// Puts `value` under `key`.
    pub async fn set(&self, key: &str, value: Vec<u8>) -> Result<(), EntryError> {
        self.set_many(vec![(key.into(), value)]).await
    }

    /// Puts each value under its key; if a key is given several times, the last value.
    pub async fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), EntryError> {
        check_entries(entries.len())?;
        let mut changes = Changes::new();
        let mut bytes = 0_usize;
        for (key, value) in entries {
            check_value(&value)?;
            bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
            if bytes > MAX_BATCH_BYTES {
                return Err(EntryError::BatchTooLarge { bytes });
            }
            changes.insert(self.full_key(&key)?, Some(value));
        }
        self.change(changes).await
    }

    /// Removes `key` and its value; a missing key is not an error.
    pub async fn delete(&self, key: &str) -> Result<(), EntryError> {
        self.change(Changes::from([(self.full_key(key)?, None)])).await
    }

    /// Removes each key and its value.
    pub async fn delete_many(&self, keys: &[String]) -> Result<(), EntryError> {
        check_entries(keys.len())?;
        let changes = keys
            .iter()
            .map(|key| Ok((self.full_key(key)?, None)))
            .collect::<Result<Changes, EntryError>>()?;
        self.change(changes).await
    }

    /// Adds `delta` to the number under `key`, 0 if there is none, and gives the sum. Numbers are decimal
    /// text.
    pub async fn increment(&self, key: &str, delta: i64) -> Result<i64, EntryError> {
        let range = NumberRange { min: i64::MIN.into(), max: i64::MAX.into() };
        let sum = self.add(key, delta.into(), range).await?;
        i64::try_from(sum).map_err(|_| range.overflow(sum))
    }

    /// As [`Entries::increment`], for numbers from 0 to 2⁶⁴ − 1.
    pub async fn increment_unsigned(&self, key: &str, delta: u64) -> Result<u64, EntryError> {
        let range = NumberRange { min: u64::MIN.into(), max: u64::MAX.into() };
        let sum = self.add(key, delta.into(), range).await?;
        u64::try_from(sum).map_err(|_| range.overflow(sum))
    }

    /// Puts `new` under `key` if the present value is `expected`.
    pub async fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<Swap, EntryError> {
        check_value(&new)?;
        let key = self.full_key(key)?;
        let cost = new.len().saturating_add(expected.as_ref().map_or(0, Vec::len));
        self.write(cost, move |writing| {
            let present = writing.get(&key)?;
            if present != expected {
                return Ok(Ok((Effect::Unchanged, Swap::Changed(present))));
            }
            let changed = writing.apply(Changes::from([(key, Some(new))]))?;
            Ok(changed.map(|effect| (effect, Swap::Done)))
        })
        .await
    }

    async fn add(&self, key: &str, delta: i128, range: NumberRange) -> Result<i128, EntryError> {
        let key = self.full_key(key)?;
        self.write(ENTRY_COST_BYTES, move |writing| {
            let sum = match range.add(writing.get(&key)?.as_deref(), delta) {
                Ok(sum) => sum,
                Err(error) => return Ok(Err(error)),
            };
            let changed = writing.apply(Changes::from([(key, Some(sum.to_string().into_bytes()))]))?;
            Ok(changed.map(|effect| (effect, sum)))
        })
        .await
    }

    async fn change(&self, changes: Changes) -> Result<(), EntryError> {
        if changes.is_empty() {
            return Ok(());
        }
        let cost = changes.iter().fold(0_usize, |cost, (key, value)| {
            let bytes = key.len().saturating_add(value.as_ref().map_or(0, Vec::len));
            cost.saturating_add(bytes).saturating_add(ENTRY_COST_BYTES)
        });
        self.write(cost, move |writing| Ok(writing.apply(changes)?.map(|effect| (effect, ())))).await
    }

    async fn read<R: Send + 'static>(
        &self,
        work: impl Fn(Option<&ReadTable>) -> Result<R, redb::Error> + Send + 'static,
    ) -> Result<R, EntryError> {
        Ok(self.store.read(move |transaction| work(open_if_any(transaction)?.as_ref())).await?)
    }

    async fn write<R: Send + 'static>(
        &self,
        cost_bytes: usize,
        work: impl FnOnce(&mut Writing<'_>) -> Result<Result<(Effect, R), EntryError>, redb::Error>
        + Send
        + 'static,
    ) -> Result<R, EntryError> {
        // Not the store: its last clone waits for the writer's thread, so it is not dropped there.
        let recent = Arc::clone(self.store.recent());
        let (tenant, prefix, quota) =
            (self.tenant.clone(), Arc::clone(&self.prefix), Arc::clone(&self.quota));
        let written = self.store.write(&self.tenant, cost_bytes, move |transaction| {
            let table = transaction.open_table(ENTRIES)?;
            let usage = UsageRow::open(transaction)?;
            let mut writing =
                Writing { table, usage, recent: &recent, tenant: &tenant, prefix: &prefix, quota: &quota };
            Ok(match work(&mut writing)? {
                Ok((effect, result)) => (effect, Ok(result)),
                Err(error) => (Effect::Unchanged, Err(error)),
            })
        });
        written.await?
    }

    fn full_key(&self, key: &str) -> Result<Vec<u8>, EntryError> {
        match key.len() {
            0 => Err(EntryError::EmptyKey),
            bytes if bytes > MAX_KEY_BYTES => Err(EntryError::KeyTooLong { bytes }),
            _ => Ok([&*self.prefix, key.as_bytes()].concat()),
        }
    }
}

/// A transaction in which one write changes the entries of one space.
struct Writing<'a> {
    table: redb::Table<'a, &'static [u8], &'static [u8]>,
    usage: UsageRow<'a>,
    recent: &'a Recent,
    tenant: &'a TenantName,
    prefix: &'a [u8],
    quota: &'a StorageQuota,
}

impl Writing<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, redb::Error> {
        Ok(self.table.get(key)?.map(|value| value.value().to_vec()))
    }

    /// Makes all changes, or none if the quota forbids them.
    fn apply(&mut self, changes: Changes) -> Result<Result<Effect, EntryError>, redb::Error> {
        let before = self.usage.get(self.tenant)?;
        let mut after = before;
        let mut effect = Effect::Unchanged;
        for (key, value) in &changes {
            let key_bytes = key.len().saturating_sub(self.prefix.len());
            if let Some(old) = self.table.get(key.as_slice())? {
                after.bytes = after.bytes.saturating_sub(length(key_bytes, old.value().len()));
                after.keys = after.keys.saturating_sub(1);
                effect = Effect::Changed;
            }
            if let Some(new) = value {
                after.bytes = after.bytes.saturating_add(length(key_bytes, new.len()));
                after.keys = after.keys.saturating_add(1);
                effect = Effect::Changed;
            }
        }
        if let Err(error) = self.check_quota(before, after) {
            return Ok(Err(error));
        }
        if effect == Effect::Changed {
            changes.keys().for_each(|key| self.recent.change(self.tenant, key));
        }
        for (key, value) in changes {
            match value {
                Some(value) => drop(self.table.insert(key.as_slice(), value.as_slice())?),
                None => drop(self.table.remove(key.as_slice())?),
            }
        }
        if after != before {
            self.usage.set(self.tenant, after)?;
        }
        Ok(Ok(effect))
    }

    /// Checks the quota. A change that reduces a usage that is above the quota is allowed.
    fn check_quota(&self, before: Usage, after: Usage) -> Result<(), EntryError> {
        let allowed = self.quota.get();
        if after.bytes > allowed.bytes && after.bytes > before.bytes {
            return Err(EntryError::QuotaBytes { needed: after.bytes, allowed: allowed.bytes });
        }
        if after.keys > allowed.keys && after.keys > before.keys {
            return Err(EntryError::QuotaKeys { needed: after.keys, allowed: allowed.keys });
        }
        Ok(())
    }
}

impl Batch {
    fn push(&mut self, value: Option<&[u8]>) -> Result<(), EntryError> {
        self.bytes = self.bytes.saturating_add(value.map_or(0, <[u8]>::len));
        if self.bytes > MAX_BATCH_BYTES {
            return Err(EntryError::BatchTooLarge { bytes: self.bytes });
        }
        self.values.push(value.map(<[u8]>::to_vec));
        Ok(())
    }
}

impl NumberRange {
    fn add(self, value: Option<&[u8]>, delta: i128) -> Result<i128, EntryError> {
        let present = match value {
            None => 0,
            Some(text) => self.parse(text).ok_or(EntryError::NotANumber { min: self.min, max: self.max })?,
        };
        // Both are within 65 bits, so the sum is within 66.
        let sum = present.saturating_add(delta);
        if (self.min..=self.max).contains(&sum) { Ok(sum) } else { Err(self.overflow(sum)) }
    }

    fn parse(self, text: &[u8]) -> Option<i128> {
        let number = std::str::from_utf8(text).ok()?.parse().ok()?;
        (self.min..=self.max).contains(&number).then_some(number)
    }

    fn overflow(self, sum: i128) -> EntryError {
        EntryError::Overflow { sum, min: self.min, max: self.max }
    }
}

fn prefix(tenant: &TenantName, space: &Space) -> Vec<u8> {
    let plugin = match space {
        Space::Plugin(name) => name.as_str(),
        // The name of a plugin is never empty.
        Space::Shared => "",
    };
    [tenant.as_str().as_bytes(), &[0], plugin.as_bytes(), &[0]].concat()
}

fn open_if_any(transaction: &ReadTransaction) -> Result<Option<ReadTable>, redb::Error> {
    match transaction.open_table(ENTRIES) {
        Ok(table) => Ok(Some(table)),
        // The table exists from the first write on.
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn find<'a>(table: Option<&'a ReadTable>, full_key: &[u8]) -> Result<Option<Guard<'a>>, redb::Error> {
    Ok(table.map(|table| table.get(full_key)).transpose()?.flatten())
}

fn is_at(entry: &Entry<'_>, full_key: &[u8]) -> bool {
    entry.as_ref().is_ok_and(|(key, _)| key.value() == full_key)
}

/// The keys of a page, and one more if another page follows.
fn keys_of<'a>(prefix: &[u8], entries: impl Iterator<Item = Entry<'a>>) -> Result<Vec<String>, redb::Error> {
    let mut keys = Vec::new();
    for entry in entries {
        let (key, _) = entry?;
        let Some(key) = key.value().strip_prefix(prefix) else { break };
        let key = String::from_utf8(key.to_vec())
            .map_err(|_| redb::Error::Corrupted("a key in the table `keyvalue` is not UTF-8".into()))?;
        keys.push(key);
        if keys.len() > MAX_PAGE_KEYS {
            break;
        }
    }
    Ok(keys)
}

fn check_entries(entries: usize) -> Result<(), EntryError> {
    if entries > MAX_BATCH_ENTRIES { Err(EntryError::TooManyEntries { entries }) } else { Ok(()) }
}

fn check_value(value: &[u8]) -> Result<(), EntryError> {
    if value.len() > MAX_VALUE_BYTES { Err(EntryError::ValueTooLong { bytes: value.len() }) } else { Ok(()) }
}

fn length(key_bytes: usize, value_bytes: usize) -> u64 {
    u64::try_from(key_bytes.saturating_add(value_bytes)).unwrap_or(u64::MAX)
}
