//! The work of a child process.

use std::time::Duration;

use crate::sandbox::configuration::CodeSettings;

/// The work of a child, and the resources for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// The settings of the code to make.
    pub code: CodeSettings,
    /// The CPU time that the child may use.
    pub time: Duration,
    /// The address space that the child may use.
    pub memory_bytes: u64,
    /// The child gives up all other rights that the system would let it have.
    pub is_confined: bool,
    /// The process that waits for the child's answer.
    pub parent: u32,
}
