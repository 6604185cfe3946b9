//! `reuse`: how long an instance serves more than one call.

use std::time::Duration;

/// `reuse`: how long an instance of a plugin serves that has `instances = "reused"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reuse {
    /// `calls`: so many calls, one after the other.
    pub calls: u32,
    /// `age`: from its start.
    pub age: Duration,
    /// `idle`: between two calls.
    pub idle: Duration,
}

impl Default for Reuse {
    fn default() -> Self {
        Self { calls: 1000, age: Duration::from_secs(10 * 60), idle: Duration::from_secs(10) }
    }
}
