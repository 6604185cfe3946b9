//! Capabilities: all that a plugin may use beyond its own memory, in plain Rust. Owns the grants and, in one module
//! each, the capabilities behind them. Leaves the wiring into a plugin's imports to the sandbox.

pub mod files;
pub mod http;
pub mod keyvalue;
pub mod limiter;
pub mod log;

use std::fmt;

pub use keyvalue::{Bucket, KeyValue, KeyValueError};
pub use limiter::{Limiter, Limiters};
pub use log::{LineBuffer, LogBudget, MAX_LINE_BYTES};

/// The store's own types that pass through unchanged.
pub use crate::store::{EntryError, MAX_BATCH_BYTES, Swap};

/// One capability that a plugin may be granted. Outbound HTTP is granted by origin, not by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// The plugin's own key-value store.
    KeyValue,
    /// The key-value store that the plugins of a tenant share.
    KeyValueShared,
    /// The rate limiter.
    Limiter,
}

impl Grant {
    /// The grant's name in the site file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyValue => "keyvalue",
            Self::KeyValueShared => "keyvalue-shared",
            Self::Limiter => "limiter",
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The grants of one plugin; a capability that is not named is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grants {
    /// The plugin's own key-value store.
    pub keyvalue: bool,
    /// The key-value store that the plugins of a tenant share.
    pub keyvalue_shared: bool,
    /// The rate limiter.
    pub limiter: bool,
}

impl Grants {
    /// True if this capability was granted.
    pub fn hold(self, grant: Grant) -> bool {
        match grant {
            Grant::KeyValue => self.keyvalue,
            Grant::KeyValueShared => self.keyvalue_shared,
            Grant::Limiter => self.limiter,
        }
    }
}
