//! Blame: the party that has to act on an error. Metrics, access lines and logs carry it.

use std::fmt;

/// The party that has to act so that an error does not happen again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The caller: a malformed request, a body that is too large, a connection closed early.
    Client,
    /// The plugin: a trap, a returned error, an invalid answer, a limit of one call.
    Plugin,
    /// The tenant's quota or the plugin's queue: more work than was bought.
    Quota,
    /// The host itself.
    Host,
    /// A server that the plugin asked.
    Upstream,
}

impl Blame {
    /// All blames, in the order of their declaration.
    pub const ALL: [Self; 5] = [Self::Client, Self::Plugin, Self::Quota, Self::Host, Self::Upstream];

    /// The name in metrics, logs and diagnostics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Plugin => "plugin",
            Self::Quota => "quota",
            Self::Host => "host",
            Self::Upstream => "upstream",
        }
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
