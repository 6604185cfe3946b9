//! HTTP on one connection. Nothing here knows sockets beyond the wire's handle.
//!
//! | file | owns |
//! |---|---|
//! | `connection` | a connection from its first bytes to its end |
//! | `phase`, `activity` | the connection's phases and deadlines, and the signs of life behind them |
//! | `protocol` | the version of HTTP on a connection |
//! | `http1`, `scan/` | HTTP/1 read strictly, before hyper reads it |
//! | `http2` | the frames of an HTTP/2 client that ask for nothing |
//! | `service` | a request between hyper and the room `request` |
//! | `gate` | the requests that hyper lets through, and HTTP does not |
//! | `forwarded` | the caller of a request, as trusted proxies name it |
//! | `write_turn` | the moment at which a connection writes |
//! | `request_body`, `response_body` | a request body that is not read, a response body that the client does not take |

mod activity;
mod connection;
mod forwarded;
mod gate;
mod http1;
mod http2;
mod phase;
mod protocol;
mod request_body;
mod response_body;
mod scan;
mod service;
mod write_turn;

pub(super) use connection::Connection;
pub use forwarded::{ForwardedFields, TrustedProxies};
pub(super) use protocol::Protocol;
