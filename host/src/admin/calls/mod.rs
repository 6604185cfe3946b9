//! The calls: a file for each subject. Each call parses, asks the control plane, and shapes the answer.

pub(super) mod artifacts;
pub(super) mod audit;
pub(super) mod events;
pub(super) mod explain;
pub(super) mod host;
pub(super) mod revisions;
pub(super) mod rollouts;
pub(super) mod secrets;
pub(super) mod tenants;
pub(super) mod tokens;
