//! Key-value: owns which stores a plugin may open by which name, and the error texts that the plugin gets. The
//! operations and their limits are `store`'s.

use std::sync::Arc;

use super::{Grant, Grants};
use crate::store::{Entries, EntryError, Page, Space, StorageQuota, Store, StoreError, Swap};
use crate::tenant::{PluginName, TenantName};

/// The key-value stores that one plugin may open. Cheap to clone.
#[derive(Debug, Clone)]
pub struct KeyValue {
    store: Store,
    tenant: TenantName,
    plugin: PluginName,
    grants: Grants,
    quota: Arc<StorageQuota>,
}

/// An open store of a plugin. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bucket {
    entries: Entries,
}

/// The error of a key-value operation: the full text, for the host's log. A guest gets
/// [`KeyValueError::guest_message`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyValueError {
    /// There is no store with that name.
    #[error("no key-value store is named `{name}`: there are only `default` (or an empty name) and `shared`")]
    NoSuchStore {
        /// The name.
        name: String,
    },
    /// The store's grant is missing.
    #[error("the plugin may not open this key-value store: add `{grant} = true` to its grants")]
    AccessDenied {
        /// The grant that would allow the store.
        grant: Grant,
    },
    /// Refused by a limit, or the store failed.
    #[error("the key-value operation failed: {0}")]
    Other(#[from] EntryError),
}

impl KeyValue {
    /// The stores of `plugin` of `tenant`, under the tenant's storage quota.
    pub fn new(
        store: Store,
        tenant: TenantName,
        plugin: PluginName,
        grants: Grants,
        quota: Arc<StorageQuota>,
    ) -> Self {
        Self { store, tenant, plugin, grants, quota }
    }

    /// Opens a store: `default`, or the empty name, is the plugin's own; `shared` the tenant's.
    pub fn open(&self, name: &str) -> Result<Bucket, KeyValueError> {
        let (space, grant) = match name {
            "" | "default" => (Space::Plugin(self.plugin.clone()), Grant::KeyValue),
            "shared" => (Space::Shared, Grant::KeyValueShared),
            _ => return Err(KeyValueError::NoSuchStore { name: name.into() }),
        };
        if !self.grants.hold(grant) {
            return Err(KeyValueError::AccessDenied { grant });
        }
        Ok(Bucket { entries: self.store.entries(&self.tenant, &space, Arc::clone(&self.quota)) })
    }
}

impl Bucket {
    /// The value under `key`.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
        Ok(self.entries.get(key).await?)
    }

    /// Puts `value` under `key`.
    pub async fn set(&self, key: &str, value: Vec<u8>) -> Result<(), KeyValueError> {
        Ok(self.entries.set(key, value).await?)
    }

    /// Removes `key` and its value; a missing key is not an error.
    pub async fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        Ok(self.entries.delete(key).await?)
    }

    /// True if `key` has a value.
    pub async fn exists(&self, key: &str) -> Result<bool, KeyValueError> {
        Ok(self.entries.exists(key).await?)
    }

    /// A page of the keys after `cursor`, or from the first.
    pub async fn list_keys_after(&self, cursor: Option<String>) -> Result<Page<String>, KeyValueError> {
        Ok(self.entries.list_after(cursor.as_deref()).await?)
    }

    /// A page of the keys after the first `cursor` ones, or from the first.
    pub async fn list_keys_from(&self, cursor: Option<u64>) -> Result<Page<u64>, KeyValueError> {
        Ok(self.entries.list_from(cursor.unwrap_or(0)).await?)
    }

    /// The values of `keys`, in their order.
    pub async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, KeyValueError> {
        Ok(self.entries.get_many(keys).await?)
    }

    /// Puts each value under its key: all or nothing.
    pub async fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), KeyValueError> {
        Ok(self.entries.set_many(entries).await?)
    }

    /// Removes each key and its value: all or nothing.
    pub async fn delete_many(&self, keys: &[String]) -> Result<(), KeyValueError> {
        Ok(self.entries.delete_many(keys).await?)
    }

    /// Adds `delta` to the number under `key`, 0 if there is none, and gives the sum. An overflow is an
    /// error.
    pub async fn increment(&self, key: &str, delta: i64) -> Result<i64, KeyValueError> {
        Ok(self.entries.increment(key, delta).await?)
    }

    /// As [`Bucket::increment`], for numbers from 0 to 2⁶⁴ − 1.
    pub async fn increment_unsigned(&self, key: &str, delta: u64) -> Result<u64, KeyValueError> {
        Ok(self.entries.increment_unsigned(key, delta).await?)
    }

    /// Puts `new` under `key` if the present value is `expected`.
    pub async fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<Swap, KeyValueError> {
        Ok(self.entries.compare_and_swap(key, expected, new).await?)
    }
}

impl KeyValueError {
    /// The error text for the guest: its own mistake, or that the store is unavailable; nothing about the host's
    /// insides.
    pub fn guest_message(&self) -> String {
        match self {
            Self::NoSuchStore { .. } => "no such store".into(),
            Self::AccessDenied { .. } => "access denied".into(),
            Self::Other(EntryError::Store(StoreError::Busy { .. })) => {
                "store busy: too many writes are waiting".into()
            }
            Self::Other(EntryError::Store(_)) => "store unavailable".into(),
            Self::Other(refused) => refused.to_string(),
        }
    }

    /// True if the store is unavailable: the same call may work later.
    pub fn is_store_unavailable(&self) -> bool {
        matches!(self, Self::Other(EntryError::Store(_)))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::tenant::Storage;

    const ALL: Grants = Grants { keyvalue: true, keyvalue_shared: true, limiter: true };

    fn plugin(store: &Store, tenant: &str, plugin: &str, grants: Grants) -> KeyValue {
        let quota = Arc::new(StorageQuota::new(Storage { bytes: 100, keys: 10 }));
        KeyValue::new(
            store.clone(),
            TenantName::parse(tenant).unwrap(),
            PluginName::parse(plugin).unwrap(),
            grants,
            quota,
        )
    }

    fn store() -> Store {
        Store::with_backend(|| Ok(InMemoryBackend::new())).unwrap()
    }

    #[test]
    fn nothing_is_granted_by_default() {
        let store = store();
        for (grants, name, grant) in [
            (Grants::default(), "", Some(Grant::KeyValue)),
            (Grants::default(), "default", Some(Grant::KeyValue)),
            (Grants { keyvalue: true, ..Grants::default() }, "default", None),
            (Grants { keyvalue: true, ..Grants::default() }, "shared", Some(Grant::KeyValueShared)),
            (Grants { keyvalue_shared: true, ..Grants::default() }, "shared", None),
            (Grants { keyvalue_shared: true, ..Grants::default() }, "", Some(Grant::KeyValue)),
        ] {
            match (plugin(&store, "shop", "books", grants).open(name), grant) {
                (Ok(_), None) => {}
                (Err(KeyValueError::AccessDenied { grant }), Some(expected)) => assert_eq!(grant, expected),
                (result, expected) => panic!("{name} with {grants:?}: {result:?}, expected {expected:?}"),
            }
        }
        for name in ["Default", "cache", "shop", "../other", "shared "] {
            let opened = plugin(&store, "shop", "books", ALL).open(name);
            assert!(matches!(opened, Err(KeyValueError::NoSuchStore { .. })), "{name}");
        }
    }

    #[tokio::test]
    async fn a_plugin_has_its_own_store_and_one_with_its_tenants_others() {
        let store = store();
        let open = |tenant, name, bucket| plugin(&store, tenant, name, ALL).open(bucket).unwrap();
        open("shop", "books", "").set("k", b"own".into()).await.unwrap();
        open("shop", "books", "shared").set("k", b"shared".into()).await.unwrap();
        let get = async |tenant, name, bucket| open(tenant, name, bucket).get("k").await.unwrap();
        assert_eq!(get("shop", "books", "default").await.unwrap(), b"own");
        assert_eq!(get("shop", "limit", "shared").await.unwrap(), b"shared");
        assert_eq!(get("shop", "limit", "default").await, None);
        assert_eq!(get("other", "books", "default").await, None);
        assert_eq!(get("other", "books", "shared").await, None);
    }

    #[tokio::test]
    async fn a_guest_learns_of_its_own_mistakes_and_of_nothing_else() {
        let bucket = plugin(&store(), "shop", "books", ALL).open("").unwrap();
        bucket.set("text", b"ten".into()).await.unwrap();
        for (error, message) in [
            (
                bucket.get(&"k".repeat(2000)).await.unwrap_err(),
                "key too long: it has 2000 bytes, and 1024 are allowed",
            ),
            (
                bucket.set("k", vec![0; 200]).await.unwrap_err(),
                "storage quota used up: 208 bytes would be kept, and 100 are allowed; delete something first",
            ),
            (
                bucket.increment_unsigned("text", 1).await.unwrap_err(),
                "cannot increment: the value is not a decimal number from 0 to 18446744073709551615",
            ),
        ] {
            assert_eq!(error.guest_message(), message);
            assert!(!error.is_store_unavailable());
        }
    }

    #[test]
    fn a_guest_is_not_told_why_the_store_is_away() {
        let source = Arc::new(redb::Error::Io(io::Error::other("/var/lib/jackfield is on fire")));
        let error = KeyValueError::from(EntryError::from(StoreError::Unavailable { source }));
        assert_eq!(error.guest_message(), "store unavailable");
        assert!(error.is_store_unavailable());
        assert!(error.to_string().contains("is on fire"), "{error}");
        let busy =
            KeyValueError::from(EntryError::from(StoreError::Busy { waiting: 1024, waiting_bytes: 5000 }));
        assert_eq!(busy.guest_message(), "store busy: too many writes are waiting");
        assert!(busy.is_store_unavailable());
    }
}
