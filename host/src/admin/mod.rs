//! The admin API: tenants are made, and publish by themselves, while the host serves. `docs/admin-api.md` says what each
//! call does.
//!
//! Owns the sockets of the API, who may ask, and the JSON of questions and answers. Leaves each change to the control
//! plane (`deploy`), which says what is refused and when a change is answered.
//!
//! ```text
//! accept ─▶ TLS ─▶ gate: Host, Origin, token ─▶ route ─▶ call ─▶ control plane
//!  server            gate        tokens          routes   calls/        │
//!                                                 answer or problem ◀───┘
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `server.rs`, `connection.rs`, `settings.rs` | the server, and the life of its connections |
//! | `gate.rs`, `logins.rs` | who may ask, and clients that have failed too often |
//! | `tokens.rs` | tokens: their records, and their check |
//! | `routes.rs`, `api.rs` | the calls by path, and what they share |
//! | `caller.rs`, `extract.rs`, `body.rs`, `query.rs`, `condition.rs` | the parts of a request |
//! | `problem.rs`, `answer.rs` | the answers |
//! | `calls/` | a file for each subject |
//! | `schema/`, `openapi.rs` | the OpenAPI document |
//! | `client/` | the API as the command line asks it |

mod answer;
mod api;
mod body;
mod caller;
mod calls;
pub mod client;
mod condition;
mod connection;
mod extract;
mod gate;
mod logins;
mod openapi;
mod problem;
mod query;
mod routes;
mod schema;
mod server;
mod settings;
mod tokens;

pub use routes::document as openapi;
pub use server::AdminServer;
pub use settings::AdminSettings;
