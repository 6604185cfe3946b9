//! A place in a tenant document, by the item that stands there. The writer of the document knows the item's position
//! in the source.

use std::fmt;

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
    /// The route with this index.
    Route(usize),
    /// The plugin of the route with this index.
    RoutePlugin(usize),
    /// The source of a secret's value.
    Secret(SecretName),
}

/// The place as a pointer into the JSON form of the document (RFC 6901). Secrets are beside it, under `/secrets`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document => Ok(()),
            Self::Plugin(plugin) => write!(f, "/plugins/{plugin}"),
            Self::Component(plugin) => write!(f, "/plugins/{plugin}/component"),
            Self::Mount(plugin, mount) => {
                let mount = mount.to_string().replace('~', "~0").replace('/', "~1");
                write!(f, "/plugins/{plugin}/mounts/{mount}")
            }
            Self::Filter { route, filter } => write!(f, "/routes/{route}/filters/{filter}"),
            Self::Route(route) => write!(f, "/routes/{route}"),
            Self::RoutePlugin(route) => write!(f, "/routes/{route}/plugin"),
            Self::Secret(secret) => write!(f, "/secrets/{secret}"),
        }
    }
}
