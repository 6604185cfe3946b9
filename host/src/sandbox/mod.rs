//! The sandbox, the only user of wasmtime: it compiles components, tells their plugs and imports, and calls them
//! under limits.
//!
//! Knows no sockets, site files or tenants. A call gets its limits, its context and its capabilities from its caller.
//! Its result is plain data, or a [`CallError`] that says whose fault it was.
//!
//! | file | owns |
//! |---|---|
//! | `artifact.rs`, `interface.rs` | an artifact's name and size; the interfaces by which a component is a plug |
//! | `process_limits.rs`, `refusal.rs` | the system's limits for this process; its refusals, told from a guest's faults |
//! | `space.rs`, `pool.rs` | the address space that may be reserved; the number and size of slots: pure arithmetic |
//! | `intake.rs` | the check before compiling: proposals, and bounds on a component's parts |
//! | `rewrite/` | the changes to a component's code before it is compiled |
//! | `configuration.rs` | wasmtime's configuration |
//! | `totals.rs`, `memory.rs` | the use that one call has made of the limits that are sums; its memories and tables |
//! | `call.rs`, `call_error.rs` | the data of one call; the ways in which it ends without an answer |
//! | `output.rs`, `http.rs`, `wasi.rs`, `stored.rs`, `files.rs` | the state behind the imports: lines, requests, WASI, stored values, files |
//! | `state.rs` | the data of an instance's `Store` |
//! | `imports/` | thin bindings from WIT to the capability room, each over a view that borrows its part of the state |
//! | `linker.rs` | every import, and the part of a store's data that it borrows |
//! | `fit.rs`, `wit.rs` | the comparison of exports and imports with this host's types, and the text of types |
//! | `component_error.rs`, `footprint.rs`, `description.rs` | why bytes are no component; an instance's initial size; all that is known of a component without its code |
//! | `ready.rs`, `code.rs` | code that can be called; the code of a live component, in memory while calls need it |
//! | `component.rs` | a compiled [`Component`]: its description, and the way to its code |
//! | `instances.rs`, `idle.rs` | the instances of one plugin of one revision: made, kept for the next call, let go |
//! | `engine.rs` | the [`Sandbox`]: engine, linker, waiting instances |
//! | `compiler/` | bytes → a [`Component`], in a child process with limits, or from the cache |
//! | `trial.rs` | a first instance of a component, before anybody calls it |
//! | `run.rs`, `streaming.rs` | calls whose messages are whole, and calls whose bodies are streams |
//!
//! A file imports only from those that stand above it in this table.

mod artifact;
mod bindings;
mod call;
mod call_error;
mod code;
mod compiler;
mod component;
mod component_error;
mod configuration;
mod description;
mod engine;
mod files;
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
mod ready;
mod refusal;
mod restore;
mod rewrite;
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
pub use component::{Component, ImportRefused};
pub use component_error::{ComponentError, CoreModule};
pub use configuration::{CodeSettings, SandboxError};
pub use description::Import;
pub use engine::{Sandbox, prepare_process, prepare_thread};
pub use footprint::Footprint;
pub use imports::{Need, has_no_body};
pub use instances::Instances;
pub use interface::Interface;
pub use pool::{PoolError, PoolSettings};
pub use process_limits::{DESCRIPTORS, PROCESSES, ProcessLimits};
pub use space::AddressSpace;
pub use streaming::{Answer, BodyFault, GuestBody, Rest, Streamed};

/// The bounds that are the same for every component and every call.
pub mod bounds {
    pub use super::configuration::WASM_STACK_BYTES;
    pub use super::http::{CALLS_AT_EASE, PIECE_BYTES, PIECE_BYTES_LATER};
    pub use super::imports::FIELD_BYTES;
    pub use super::pool::{
        CORE_INSTANCES_PER_COMPONENT, MEMORIES_PER_COMPONENT, RESTORED_MEMORY_BYTES, TABLES_PER_COMPONENT,
    };
    pub use super::restore::{MAX_IMAGE_BYTES, MAX_IMAGES_BYTES};
    pub use super::state::MESSAGE_BYTES;
    pub use super::wasi::RANDOM_BYTES_AT_ONCE;
}
