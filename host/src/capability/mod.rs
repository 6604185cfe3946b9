//! What a plugin may use beyond its own memory, in plain Rust: owns the grants and, one module each, the
//! capabilities behind them. Leaves the wiring into a plugin's imports to the sandbox.

pub mod http;
pub mod keyvalue;
pub mod limiter;
pub mod log;

pub use keyvalue::{Bucket, KeyValue, KeyValueError};
pub use limiter::{Limiter, Limiters};
pub use log::{LineBuffer, LogBudget, MAX_LINE_BYTES};

/// How a compare-and-swap ended, why an operation did not, and how much one may hold: words of the store that
/// pass through unchanged.
pub use crate::store::{EntryError, MAX_BATCH_BYTES, Swap};

/// Which of the host's capabilities a plugin was granted; everything is refused unless named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grants {
    /// The plugin's own key-value store.
    pub keyvalue: bool,
    /// The key-value store that the plugins of a tenant share.
    pub keyvalue_shared: bool,
    /// The rate limiter.
    pub limiter: bool,
}
