//! Sockets: addresses and listeners, slots for connections, and the wire of each. Nothing here knows HTTP.
//!
//! | file | owns |
//! |---|---|
//! | `address` | an address, and the protocols that come before HTTP there |
//! | `bind`, `inherited`, `listener` | sockets that listen, made here or handed over |
//! | `slots` | the bounds on connections, in all and of one client |
//! | `proxy_protocol` | the header in which a proxy names the client |
//! | `wire`, `first_bytes`, `pace`, `handle` | one client's socket, paced, and closed in two steps |

mod address;
pub(super) mod bind;
mod first_bytes;
mod handle;
mod inherited;
mod listener;
mod pace;
mod proxy_protocol;
mod slots;
mod wire;

pub use address::{Address, Preamble};
pub use bind::{BindError, Permissions, group_id};
pub(super) use first_bytes::FirstBytes;
pub(super) use handle::{WireCommand, WireEvent, WireHandle, WireSigns, Writing};
pub use inherited::{Inherited, InheritedError};
pub use listener::{Listener, Stream};
pub(super) use pace::Pace;
pub(super) use proxy_protocol::{ConnectionOwner, read as read_proxy_header};
pub(super) use slots::ConnectionSlots;
pub use slots::customer;
pub(super) use wire::Wire;
