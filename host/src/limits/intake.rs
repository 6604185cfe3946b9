//! `[host.intake]`: the cost that one component may have before it runs.

use std::time::Duration;

/// The limits of one component's intake, before it runs: `[host.intake]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntakeLimits {
    /// `artifact`: size of its file.
    pub artifact_bytes: u64,
    /// `compile-time`: CPU time of compiling it, on all cores together; whole seconds, rounded up.
    pub compile_time: Duration,
    /// `compile-memory`: address space of the process that does it.
    pub compile_memory_bytes: u64,
}

impl Default for IntakeLimits {
    fn default() -> Self {
        Self {
            artifact_bytes: 64 << 20,
            compile_time: Duration::from_secs(120),
            compile_memory_bytes: 2 << 30,
        }
    }
}
