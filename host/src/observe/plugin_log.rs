//! What a plugin prints and logs in one call, marked with tenant, plugin and request id.

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

    /// One line of the plugin's, as it wrote it. `source` is `stdout`, `stderr`, or a word of its own.
    pub fn line(&self, level: Level, source: &str, text: &str) {
        let entry = self.entry(level, "plugin says").field("source", source).field("text", text);
        self.send(entry);
    }

    /// What it said beyond `log-lines` and `log-bytes`.
    pub fn dropped(&self, lines: u64, bytes: u64) {
        self.metrics.guest_log_dropped(lines);
        let entry = self.entry(Level::Warn, "plugin said more than its limits log-lines and log-bytes allow");
        self.send(entry.field("dropped-lines", lines).field("dropped-bytes", bytes));
    }

    /// Why the host could not do what it asked; the plugin was told less.
    pub fn host_call_failed(&self, reason: &str) {
        self.send(self.entry(Level::Warn, "a host call of the plugin failed").field("reason", reason));
    }

    /// Trailers of its answer that are not sent over HTTP/1.1. Each answer may have some, so only those are told who ask.
    pub fn trailers_not_announced<'a>(&self, names: impl Iterator<Item = &'a HeaderName>) {
        for name in names {
            let entry = self
                .entry(Level::Debug, "a trailer was not sent: the answer's `trailer` field does not name it");
            self.send(entry.field("trailer", name.as_str()));
        }
    }

    /// How it failed when its answer had been taken to the last byte: nobody is there to be told.
    pub fn failed_after_its_answer(&self, error: &dyn fmt::Display) {
        let entry = self.entry(Level::Warn, "a plugin failed after its answer was whole");
        self.send(entry.field("error", format_args!("{error}")));
    }

    fn entry(&self, level: Level, message: &str) -> Entry<'_> {
        self.log.entry(level, message).tenant(self.metrics.tenant()).field("plugin", self.metrics.plugin())
    }

    /// The request's id stands last, where it stands in every line.
    fn send(&self, entry: Entry<'_>) {
        entry.field("request-id", &*self.request_id).send();
    }
}
