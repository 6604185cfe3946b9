//! The difference between two tenant documents: plugins, routes, limits and grants that were added, removed or
//! changed, each with its value before and after.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{PluginSpec, RouteSpec, TenantDocument};
use crate::tenant::PluginName;

/// The difference between two documents; empty if they are one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Diff {
    /// The plugins that differ.
    pub plugins: BTreeMap<PluginName, Difference<PluginSpec>>,
    /// The limits that differ, by plugin and name. A limit that a document leaves out is absent there.
    pub limits: BTreeMap<PluginName, BTreeMap<String, Difference<Value>>>,
    /// The grants that differ, by plugin and name.
    pub grants: BTreeMap<PluginName, BTreeMap<String, Difference<Value>>>,
    /// The routes that differ. Two routes that take the same requests are one route, whatever they lead to.
    pub routes: Vec<Difference<RouteSpec>>,
}

/// The difference between a value before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Difference<T> {
    /// The value is there only after.
    Added(T),
    /// The value was there only before.
    Removed(T),
    /// The value is another one after.
    Changed {
        /// The value before.
        from: T,
        /// The value after.
        to: T,
    },
}

impl TenantDocument {
    /// The difference between this document and a later one.
    pub fn diff(&self, later: &Self) -> Diff {
        let (from, to) = (self.in_order(), later.in_order());
        let routes = differences(&from.routes_by_match(), &to.routes_by_match());
        Diff {
            limits: from.differences_in("limits", &to),
            grants: from.differences_in("grants", &to),
            plugins: differences(&from.plugins, &to.plugins),
            routes: routes.into_values().collect(),
        }
    }

    /// The differences in one table of each plugin, by the table's keys. A plugin that is absent has none of the
    /// keys.
    fn differences_in(
        &self,
        table: &str,
        later: &Self,
    ) -> BTreeMap<PluginName, BTreeMap<String, Difference<Value>>> {
        let keys = |document: &Self, name| -> BTreeMap<String, Value> {
            let plugin = document.plugins.get(name).and_then(|plugin| serde_json::to_value(plugin).ok());
            let table = plugin.as_ref().and_then(|plugin| plugin.get(table)?.as_object());
            table.cloned().unwrap_or_default().into_iter().collect()
        };
        let names = self.plugins.keys().chain(later.plugins.keys());
        let different = names.filter_map(|name| {
            let different = differences(&keys(self, name), &keys(later, name));
            (!different.is_empty()).then(|| (name.clone(), different))
        });
        different.collect()
    }

    /// The routes, by the requests that they take.
    fn routes_by_match(&self) -> BTreeMap<String, RouteSpec> {
        let routes = self.routes.iter().map(|route| {
            let mut taken = serde_json::to_value(route).unwrap_or_default();
            if let Some(taken) = taken.as_object_mut() {
                taken.retain(|key, _| !["filters", "plugin", "compression"].contains(&key.as_str()));
            }
            (taken.to_string(), route.clone())
        });
        routes.collect()
    }
}

impl Diff {
    /// True if the documents are one revision.
    pub fn is_empty(&self) -> bool {
        // Limits and grants are parts of plugins.
        self.plugins.is_empty() && self.routes.is_empty()
    }
}

fn differences<K: Ord + Clone, V: PartialEq + Clone>(
    from: &BTreeMap<K, V>,
    to: &BTreeMap<K, V>,
) -> BTreeMap<K, Difference<V>> {
    let gone = from.iter().filter(|(key, _)| !to.contains_key(*key));
    let gone = gone.map(|(key, value)| (key.clone(), Difference::Removed(value.clone())));
    let there = to.iter().filter_map(|(key, value)| {
        let difference = match from.get(key) {
            None => Difference::Added(value.clone()),
            Some(before) if before == value => return None,
            Some(before) => Difference::Changed { from: before.clone(), to: value.clone() },
        };
        Some((key.clone(), difference))
    });
    gone.chain(there).collect()
}
