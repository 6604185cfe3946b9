//! The host that the unit tests run on: the same functions as the real one's, over a map in memory.
//!
//! A test can let the store fail, or let something happen between any two of its operations.

use std::cell::RefCell;
use std::collections::BTreeMap;

#[derive(Default)]
struct Memory {
    values: BTreeMap<String, Vec<u8>>,
    config: Vec<(String, String)>,
    log: Vec<String>,
    operations: usize,
    fails_from: Option<usize>,
    interruption: Option<(usize, Box<dyn FnOnce()>)>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

fn memory<T>(read: impl FnOnce(&mut Memory) -> T) -> T {
    MEMORY.with_borrow_mut(read)
}

/// Begins anew: an empty store, and this configuration.
pub(crate) fn reset(config: &[(&str, &str)]) {
    let config = config.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    MEMORY.replace(Memory { config, ..Memory::default() });
}

/// Lets every store operation fail but the first `operations` from now on.
pub(crate) fn fail_after(operations: usize) {
    memory(|memory| memory.fails_from = Some(memory.operations + operations + 1));
}

/// Ends the failure.
pub(crate) fn recover() {
    memory(|memory| memory.fails_from = None);
}

/// Lets `happen` happen just before the store operation number `operation` from now on.
pub(crate) fn interrupt_before(operation: usize, happen: impl FnOnce() + 'static) {
    memory(|memory| memory.interruption = Some((memory.operations + operation, Box::new(happen))));
}

/// Whether what was to happen has not happened.
pub(crate) fn is_interruption_left() -> bool {
    memory(|memory| memory.interruption.take().is_some())
}

/// The lines logged so far.
pub(crate) fn log_lines() -> Vec<String> {
    memory(|memory| memory.log.clone())
}

/// Every key with its value.
pub(crate) fn values() -> BTreeMap<String, Vec<u8>> {
    memory(|memory| memory.values.clone())
}

/// Puts a value behind the plugin's back.
pub(crate) fn put(key: &str, value: &[u8]) {
    memory(|memory| memory.values.insert(key.to_owned(), value.to_vec()));
}

/// One store operation begins: interruptions happen, failures are due.
fn operate<T>(operation: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> Result<T, store::Error> {
    let happen = memory(|memory| {
        memory.operations += 1;
        let is_due = memory.interruption.as_ref().is_some_and(|(at, _)| *at == memory.operations);
        if is_due { memory.interruption.take() } else { None }
    });
    if let Some((_, happen)) = happen {
        happen();
    }
    memory(|memory| match memory.fails_from {
        Some(from) if memory.operations >= from => {
            Err(store::Error::Other("/var/secret/disk is full".to_owned()))
        }
        _ => Ok(operation(&mut memory.values)),
    })
}

pub(crate) mod context {
    pub(crate) fn request_id() -> String {
        "request-1".to_owned()
    }
}

pub(crate) mod config {
    pub(crate) use crate::bindings::wasi::config0_2_0_rc_1::store::Error;

    pub(crate) fn get(key: &str) -> Result<Option<String>, Error> {
        Ok(get_all()?.into_iter().find(|(name, _)| name == key).map(|(_, value)| value))
    }

    pub(crate) fn get_all() -> Result<Vec<(String, String)>, Error> {
        Ok(super::memory(|memory| memory.config.clone()))
    }
}

pub(crate) mod logging {
    pub(crate) use crate::bindings::wasi::logging::logging::Level;

    pub(crate) fn log(_: Level, context: &str, message: &str) {
        super::memory(|memory| memory.log.push(format!("{context}: {message}")));
    }
}

pub(crate) mod store {
    use super::operate;
    pub(crate) use crate::bindings::wasi::keyvalue0_2_0_draft2::store::{Error, KeyResponse};

    /// Keys in one page, few enough that tests see more than one.
    const PAGE: usize = 10;

    pub(crate) struct Bucket;

    pub(crate) fn open(name: &str) -> Result<Bucket, Error> {
        assert_eq!(name, "default");
        operate(|_| Bucket)
    }

    impl Bucket {
        pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
            operate(|values| values.get(key).cloned())
        }

        pub(crate) fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
            operate(|values| values.insert(key.to_owned(), value.to_vec())).map(drop)
        }

        pub(crate) fn list_keys(&self, cursor: Option<&str>) -> Result<KeyResponse, Error> {
            operate(|values| {
                let after = values.keys().filter(|key| cursor.is_none_or(|cursor| key.as_str() > cursor));
                let keys: Vec<_> = after.take(PAGE).cloned().collect();
                let cursor = keys.last().filter(|last| values.keys().next_back() != Some(last)).cloned();
                KeyResponse { keys, cursor }
            })
        }
    }
}

pub(crate) mod atomics {
    use super::operate;
    use super::store::{Bucket, Error};

    pub(crate) struct Cas {
        key: String,
        read: Option<Vec<u8>>,
    }

    pub(crate) enum CasError {
        StoreError(Error),
        CasFailed(Cas),
    }

    impl Cas {
        pub(crate) fn new(_: &Bucket, key: &str) -> Result<Self, Error> {
            operate(|values| Self { key: key.to_owned(), read: values.get(key).cloned() })
        }

        pub(crate) fn current(&self) -> Result<Option<Vec<u8>>, Error> {
            Ok(self.read.clone())
        }
    }

    pub(crate) fn increment(_: &Bucket, key: &str, delta: i64) -> Result<i64, Error> {
        operate(|values| {
            let before = values.get(key).map_or(0, |value| String::from_utf8_lossy(value).parse().unwrap());
            let sum: i64 = before + delta;
            values.insert(key.to_owned(), sum.to_string().into_bytes());
            sum
        })
    }

    pub(crate) fn swap(cas: Cas, value: &[u8]) -> Result<(), CasError> {
        let swapped = operate(|values| {
            let present = values.get(&cas.key).cloned();
            if present != cas.read {
                return Err(CasError::CasFailed(Cas { key: cas.key.clone(), read: present }));
            }
            values.insert(cas.key.clone(), value.to_vec());
            Ok(())
        });
        swapped.map_err(CasError::StoreError)?
    }
}

pub(crate) mod batch {
    use super::operate;
    use super::store::{Bucket, Error};

    type Pairs = Vec<(String, Option<Vec<u8>>)>;

    pub(crate) fn get_many(_: &Bucket, keys: &[String]) -> Result<Pairs, Error> {
        operate(|values| keys.iter().map(|key| (key.clone(), values.get(key).cloned())).collect())
    }

    pub(crate) fn set_many(_: &Bucket, pairs: &[(String, Vec<u8>)]) -> Result<(), Error> {
        operate(|values| values.extend(pairs.iter().cloned()))
    }

    pub(crate) fn delete_many(_: &Bucket, keys: &[String]) -> Result<(), Error> {
        operate(|values| values.retain(|key, _| !keys.contains(key)))
    }
}
