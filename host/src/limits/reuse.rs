//! The settings of `reuse`: the time and the calls for which an instance serves more than one call.

use std::time::Duration;

/// The settings of `reuse`, for an instance of a plugin that has `instances = "reused"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reuse {
    /// `calls`: the most calls of an instance, one after the other.
    pub calls: u32,
    /// `age`: the longest time from the instance's start.
    pub age: Duration,
    /// `idle`: the longest time between two calls.
    pub idle: Duration,
}

impl Default for Reuse {
    fn default() -> Self {
        Self { calls: 1000, age: Duration::from_secs(10 * 60), idle: Duration::from_secs(10) }
    }
}
