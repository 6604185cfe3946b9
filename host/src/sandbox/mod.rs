//! The only user of wasmtime: it compiles components, tells what they are, and calls them under limits.
//!
//! Knows no sockets, site files or tenants. A call gets its limits, its context and its capabilities
//! from whoever makes it; what comes back is plain data, or a [`CallError`] that says whose fault it was.
//!
//! | file | owns |
//! |---|---|
//! | `engine.rs` | the wasmtime engine, the linker |
//! | `ticker.rs` | the epoch's ticks, and their rest while no guest runs |
//! | `pool.rs` | how many slots the pool has, and how large: pure arithmetic |
//! | `space.rs` | how much address space there is for it |
//! | `process_limits.rs` | the limits that the system has for this process |
//! | `intake.rs` | what may be compiled at all: proposals, and bounds on what a component is made of |
//! | `compiler/` | bytes → a [`Component`], in a child process with limits, or from the cache |
//! | `bulk/` | a component whose bulk memory instructions do no more than a piece each |
//! | `component.rs` | what a [`Component`] is: its plugs, its imports, what it lacks |
//! | `fit.rs`, `wit.rs` | whether its exports and imports have this host's types, and how types are written |
//! | `trial.rs` | a first instance of a component, before anybody calls it |
//! | `refusal.rs` | what the system refused, told from what a guest did wrong |
//! | `footprint.rs` | what an instance of a component begins with |
//! | `compute/` | threads for guests that compute on, which the kernel keeps behind all others |
//! | `instances.rs` | the instances of one plugin of one revision: made for a call, kept for the next, let go |
//! | `idle.rs` | the book of those that wait, over the whole host |
//! | `call.rs` | one call: its instance, its limits, its end |
//! | `stream.rs` | a call whose message bodies are streams: until its answer's head, and what it does after it |
//! | `meter.rs` | CPU time of a call, by the thread's clock |
//! | `output.rs` | what a call prints and logs, under one budget |
//! | `totals.rs` | what one call has used up of the limits that are sums, and its tables |
//! | `state.rs` | what one instance may touch, and what of it is its call's: memory account, context, capabilities |
//! | `imports/` | thin bindings from WIT to the capability room |

mod bindings;
mod bulk;
mod call;
mod compiler;
mod component;
mod compute;
mod engine;
mod fit;
mod footprint;
mod idle;
mod imports;
mod instances;
pub mod intake;
mod meter;
mod output;
mod pool;
mod process_limits;
mod refusal;
mod space;
mod state;
mod stream;
mod ticker;
mod totals;
mod trial;
mod wit;

pub use bindings::message;
pub use call::{Call, CallError, Called};
pub use compiler::{
    CacheError, Compiler, CompilerProgram, CompilerSettings, Provenance, Task, compile_standard_input,
};
pub use component::{
    Component, ComponentError, CoreModule, Digest, DigestError, Import, ImportRefused, Interface, Size,
};
pub use compute::{Compute, Habit, Run, stay_ordinary};
pub use engine::{CodeSettings, Sandbox, SandboxError};
pub use footprint::Footprint;
pub use imports::{Need, has_no_body};
pub use instances::Instances;
pub use meter::Meter;
pub use pool::{PoolError, PoolSettings};
pub use process_limits::{DESCRIPTORS, PROCESSES, ProcessLimits};
pub use space::AddressSpace;
pub use state::{Abilities, Context};
pub use stream::{Answer, BodyFault, GuestBody, Rest, Streamed};

/// What is the same for every component and every call.
pub mod bounds {
    pub use super::call::MESSAGE_BYTES;
    pub use super::engine::WASM_STACK_BYTES;
    pub use super::imports::{
        CALLS_AT_EASE, FIELD_BYTES, PIECE_BYTES, PIECE_BYTES_LATER, RANDOM_BYTES_AT_ONCE,
    };
    pub use super::pool::{CORE_INSTANCES_PER_COMPONENT, MEMORIES_PER_COMPONENT, TABLES_PER_COMPONENT};
}
