//! Who pays: names, quotas, the permits that hold calls to these and to limits, and a fair share of what is short.
//!
//! Knows no HTTP, no WebAssembly and no site file.

mod gate;
mod name;
mod patience;
mod quota;
mod share;
mod slots;
mod waiters;

pub use gate::{Bounds, Gate, Permit, Refused};
pub use name::{NameError, PluginName, SecretName, TenantName};
pub use patience::Patience;
pub use quota::{Quota, Storage};
pub use share::Share;
pub use slots::{Slot, Slots};
