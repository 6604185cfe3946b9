//! Who pays: names, limits, quotas, and the permits that hold calls to them.
//!
//! Knows no HTTP, no WebAssembly and no site file.

mod gate;
mod limits;
mod name;

pub use gate::{Bounds, Gate, Permit, Refused};
pub use limits::{Ceilings, Limits, Quota, Storage};
pub use name::{NameError, PluginName, TenantName};
