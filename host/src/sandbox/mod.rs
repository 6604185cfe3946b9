//! The only user of wasmtime: it compiles components, tells what they are, and calls them under limits.
//!
//! Knows no sockets, site files or tenants. A call gets its limits, its context and its capabilities
//! from whoever makes it; what comes back is plain data, or a [`CallError`] that says whose fault it was.
//!
//! | file | owns |
//! |---|---|
//! | `artifact.rs`, `interface.rs` | an artifact's name and size; the interfaces by which a component is a plug |
//! | `process_limits.rs`, `refusal.rs` | the limits that the system has for this process; what it refused, told from what a guest did wrong |
//! | `space.rs`, `pool.rs` | how much address space there is; how many slots the pool has, and how large: pure arithmetic |
//! | `intake.rs` | what may be compiled at all: proposals, and bounds on what a component is made of |
//! | `bulk/` | a component whose bulk memory instructions do no more than a piece each |
//! | `configuration.rs` | wasmtime's configuration |
//! | `totals.rs`, `memory.rs` | what one call has used up of the limits that are sums; its memories and tables |
//! | `call.rs`, `call_error.rs` | the data of one call; the ways in which it ends without an answer |
//! | `output.rs`, `http.rs`, `wasi.rs`, `stored.rs` | what stands behind the imports: lines, requests to other servers, the WASI context, stored values |
//! | `state.rs` | the data of an instance's `Store` |
//! | `imports/` | thin bindings from WIT to the capability room, each over a view that borrows what it needs |
//! | `linker.rs` | every import, and what of a store's data it borrows |
//! | `fit.rs`, `wit.rs` | whether exports and imports have this host's types, and how types are written |
//! | `component.rs`, `component_error.rs`, `footprint.rs` | a compiled [`Component`]; why some bytes are none; what its instances begin with |
//! | `instances.rs`, `idle.rs` | the instances of one plugin of one revision: made for a call, kept for the next, let go |
//! | `engine.rs` | the [`Sandbox`]: engine, linker, waiting instances |
//! | `compiler/` | bytes → a [`Component`], in a child process with limits, or from the cache |
//! | `trial.rs` | a first instance of a component, before anybody calls it |
//! | `run.rs`, `streaming.rs` | calls whose messages are whole, and calls whose bodies are streams |
//!
//! A file imports only from those that stand above it in this table.

mod artifact;
mod bindings;
mod bulk;
mod call;
mod call_error;
mod compiler;
mod component;
mod component_error;
mod configuration;
mod engine;
mod fit;
mod footprint;
mod http;
mod idle;
mod imports;
mod instances;
pub mod intake;
mod interface;
mod linker;
mod memory;
mod output;
mod pool;
mod process_limits;
mod refusal;
mod run;
mod space;
mod state;
mod stored;
mod streaming;
mod totals;
mod trial;
mod wasi;
mod wit;

pub use artifact::{Digest, DigestError, Size};
pub use bindings::message;
pub use call::{Abilities, Call, Context};
pub use call_error::CallError;
pub use compiler::{
    CacheError, Compiler, CompilerProgram, CompilerSettings, Provenance, Task, compile_standard_input,
};
pub use component::{Component, Import, ImportRefused};
pub use component_error::{ComponentError, CoreModule};
pub use configuration::{CodeSettings, SandboxError};
pub use engine::{Sandbox, prepare_thread};
pub use footprint::Footprint;
pub use imports::{Need, has_no_body};
pub use instances::Instances;
pub use interface::Interface;
pub use pool::{PoolError, PoolSettings};
pub use process_limits::{DESCRIPTORS, PROCESSES, ProcessLimits};
pub use space::AddressSpace;
pub use streaming::{Answer, BodyFault, GuestBody, Rest, Streamed};

/// What is the same for every component and every call.
pub mod bounds {
    pub use super::configuration::WASM_STACK_BYTES;
    pub use super::http::{CALLS_AT_EASE, PIECE_BYTES, PIECE_BYTES_LATER};
    pub use super::imports::FIELD_BYTES;
    pub use super::pool::{CORE_INSTANCES_PER_COMPONENT, MEMORIES_PER_COMPONENT, TABLES_PER_COMPONENT};
    pub use super::state::MESSAGE_BYTES;
    pub use super::wasi::RANDOM_BYTES_AT_ONCE;
}
