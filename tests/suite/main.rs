//! The suite: what Jackfield promises, in its users' words, through a real socket.

mod admin;
mod asking;
mod bookstore;
mod bounds;
mod browser;
mod capabilities;
mod chain;
mod changes;
mod clients;
mod commands;
mod compression;
#[cfg(target_os = "linux")]
mod confine;
mod conformance;
mod deadlines;
mod descriptors;
mod early;
mod fairness;
#[cfg(target_os = "linux")]
mod faults;
mod gate;
mod half_close;
mod hostile;
mod house;
mod intake;
mod languages;
mod life;
mod limits;
mod misfits;
mod mounts;
mod neighbours;
mod new;
mod observe;
mod on_demand;
mod outbound;
#[cfg(target_os = "linux")]
mod paged_out;
mod publish;
mod publishing;
mod random;
mod rate_limit;
mod redirect;
mod reference;
mod remote;
mod reuse;
mod routing;
mod sandbox;
mod sockets;
mod static_files;
mod stream_abuse;
mod streaming;
mod swap;
mod takeover;
mod tls;
mod wasi_http;
mod watching;
