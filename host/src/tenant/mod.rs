//! Who pays: names, limits, quotas, the permits that hold calls to them, and a fair share of what is short.
//!
//! Knows no HTTP, no WebAssembly and no site file.

mod gate;
mod limits;
mod name;
mod patience;
mod share;
mod slots;
mod turns;

pub use gate::{Bounds, Gate, Permit, Refused};
pub use limits::{Ceilings, Limits, MAX_TABLE_ELEMENTS, Quota, Reuse, Storage};
pub use name::{NameError, PluginName, SecretName, TenantName};
pub use patience::Patience;
pub use share::Share;
pub use slots::{Slot, Slots};
pub use turns::{Reading, Turns};
