//! The client of the admin API: what the command line asks a host.
//!
//! ```text
//! address, token ──▶ connect ──▶ Client::call ──▶ an answer, or a ClientError
//!                                    ▲
//!               calls: one method a call of the API; follow: events as they happen
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `address.rs` | the address of a host, and whether a token may be sent there |
//! | `token.rs` | a token that is never shown |
//! | `connect.rs` | sockets and TLS |
//! | `call.rs` | one request and its answer, within its time |
//! | `calls.rs` | the calls of the API |
//! | `answers.rs` | the answers that the command line reads |
//! | `problem.rs` | the ways in which a call fails |
//! | `upload.rs` | the digest of a file, and its bytes as the body of a request |
//! | `events.rs` | server-sent events, from bytes |
//! | `follow.rs` | events as they happen, over broken connections |
//!
//! Each call has a connection of its own and a deadline; following events has none. Knows nothing of arguments and of
//! printing.

mod address;
mod answers;
mod call;
mod calls;
mod connect;
mod events;
mod follow;
mod problem;
#[cfg(test)]
mod tests;
mod token;
mod upload;

pub use address::{AddressError, HostAddress};
pub use answers::{Comparison, Diff, Difference, Page, Published, Rollout, State, Widening};
pub use call::{Answer, Client};
pub use calls::{TenantCalls, Tokens};
pub use connect::{AuthoritiesError, authorities};
pub use events::Event;
pub use follow::Follow;
pub use problem::{ClientError, Problem, Reason};
pub use token::{Token, TokenError};
pub use upload::{Upload, survey};
