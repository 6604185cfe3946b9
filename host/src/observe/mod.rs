//! Observability: structured log lines, the access log, and metrics.
//!
//! The log is ours and not `tracing`: it needs no global, is bounded, and a line costs its formatting. In return it
//! has no spans, and events of libraries are not seen.
//!
//! Every room may use this one; it uses only tenants' and plugins' names. Nothing here is global to the
//! process: a [`Log`] and a [`Metrics`] are handed around, so two hosts in one process do not mix.

mod access;
mod blame;
mod capture;
mod escape;
mod few;
mod line;
mod log;
mod metrics;
mod plugin_log;

pub use access::AccessLine;
pub use blame::Blame;
pub use capture::Captured;
pub use escape::acts_on_a_terminal;
pub use few::{FEW, few};
pub use line::{Format, Level, Line, Value};
pub use log::{Entry, Log};
pub use metrics::{
    CallOutcome, Closed, Compile, EvictionReason, GaugeGuard, Handshake, Metrics, Plug, PluginMetrics,
    Reload, TenantMetrics,
};
pub use plugin_log::PluginLog;
