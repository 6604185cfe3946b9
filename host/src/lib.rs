//! Jackfield: an HTTP host for WebAssembly plugins, as a library of rooms.
//!
//! | room | owns |
//! |---|---|
//! | [`command`] | the command line |
//! | [`host`] | the composition root: the one place that knows every room |
//! | [`config`] | the site file, and everything that is wrong with it |
//! | [`document`] | one tenant's plugins and routes, as a value |
//! | [`admin`] | the admin API |
//! | [`deploy`] | from a site to a live snapshot, and again at every change |
//! | [`admin`] | the admin API: who may ask, and the JSON of questions and answers |
//! | [`listen`] | sockets, the protocol gate, the life of a connection, the probes |
//! | [`request`] | the one path of a request |
//! | [`snapshot`] | the state that requests run on: hosts, routes, chains, plugins |
//! | [`cpu`] | the CPU: which guest computes, when, on which thread, and on whose share |
//! | [`sandbox`] | the WebAssembly engine: compiles components, calls them under limits |
//! | [`capability`] | the capabilities that a plugin may be granted |
//! | [`store`] | the data that survives a crash |
//! | [`limits`] | the one table of a plugin's limits |
//! | [`tenant`] | names, quotas, and the gates that hold calls to them and to limits |
//! | [`observe`] | log, access log, metrics |
//! | [`stamp`] | the stamp of a file, by which a change is seen without reading the file |
//! | [`confine`] | the rights in the system that the process itself gives up |
//! | [`reference`](mod@reference) | `docs/limits.md`: every limit and bound, as the code has it |
//!
//! `docs/ARCHITECTURE.md` has the arrows between them, the life of a request and of a change, and the
//! invariants.

// No input of a guest, a caller or an operator may make the host panic.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

pub mod admin;
pub mod capability;
pub mod command;
pub mod config;
pub mod confine;
pub mod cpu;
pub mod deploy;
pub mod document;
pub mod host;
pub mod limits;
pub mod listen;
pub mod observe;
pub mod reference;
pub mod request;
pub mod sandbox;
pub mod snapshot;
pub mod stamp;
pub mod store;
pub mod tenant;
