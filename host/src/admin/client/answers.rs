//! The answers that the command line reads. Keys that are not known here are passed over, so that a later host can be
//! asked too.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::sandbox::Digest;

/// One page of a list.
#[derive(Debug, Clone, Deserialize)]
pub struct Page {
    /// The items.
    pub items: Vec<Value>,
    /// Where the next page begins; none on the last one.
    pub next: Option<String>,
}

/// What is live.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Rollout {
    /// The number of the rollout; 0 if nothing was live yet.
    pub number: u64,
    /// The live revision.
    #[serde(default, deserialize_with = "optional_digest")]
    pub live: Option<Digest>,
    /// The revision that was live before.
    #[serde(default, deserialize_with = "optional_digest")]
    pub previous: Option<Digest>,
    /// Who made it live.
    pub by: Option<String>,
    /// When.
    pub at: Option<String>,
    /// Why.
    pub why: Option<String>,
}

/// A revision that was kept, or would be, beside the one that it was compared with.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Published {
    /// The revision.
    #[serde(deserialize_with = "digest")]
    pub revision: Digest,
    /// Whether it may go live.
    pub state: State,
    /// The live revision.
    #[serde(default, deserialize_with = "optional_digest")]
    pub against: Option<Digest>,
    /// The difference between the two.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// Whether a revision may go live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It may.
    Ready,
    /// The operator has to approve it first.
    Held,
    /// The host has a word for it that is not known here.
    #[serde(other)]
    Other,
}

/// The difference between two revisions.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Comparison {
    /// All that differs.
    #[serde(default)]
    pub diff: Diff,
    /// What the later one may do and the earlier one may not.
    #[serde(default)]
    pub widens: Vec<Widening>,
}

/// All that differs between two revisions.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Diff {
    /// The plugins, by name.
    pub plugins: BTreeMap<String, Difference>,
    /// The limits, by plugin and name.
    pub limits: BTreeMap<String, BTreeMap<String, Difference>>,
    /// The grants, by plugin and name.
    pub grants: BTreeMap<String, BTreeMap<String, Difference>>,
    /// The routes.
    pub routes: Vec<Difference>,
}

/// The difference between a value before and after.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// The value is there only after.
    Added(Value),
    /// The value was there only before.
    Removed(Value),
    /// The value is another one after.
    Changed {
        /// The value before.
        from: Value,
        /// The value after.
        to: Value,
    },
}

/// One thing that a plugin may do and could not do before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Widening {
    /// The plugin.
    pub plugin: String,
    /// The kind of the thing: `grant`, `origin`, `import`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl Diff {
    /// True if nothing differs.
    pub fn is_empty(&self) -> bool {
        self.plugins.is_empty() && self.limits.is_empty() && self.grants.is_empty() && self.routes.is_empty()
    }
}

fn digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn optional_digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Digest>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}
