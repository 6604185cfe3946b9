//! The tenant: names, quotas, the permits that hold calls to quotas and limits, and a fair share of scarce CPU and
//! slots.
//!
//! Knows no HTTP, no WebAssembly and no site file.

mod gate;
mod name;
mod patience;
mod quota;
mod share;
mod slots;
mod waiters;

pub use gate::{Gate, GateBounds, Permit, Refused};
pub use name::{NameError, PluginName, SecretName, TenantName};
pub use patience::Patience;
pub use quota::{Quota, Storage};
pub use share::Share;
pub use slots::{Slot, Slots};
