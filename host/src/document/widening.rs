//! What a document may do and another may not: grants, origins and imports, plugin by plugin. People look at this
//! first before they let a revision go live.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{PluginSpec, TenantDocument};
use crate::tenant::PluginName;

/// A capability that a plugin of one document has and the plugin of this name in another has not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Widening {
    /// The plugin.
    pub plugin: PluginName,
    /// The kind of the capability.
    pub kind: WideningKind,
    /// The grant, the origin, or the imported interface.
    pub name: String,
}

/// A kind of capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WideningKind {
    /// A grant.
    Grant,
    /// An origin that the plugin may send requests to.
    Origin,
    /// An interface that the plugin's component imports.
    Import,
}

/// The imports of each plugin's component.
type Imports = BTreeMap<PluginName, BTreeSet<String>>;

impl TenantDocument {
    /// What this document may do and `before` may not. The imports are those of both documents' components.
    pub fn widens(&self, imports: &Imports, before: &Self, imports_before: &Imports) -> Vec<Widening> {
        let mut widenings = Vec::new();
        for (name, plugin) in &self.plugins {
            let had = before.plugins.get(name).map(capabilities).unwrap_or_default();
            let imported = |imports: &Imports| {
                let names = imports.get(name).into_iter().flatten();
                names.map(|import| (WideningKind::Import, import.clone())).collect::<BTreeSet<_>>()
            };
            let has = capabilities(plugin).into_iter().chain(imported(imports));
            let before = had.into_iter().chain(imported(imports_before)).collect::<BTreeSet<_>>();
            let more = has.filter(|capability| !before.contains(capability));
            widenings.extend(more.map(|(kind, what)| Widening { plugin: name.clone(), kind, name: what }));
        }
        widenings
    }
}

fn capabilities(plugin: &PluginSpec) -> BTreeSet<(WideningKind, String)> {
    let grants = [
        ("keyvalue", plugin.grants.keyvalue),
        ("keyvalue-shared", plugin.grants.keyvalue_shared),
        ("limiter", plugin.grants.limiter),
    ];
    let grants = grants.into_iter().filter(|(_, is_granted)| *is_granted);
    let grants = grants.map(|(grant, _)| (WideningKind::Grant, grant.to_owned()));
    let origins = plugin.http.iter().map(|origin| (WideningKind::Origin, origin.to_string()));
    grants.chain(origins).collect()
}
