//! The limits of `[host.intake]`: the cost that one component may have before it runs.

use std::time::Duration;

/// The limits of one component's intake, before it runs: `[host.intake]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntakeLimits {
    /// `artifact`: the size of the component's file.
    pub artifact_bytes: u64,
    /// `compile-time`: the CPU time of compiling the component, on all cores together; whole seconds, rounded up.
    pub compile_time: Duration,
    /// `compile-memory`: the address space of the process that compiles the component.
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
