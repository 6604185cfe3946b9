//! Jackfield: an HTTP host for WebAssembly plugins.

// Nothing that a guest, a caller or an operator can send may make the host panic.
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

pub mod capability;
pub mod command;
pub mod config;
pub mod deploy;
pub mod host;
pub mod listen;
pub mod observe;
pub mod request;
pub mod sandbox;
pub mod snapshot;
pub mod store;
pub mod tenant;
