//! A place in a tenant document, by the item that stands there. The writer of the document knows the item's position
//! in the source.

use crate::capability::files::MountName;
use crate::tenant::{PluginName, SecretName};

/// A place in a document, or in the values that are given with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The document as a whole.
    Document,
    /// The name of a plugin.
    Plugin(PluginName),
    /// The component of a plugin.
    Component(PluginName),
    /// A folder that a plugin may read.
    Mount(PluginName, MountName),
    /// A filter of a route, both by their index.
    Filter {
        /// The route.
        route: usize,
        /// The filter.
        filter: usize,
    },
    /// The plugin of the route with this index.
    RoutePlugin(usize),
    /// The source of a secret's value.
    Secret(SecretName),
}
