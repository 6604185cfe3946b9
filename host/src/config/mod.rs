//! The site file: from text to [`Site`], and everything that can be said against it.
//!
//! ```text
//! site.toml ── source ──▶ text ── read ──▶ document ── resolve ──▶ Site
//!                                  │                      │
//!                                  └──▶ Diagnostics ◀─────┘
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `source` | the text, its lines and columns |
//! | `document` | the file as written, one type a table; the words of the JSON Schema |
//! | `read`, `plugin` | which keys there are |
//! | `value` | one TOML value: type, bounds; unknown and missing keys |
//! | `units`, `forms` | `"64MiB"`, `"50ms"`; addresses, origins, paths, methods |
//! | `similar` | "did you mean" |
//! | `resolve` | what parts of the file say of one another; defaults |
//! | `edge` | the HTTP edge: listeners, certificates, proxies, timeouts |
//! | `allowance`, `ceilings` | grants and limits against what the operator allows |
//! | `limits` | the keys of limits and of their ceilings |
//! | `lists` | lists: each thing once, and at most so many |
//! | `routes` | what routes name, and which of them clash |
//! | `reuse` | whether a plugin's instances serve one call or several, and how long |
//! | `secrets` | what plugins name of their tenant's secrets |
//! | `keys` | which keys a text has that another leaves out |
//! | `site` | the result, that other rooms see |
//! | `spans` | where in the text the parts of the result stand |
//! | `load` | the ways to get one; the bound on the file |
//! | `findings` | what was found so far, a bounded number |
//! | `diagnostic`, `visible` | one finding, for people and for programs; what is safe to show |
//! | `schema` | the JSON Schema of the file |
//!
//! All that is wrong is found in one go. A piece that is wrong never hides what is wrong elsewhere, and is never
//! reported twice: after a reader has answered `None`, nobody speaks of that piece again. Of a text that is not TOML,
//! only its parts are checked, since what is missing there may only have been lost.
//!
//! No file but the site file itself is opened here. What is found later, such as a component that is missing, is
//! reported at its place in the file by [`Source::diagnostic`] and [`Spans`].

mod allowance;
mod ceilings;
mod diagnostic;
mod document;
mod edge;
mod findings;
mod forms;
#[cfg(test)]
mod id_tests;
mod keys;
mod limits;
mod lists;
mod load;
mod plugin;
mod read;
mod resolve;
mod reuse;
mod routes;
mod schema;
mod secrets;
mod similar;
mod site;
mod source;
mod spans;
#[cfg(test)]
mod tests;
mod units;
mod value;
mod visible;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use findings::Findings;
pub use plugin::MAX_CONFIG_BYTES;
pub use resolve::DEFAULT_CONCURRENCY;
pub use schema::json_schema;
pub use site::{
    HostSettings, ListenAddress, ListenSite, OutboundSettings, ProxySettings, SecretSource, ServerName, Site,
    SocketMode, TenantSettings, Timeouts, TlsSite,
};
pub use source::{Source, Span};
pub use spans::{PairSpans, Spans};
pub use units::{written, written_size, written_time};
