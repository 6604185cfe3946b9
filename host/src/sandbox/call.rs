//! The data of one call: its limits, the facts about its request, and what its plugin was granted.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use crate::capability::http::{Outbound, Secret};
use crate::capability::{KeyValue, Limiter};
use crate::cpu::CpuTask;
use crate::limits::Limits;
use crate::observe::PluginLog;

/// A call, but for its message.
pub struct Call {
    /// The limits of its plugin.
    pub limits: Arc<Limits>,
    /// The moment by which it must have ended: by `wall`, or what its request has left of that.
    pub deadline: Instant,
    /// The facts about its request.
    pub context: Arc<Context>,
    /// What its plugin was granted.
    pub abilities: Arc<Abilities>,
    /// Where its lines go.
    pub log: PluginLog,
    /// The call as the CPU sees it, which bills its guest and gives it turns.
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
    /// Host and port as the caller asked for them.
    pub authority: Arc<str>,
    /// The pattern of the route.
    pub route: Arc<str>,
    /// The pattern's captures, decoded.
    pub captures: Vec<(Arc<str>, String)>,
}

/// What a plugin was granted, with the state behind it; shared by all its calls.
#[derive(Clone)]
pub struct Abilities {
    /// The plugin's own name, as `jackfield:plugin/context` tells it.
    pub plugin: Arc<str>,
    /// `wasi:config/store`.
    pub config: BTreeMap<String, String>,
    /// Of its keys, those whose values are secrets.
    pub secrets: BTreeMap<String, Secret>,
    /// `wasi:keyvalue`, if granted.
    pub keyvalue: Option<KeyValue>,
    /// `jackfield:plugin/limiter`, if granted.
    pub limiter: Option<Arc<Limiter>>,
    /// `wasi:http/outgoing-handler`, if any origin is granted.
    pub http: Option<Outbound>,
}

impl Abilities {
    /// What `wasi:config/store` has under this key.
    pub(super) fn config_value(&self, key: &str) -> Option<String> {
        self.config.get(key).cloned().or_else(|| self.secrets.get(key).map(revealed))
    }

    /// All that it has.
    pub(super) fn config_values(&self) -> Vec<(String, String)> {
        let plain = self.config.iter().map(|(key, value)| (key.clone(), value.clone()));
        plain.chain(self.secrets.iter().map(|(key, secret)| (key.clone(), revealed(secret)))).collect()
    }
}

/// A secret as the plugin that was given it may read it.
fn revealed(secret: &Secret) -> String {
    String::from_utf8_lossy(&secret.bytes()).into_owned()
}
