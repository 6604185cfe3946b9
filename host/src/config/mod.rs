//! The site file: from text to [`Site`], or to everything that is wrong with it. A tenant file has the part of it that
//! one tenant may publish.
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
//! | `read`, `plugin` | the keys, their types and bounds |
//! | `value` | one TOML value: type, bounds; unknown and missing keys |
//! | `units`, `forms` | `"64MiB"`, `"50ms"`; addresses, origins, paths, methods |
//! | `similar` | "did you mean" |
//! | `resolve` | the checks between parts of the file; defaults |
//! | `edge` | the HTTP edge: listeners, certificates, proxies, timeouts |
//! | `allowance`, `ceilings` | grants and limits against what the operator allows |
//! | `limits` | the keys of limits and of their ceilings |
//! | `lists` | lists: each item once, and a bounded number |
//! | `routes` | the references of routes, and clashes between routes |
//! | `reuse` | whether a plugin's instances serve one call or several, and for how long |
//! | `secrets` | the secrets of a tenant, and the references from its plugins |
//! | `keys` | the keys of a text that another text leaves out |
//! | `site` | the result, that other rooms see |
//! | `spans` | the places of the result's parts in the text |
//! | `load` | the ways to get a site; the bound on the file |
//! | `tenant_file` | the document of one tenant in a file of its own |
//! | `findings` | the findings so far, a bounded number |
//! | `diagnostic`, `visible` | one finding, for people and for programs; text made safe to show |
//! | `schema` | the JSON Schema of the file |
//!
//! All faults are found in one go. A faulty part never hides faults elsewhere, and is never reported twice: after a
//! reader has returned `None`, no further finding is about that part. Of a text that is not TOML, only its parts are
//! checked, since missing ones may only have been lost.
//!
//! The file is read over the spanned tree of `toml`, and not by a derive of serde, which stops at the first error. The
//! price: each key is named in `document` and where it is read, which a test compares.
//!
//! No file but the site file itself is opened here. A fault that is found later, such as a missing component, is
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
mod tenant_file;
#[cfg(test)]
mod tenant_file_tests;
#[cfg(test)]
mod tests;
mod units;
mod value;
mod visible;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use findings::Findings;
pub use plugin::{MAX_CONFIG_BYTES, MAX_CREDENTIALS, MAX_ORIGINS};
pub use read::{MAX_HOSTS, MAX_PARTS, MAX_ROUTES};
pub use resolve::DEFAULT_CONCURRENCY;
pub use schema::json_schema;
pub use site::{
    HostSettings, ListenAddress, ListenSite, OutboundSettings, ProxySettings, SecretSource, ServerName, Site,
    SocketMode, TenantSettings, Timeouts, TlsSite,
};
pub use source::{Source, Span};
pub use spans::{PairSpans, Spans};
pub use tenant_file::TenantFile;
pub use units::{written, written_size, written_time};
