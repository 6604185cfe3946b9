//! Outbound HTTP: the requests of plugins to the origins that they are granted, and to no others.
//!
//! Owns one client for the host and one for each plugin: origins, addresses, connections, bodies, budgets and
//! credentials. Leaves to the sandbox how a guest asks for a request, and to the site file's reader which origins a
//! plugin is granted.
//!
//! A request passes, in this order: its method; its origin, against the grants; the call's budget; the plugin's bound
//! on requests; its head's own fields; a connection, new or idle. A new connection passes the plugin's bound on
//! sockets, the lookup of the name, the check of every address, TCP to exactly the address that was checked, TLS for
//! the name. No step asks for anything that an earlier step has refused.

mod address;
#[cfg(test)]
mod answer_tests;
mod body;
mod budget;
mod client;
mod connect;
mod error;
mod fields;
#[cfg(test)]
mod loopback;
mod origin;
#[cfg(test)]
mod origin_tests;
mod outbound;
#[cfg(test)]
mod outbound_tests;
mod secret;

pub use address::{AddressPolicy, Prohibited};
pub use body::{RequestBody, ResponseBody};
pub use budget::OutboundBudget;
pub use client::{HttpClient, HttpClientError, HttpSettings};
pub use connect::MAX_CONNECT;
pub use error::OutboundError;
pub use fields::belongs_to_the_host;
pub use origin::{MAX_NAME_BYTES, Origin, OriginError, OriginHost, Scheme};
pub use outbound::{
    MAX_BETWEEN_BYTES, MAX_BUSY_CONNECTIONS, MAX_FIRST_BYTE, MAX_RESPONSE_FIELDS, MAX_RESPONSE_HEAD_BYTES,
    Outbound, Timeouts,
};
pub use secret::{Credential, CredentialError, Secret};
