//! Sockets: from an address to requests, and the life of a connection in between.
//!
//! Addresses are bound before anything else is ready and served last: so a taken port is reported before the first
//! compile, and a failed start leaves nothing half open.
//!
//! | file | owns |
//! |---|---|
//! | `server`, `shutdown` | the server, and its shutdown |
//! | `accept`, `arrival` | a connection from its acceptance to the HTTP on it |
//! | `socket/` | addresses, slots for connections, the PROXY protocol's header, the wire that paces clients; no HTTP |
//! | `tls/` | the TLS below HTTP, and its certificates |
//! | `http/` | HTTP on one connection: read strictly, checked, its deadlines; no sockets |
//! | `probes` | `/livez`, `/readyz`, `/metrics` |
//! | `settings`, `bounds` | the bounds of connections that an operator sets, and the fixed ones |
//!
//! Each stands above what it uses: `socket`, then `http`, then `tls`, then `arrival`, `accept` and `server`.

mod accept;
mod arrival;
pub mod bounds;
mod http;
mod probes;
mod server;
mod settings;
mod shutdown;
mod socket;
mod tls;

pub use self::http::{ForwardedFields, TrustedProxies};
pub use probes::{Probes, Readiness};
pub use server::Server;
pub use settings::Settings;
pub use socket::{
    Address, BindError, Inherited, InheritedError, Listener, Permissions, Preamble, Stream, customer,
    group_id,
};
pub use tls::{Certificates, Pair, PairError, PairFiles, Part, Tls, TlsError};
