//! The output of a plugin, printed or logged in one call, marked with tenant, plugin and request id.

use std::fmt;
use std::sync::Arc;

use http::HeaderName;

use super::{Entry, Level, Log, PluginMetrics};

/// The log of one call.
#[derive(Debug, Clone)]
pub struct PluginLog {
    log: Log,
    metrics: Arc<PluginMetrics>,
    request_id: Arc<str>,
}

impl PluginLog {
    /// The log of a call of the plugin that `metrics` counts.
    pub fn new(log: Log, metrics: Arc<PluginMetrics>, request_id: Arc<str>) -> Self {
        Self { log, metrics, request_id }
    }

    /// The log of a call for tests, kept in memory.
    #[cfg(test)]
    pub fn capture() -> Self {
        let name = |text| (crate::tenant::TenantName::parse(text), crate::tenant::PluginName::parse(text));
        let (Ok(tenant), Ok(plugin)) = name("test") else { unreachable!("a name of small letters") };
        let metrics = super::Metrics::new().plugin(&tenant, &plugin);
        Self::new(Log::capture().0, metrics, "r-1".into())
    }

    /// Logs one line of the plugin, as the plugin wrote it. `source` is `stdout`, `stderr`, or a word of the plugin's
    /// own.
    pub fn line(&self, level: Level, source: &str, text: &str) {
        let entry = self.entry(level, "plugin says").field("source", source).field("text", text);
        self.send(entry);
    }

    /// Logs the number of lines that were over `log-lines` and `log-bytes`.
    pub fn dropped(&self, lines: u64, bytes: u64) {
        self.metrics.guest_log_dropped(lines);
        let entry = self.entry(Level::Warn, "plugin said more than its limits log-lines and log-bytes allow");
        self.send(entry.field("dropped-lines", lines).field("dropped-bytes", bytes));
    }

    /// Logs the reason why the host could not do what the plugin asked; the plugin itself gets a shorter text.
    pub fn host_call_failed(&self, reason: &str) {
        self.send(self.entry(Level::Warn, "a host call of the plugin failed").field("reason", reason));
    }

    /// Logs trailers of the answer that are not sent over HTTP/1.1. Every answer may have some, so the level is
    /// `debug`.
    pub fn trailers_not_announced<'a>(&self, names: impl Iterator<Item = &'a HeaderName>) {
        for name in names {
            let entry = self
                .entry(Level::Debug, "a trailer was not sent: the answer's `trailer` field does not name it");
            self.send(entry.field("trailer", name.as_str()));
        }
    }

    /// Logs the failure of a call whose answer had been taken to the last byte: no caller is left to get an error.
    pub fn failed_after_its_answer(&self, error: &dyn fmt::Display) {
        let entry = self.entry(Level::Warn, "a plugin failed after its answer was whole");
        self.send(entry.field("error", format_args!("{error}")));
    }

    fn entry(&self, level: Level, message: &str) -> Entry<'_> {
        self.log.entry(level, message).tenant(self.metrics.tenant()).field("plugin", self.metrics.plugin())
    }

    /// Sends a line. The request's id stands last, as in every line.
    fn send(&self, entry: Entry<'_>) {
        entry.field("request-id", &*self.request_id).send();
    }
}
