//! The data of one call: its limits, the facts about its request, and its plugin's capabilities.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use crate::capability::files::Mounts;
use crate::capability::http::{Outbound, Secret};
use crate::capability::{KeyValue, Limiter};
use crate::cpu::CpuTask;
use crate::limits::Limits;
use crate::observe::PluginLog;

/// A call without its message.
pub struct Call {
    /// The limits of the call's plugin.
    pub limits: Arc<Limits>,
    /// The moment by which the call must have ended: by `wall`, or by its request's rest of it.
    pub deadline: Instant,
    /// The facts about the call's request.
    pub context: Arc<Context>,
    /// The capabilities that the call's plugin was granted.
    pub abilities: Arc<Abilities>,
    /// The log that the call's lines go to.
    pub log: PluginLog,
    /// The call's task on the CPU, which bills its guest and gives it turns.
    pub cpu: CpuTask,
}

/// The facts about a request, as `jackfield:plugin/context` tells them.
#[derive(Debug, Clone)]
pub struct Context {
    /// The request's id.
    pub request_id: Arc<str>,
    /// The caller's address; none on a Unix socket.
    pub client: Option<IpAddr>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The host and port as the caller asked for them.
    pub authority: Arc<str>,
    /// The pattern of the route.
    pub route: Arc<str>,
    /// The pattern's captures, decoded.
    pub captures: Vec<(Arc<str>, String)>,
}

/// The capabilities that a plugin was granted, with the state behind them. All calls of the plugin share them.
#[derive(Clone)]
pub struct Abilities {
    /// The plugin's own name, as `jackfield:plugin/context` tells it.
    pub plugin: Arc<str>,
    /// The pairs of `wasi:config/store` whose values are no secrets.
    pub config: BTreeMap<String, String>,
    /// The pairs of `wasi:config/store` whose values are secrets.
    pub secrets: BTreeMap<String, Secret>,
    /// `wasi:keyvalue`, if granted.
    pub keyvalue: Option<KeyValue>,
    /// `jackfield:plugin/limiter`, if granted.
    pub limiter: Option<Arc<Limiter>>,
    /// `wasi:http/outgoing-handler`, if any origin is granted.
    pub http: Option<Outbound>,
    /// `wasi:filesystem/preopens`: the folders that the plugin may read.
    pub mounts: Mounts,
}

impl Abilities {
    /// The value of this key in `wasi:config/store`.
    pub(super) fn config_value(&self, key: &str) -> Option<String> {
        self.config.get(key).cloned().or_else(|| self.secrets.get(key).map(revealed))
    }

    /// All pairs of `wasi:config/store`.
    pub(super) fn config_values(&self) -> Vec<(String, String)> {
        let plain = self.config.iter().map(|(key, value)| (key.clone(), value.clone()));
        plain.chain(self.secrets.iter().map(|(key, secret)| (key.clone(), revealed(secret)))).collect()
    }
}

/// A secret's text, as the plugin that was given it reads it.
fn revealed(secret: &Secret) -> String {
    String::from_utf8_lossy(&secret.bytes()).into_owned()
}
