//! A guest's lines, marked with tenant, plugin and request id, in the host's log.

use std::sync::Arc;

use crate::observe::{Level, Log};
use crate::sandbox::{GuestLevel, GuestLine, GuestLog};
use crate::snapshot::Plugin;

/// The log of one call.
pub(super) struct PluginLog {
    log: Log,
    plugin: Arc<Plugin>,
    request_id: Arc<str>,
}

impl PluginLog {
    pub(super) fn new(log: &Log, plugin: &Arc<Plugin>, request_id: &Arc<str>) -> Self {
        Self { log: log.clone(), plugin: plugin.clone(), request_id: request_id.clone() }
    }
}

impl GuestLog for PluginLog {
    fn line(&self, line: GuestLine<'_>) {
        let level = match line.level {
            GuestLevel::Debug => Level::Debug,
            GuestLevel::Info => Level::Info,
            GuestLevel::Warn => Level::Warn,
            GuestLevel::Error => Level::Error,
        };
        self.log
            .entry(level, "plugin says")
            .field("tenant", &self.plugin.tenant)
            .field("plugin", &self.plugin.name)
            .field("source", line.source)
            .field("text", line.text)
            .field("request-id", &*self.request_id)
            .send();
    }

    fn dropped(&self, lines: u64, bytes: u64) {
        self.plugin.metrics.guest_log_dropped(lines);
        self.log
            .warn("plugin said more than its limits log-lines and log-bytes allow")
            .field("tenant", &self.plugin.tenant)
            .field("plugin", &self.plugin.name)
            .field("dropped-lines", lines)
            .field("dropped-bytes", bytes)
            .field("request-id", &*self.request_id)
            .send();
    }
}
