//! A place in a tenant document, by what stands there: whoever wrote the document knows where that is.

use crate::tenant::{PluginName, SecretName};

/// A place in a document, or in what is given with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The document as a whole.
    Document,
    /// The name of a plugin.
    Plugin(PluginName),
    /// The component of a plugin.
    Component(PluginName),
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
