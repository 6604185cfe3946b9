//! The tenant document: the plugins of one tenant and the routes to them, as a value.
//!
//! A document is compared, stored, read back and diffed, wherever it came from. Its JSON form has the keys of the
//! site file, sizes in bytes, durations in nanoseconds, and leaves defaults out. The things that a document names are
//! not looked up here: it knows no file, no component and no value of a secret.
//!
//! | file | owns |
//! |---|---|
//! | `plugin.rs` | a plugin: its component, grants, limits, configuration, credentials |
//! | `route.rs` | a route: the requests that it takes, and the plugins that they go to |
//! | `diff.rs` | the difference between two documents |
//! | `place.rs` | a place in a document, by the item that stands there |
//! | `reuse.rs` | the JSON form of `reuse` |
//! | `tenant.rs` | the operator's part of a tenant, beside its document |
//! | `widening.rs` | what a document may do and another may not |
//! | `text.rs` | the JSON form of values that are written as texts |

mod diff;
mod place;
mod plugin;
mod reuse;
mod route;
mod tenant;
#[cfg(test)]
mod tenant_tests;
#[cfg(test)]
mod tests;
mod text;
mod widening;

pub use diff::{Diff, Difference};
pub use place::Place;
pub use plugin::{ComponentRef, ConfigValue, CredentialSpec, PluginSpec, SecretRef};
pub use route::RouteSpec;
pub use tenant::{AllowedGrants, Approval, TenantQuota, TenantSpec};
pub use widening::{Widening, WideningKind};

use std::collections::BTreeMap;

use canon_json::CanonJsonSerialize;
use serde::{Deserialize, Serialize};

use crate::sandbox::Digest;
use crate::tenant::PluginName;

/// The document of one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantDocument {
    /// The plugins.
    #[serde(default)]
    pub plugins: BTreeMap<PluginName, PluginSpec>,
    /// The routes. No request depends on their order.
    #[serde(default)]
    pub routes: Vec<RouteSpec>,
}

impl TenantDocument {
    /// The same document with its components by digest: a plugin that is among `artifacts` runs the artifact of that
    /// digest.
    pub fn with_artifacts(&self, artifacts: &BTreeMap<PluginName, Digest>) -> Self {
        let mut document = self.clone();
        for (name, plugin) in &mut document.plugins {
            if let Some(digest) = artifacts.get(name) {
                plugin.component = ComponentRef::Artifact(*digest);
            }
        }
        document
    }

    /// The digest of the document's RFC 8785 form, in which the order of writing does not matter. The digest names a
    /// revision once all components are digests, and is the same on every host.
    pub fn id(&self) -> Digest {
        Digest::of(&canonical(&self.in_order()))
    }

    /// The same document in the one order that its id is made of: every list whose order means nothing is sorted.
    fn in_order(&self) -> Self {
        let mut document = self.clone();
        document.plugins.values_mut().for_each(PluginSpec::put_in_order);
        document.routes.iter_mut().for_each(RouteSpec::put_in_order);
        document.routes.sort_by_cached_key(canonical);
        document
    }
}

/// The RFC 8785 form: no white space, keys in the order of their UTF-16 units. Integers beyond 2⁵³, for which RFC
/// 8785 has no form, are written in full.
fn canonical(value: &impl Serialize) -> Vec<u8> {
    // The serializer refuses only NaN, infinities and keys that are no text, and a document has none of these.
    value.to_canon_json_vec().unwrap_or_default()
}
