//! The interfaces of `wasi:keyvalue` in both drafts, over [`crate::capability::KeyValue`].

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use crate::capability::{Bucket, EntryError, Grant, KeyValue, KeyValueError, MAX_BATCH_BYTES, Swap};
use crate::sandbox::bindings::{keyvalue_draft, keyvalue_draft2};
use crate::sandbox::output::Output;
use crate::sandbox::stored::{Cas, CasError, StoreError};

/// The keys in one page of a listing: the capability's own page.
type Keys = Vec<String>;

/// The stores that the plugin may open, and the count of the bytes that its handles keep.
pub(in crate::sandbox) struct Stores<'a> {
    pub(in crate::sandbox) keyvalue: Option<&'a KeyValue>,
    pub(in crate::sandbox) output: &'a Output,
    /// The bytes of stored values that the guest's handles keep.
    pub(in crate::sandbox) held_bytes: &'a mut usize,
    pub(in crate::sandbox) table: &'a mut ResourceTable,
}

/// The key by which bindings find the view.
struct Borrowed;

impl HasData for Borrowed {
    type Data<'a> = Stores<'a>;
}

pub(in crate::sandbox) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> Stores<'_>,
) -> wasmtime::Result<()> {
    keyvalue_draft2::Imports::add_to_linker::<_, Borrowed>(linker, view)?;
    keyvalue_draft::Imports::add_to_linker::<_, Borrowed>(linker, view)
}

impl Stores<'_> {
    fn open_bucket(&mut self, name: &str) -> Result<Resource<Bucket>, StoreError> {
        let keyvalue = self.keyvalue.ok_or(KeyValueError::AccessDenied { grant: Grant::KeyValue })?;
        let bucket = keyvalue.open(name)?;
        Ok(self.table.push(bucket)?)
    }

    fn bucket(&self, handle: &Resource<Bucket>) -> Result<Bucket, StoreError> {
        Ok(self.table.get(handle)?.clone())
    }

    /// Keeps a value that was read until the guest lets go of it. The value is outside the guest's memory, so it is
    /// counted.
    fn hold(&mut self, cas: Cas) -> Result<Resource<Cas>, StoreError> {
        let bytes = self.held_bytes.saturating_add(cas.bytes());
        if bytes > MAX_BATCH_BYTES {
            return Err(KeyValueError::from(EntryError::BatchTooLarge { bytes }).into());
        }
        let held = self.table.push(cas)?;
        *self.held_bytes = bytes;
        Ok(held)
    }

    fn let_go(&mut self, cas: Resource<Cas>) -> Result<Cas, StoreError> {
        let cas = self.table.delete(cas)?;
        *self.held_bytes = self.held_bytes.saturating_sub(cas.bytes());
        Ok(cas)
    }

    /// Notes an error for the operator that the guest is told only in general terms.
    fn note(&self, error: &KeyValueError) {
        if let KeyValueError::Other(_) = error {
            self.output.host_call_failed(&error.to_string());
        }
    }
}

macro_rules! store {
    ($module:ident) => {
        use $module::wasi::keyvalue::{batch, store};

        impl store::Host for Stores<'_> {
            async fn open(&mut self, identifier: String) -> Result<Resource<Bucket>, StoreError> {
                self.open_bucket(&identifier)
            }

            fn convert_error(&mut self, error: StoreError) -> wasmtime::Result<store::Error> {
                let error = match error {
                    StoreError::Refused(error) => error,
                    StoreError::Handle(error) => return Err(error.into()),
                };
                self.note(&error);
                Ok(match error {
                    KeyValueError::NoSuchStore { .. } => store::Error::NoSuchStore,
                    KeyValueError::AccessDenied { .. } => store::Error::AccessDenied,
                    KeyValueError::Other(_) => store::Error::Other(error.guest_message()),
                })
            }
        }

        impl store::HostBucket for Stores<'_> {
            async fn get(
                &mut self,
                bucket: Resource<Bucket>,
                key: String,
            ) -> Result<Option<Vec<u8>>, StoreError> {
                Ok(self.bucket(&bucket)?.get(&key).await?)
            }

            async fn set(
                &mut self,
                bucket: Resource<Bucket>,
                key: String,
                value: Vec<u8>,
            ) -> Result<(), StoreError> {
                Ok(self.bucket(&bucket)?.set(&key, value).await?)
            }

            async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Result<(), StoreError> {
                Ok(self.bucket(&bucket)?.delete(&key).await?)
            }

            async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Result<bool, StoreError> {
                Ok(self.bucket(&bucket)?.exists(&key).await?)
            }

            async fn list_keys(
                &mut self,
                bucket: Resource<Bucket>,
                cursor: Option<Cursor>,
            ) -> Result<store::KeyResponse, StoreError> {
                let (keys, cursor) = list(self.bucket(&bucket)?, cursor).await?;
                Ok(store::KeyResponse { keys, cursor })
            }

            async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
                self.table.delete(bucket)?;
                Ok(())
            }
        }

        impl batch::Host for Stores<'_> {
            async fn get_many(
                &mut self,
                bucket: Resource<Bucket>,
                keys: Keys,
            ) -> Result<Vec<Entry>, StoreError> {
                let values = self.bucket(&bucket)?.get_many(&keys).await?;
                Ok(keys.into_iter().zip(values).map(entry).collect())
            }

            async fn set_many(
                &mut self,
                bucket: Resource<Bucket>,
                key_values: Vec<(String, Vec<u8>)>,
            ) -> Result<(), StoreError> {
                Ok(self.bucket(&bucket)?.set_many(key_values).await?)
            }

            async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Keys) -> Result<(), StoreError> {
                Ok(self.bucket(&bucket)?.delete_many(&keys).await?)
            }
        }
    };
}

mod draft2 {
    use super::*;
    use keyvalue_draft2::wasi::keyvalue::atomics;
    store!(keyvalue_draft2);

    type Cursor = String;
    type Entry = (String, Option<Vec<u8>>);

    fn entry(pair: (String, Option<Vec<u8>>)) -> Entry {
        pair
    }

    async fn list(bucket: Bucket, after: Option<String>) -> Result<(Keys, Option<String>), KeyValueError> {
        let page = bucket.list_keys_after(after).await?;
        Ok((page.keys, page.next))
    }

    impl atomics::Host for Stores<'_> {
        async fn increment(
            &mut self,
            bucket: Resource<Bucket>,
            key: String,
            delta: i64,
        ) -> Result<i64, StoreError> {
            Ok(self.bucket(&bucket)?.increment(&key, delta).await?)
        }

        async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> Result<(), CasError> {
            let Cas { bucket, key, read } = self.let_go(cas)?;
            let swap = bucket.compare_and_swap(&key, read, value).await.map_err(StoreError::from)?;
            match swap {
                Swap::Done => Ok(()),
                Swap::Changed(read) => Err(CasError::Changed(self.hold(Cas { bucket, key, read })?)),
            }
        }

        fn convert_cas_error(&mut self, error: CasError) -> wasmtime::Result<atomics::CasError> {
            Ok(match error {
                CasError::Changed(present) => atomics::CasError::CasFailed(present),
                CasError::Store(error) => {
                    atomics::CasError::StoreError(store::Host::convert_error(self, error)?)
                }
            })
        }
    }

    impl atomics::HostCas for Stores<'_> {
        async fn new(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Resource<Cas>, StoreError> {
            let bucket = self.bucket(&bucket)?;
            let read = bucket.get(&key).await?;
            self.hold(Cas { bucket, key, read })
        }

        async fn current(&mut self, cas: Resource<Cas>) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(self.table.get(&cas)?.read.clone())
        }

        async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
            let cas = self.table.delete(cas)?;
            *self.held_bytes = self.held_bytes.saturating_sub(cas.bytes());
            Ok(())
        }
    }
}

mod draft {
    use super::*;
    use keyvalue_draft::wasi::keyvalue::atomics;
    store!(keyvalue_draft);

    type Cursor = u64;
    type Entry = Option<(String, Vec<u8>)>;

    fn entry((key, value): (String, Option<Vec<u8>>)) -> Entry {
        Some((key, value?))
    }

    async fn list(bucket: Bucket, from: Option<u64>) -> Result<(Keys, Option<u64>), KeyValueError> {
        let page = bucket.list_keys_from(from).await?;
        Ok((page.keys, page.next))
    }

    impl atomics::Host for Stores<'_> {
        async fn increment(
            &mut self,
            bucket: Resource<Bucket>,
            key: String,
            delta: u64,
        ) -> Result<u64, StoreError> {
            Ok(self.bucket(&bucket)?.increment_unsigned(&key, delta).await?)
        }
    }
}

impl From<StoreError> for CasError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
