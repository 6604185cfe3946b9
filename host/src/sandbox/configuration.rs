//! wasmtime's configuration: the settings of compiled code, and the pool that it runs in.
//!
//! * The pooling allocator keeps slots mapped: a fresh instance for each call is affordable only if memory is not
//!   mapped and zeroed anew each time.
//! * wasmtime is 50. The page scan of 48 and 49 asks for pages in RAM: a page in swap, or one that the kernel moves
//!   while it is looked at, stays as the last tenant left it. CPU of a fresh lean call, in one run: 48 with its scan
//!   39 µs, 50 with the scan 41 µs (`rewrite/pages.rs`), without it 94 µs.
//! * Epochs interrupt guests, not fuel: fuel costs 10 to 30 % of every guest, a check of the epoch a load and a branch.
//! * The proposals of `intake::PROPOSALS` are on, no others. Threads, GC and component-async are not built in.

use std::num::NonZeroUsize;

use rustix::io::Errno;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use super::intake;
use super::pool::{self, PoolError, PoolLayout, PoolSettings};
use super::refusal::{advice, is_of_memory, of_system};
use super::restore::WriteTracker;
use super::space::AddressSpace;
use crate::limits::MAX_TABLE_ELEMENTS;

/// The stack of one call. `WASM_STACK_BYTES` of it are the guest's; the rest is for host functions.
const STACK_BYTES: usize = 2 << 20;

/// The stack of a guest's own functions.
pub const WASM_STACK_BYTES: usize = 512 << 10;

/// The bytes of one table that a freed slot keeps for the next instance.
const KEPT_TABLE_BYTES: usize = 256 << 10;

/// The number of frames of a trap's backtrace that are kept for the log. Unwinding costs the host, not the guest.
const BACKTRACE_FRAMES: usize = 16;

/// The reasons for which there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The settings do not fit the machine.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// wasmtime refused its configuration, or the system refused the resources.
    #[error("cannot set up the WebAssembly engine with {slots} slots (`concurrency` of [host]): {reason}")]
    Engine {
        /// The number of slots that was asked for.
        slots: u32,
        /// wasmtime's words.
        reason: String,
    },
}

/// The settings of compiled code that are not the same on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeSettings {
    /// The address space of one memory.
    pub reservation_bytes: u64,
    /// The unmapped bytes behind a memory.
    pub guard_bytes: u64,
    /// The initial content of memories is mapped into each instance, and not copied.
    pub maps_images: bool,
    /// A new instance reads each page of a small memory, because the pages that it writes are found by a scan.
    pub reads_pages: bool,
    /// Instances are put back to their start after a call, where that can be done.
    pub restores: bool,
}

/// The engine, the settings of its code, and the number of instances that may wait. If the address space turns out to
/// be smaller than it looked, the pool is smaller too.
pub(super) fn engine(
    settings: PoolSettings,
    maps_images: bool,
) -> Result<(Engine, CodeSettings, u32), SandboxError> {
    let mut space = AddressSpace::of_this_process();
    // Places for both kinds of waiting instances: those that are reused, and those that were put back to their start.
    let settings = PoolSettings { idle: settings.idle.saturating_mul(2), ..settings };
    loop {
        let layout = settings.layout(space)?;
        let PoolLayout { reservation_bytes, guard_bytes, idle, .. } = layout;
        let reads_pages = PoolingAllocationConfig::is_pagemap_scan_available();
        let restores = WriteTracker::of_this_process().is_some();
        let code = CodeSettings { reservation_bytes, guard_bytes, maps_images, reads_pages, restores };
        match Engine::new(&with_pool(configuration(code), layout)) {
            Ok(engine) => return Ok((engine, code, idle)),
            Err(error) if is_of_memory(&error) => space = space.half(),
            Err(error) => return Err(refused(settings, &error)),
        }
    }
}

pub(super) fn refused(settings: PoolSettings, error: &wasmtime::Error) -> SandboxError {
    let help = of_system(error).map(|errno| format!("; {}", advice(errno)));
    let reason = format!("{error:#}{}", help.unwrap_or_default());
    SandboxError::Engine { slots: settings.slots, reason }
}

/// The system's refusal to give this process memory as a file, which instances map. Only a lasting refusal counts:
/// other failures pass, or are found out when a component is tried out.
#[cfg(target_os = "linux")]
pub(super) fn why_no_images() -> Option<Errno> {
    use rustix::fs::{MemfdFlags, memfd_create};
    // Made like wasmtime's own.
    let made = memfd_create("wasm-memory-image", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    made.err().filter(|errno| !matches!(*errno, Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn why_no_images() -> Option<Errno> {
    None
}

/// An engine without a pool, whose code runs in a pool of these settings: for a process that compiles and runs
/// nothing, and whose address space has a limit.
pub(super) fn compiling_engine(code: CodeSettings) -> wasmtime::Result<Engine> {
    Engine::new(&configuration(code))
}

fn with_pool(mut config: Config, layout: PoolLayout) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(layout.slots)
        .total_core_instances(layout.slots.saturating_mul(pool::CORE_INSTANCES_PER_COMPONENT))
        .max_core_instances_per_component(pool::CORE_INSTANCES_PER_COMPONENT)
        .total_memories(layout.memories)
        .max_memories_per_component(pool::MEMORIES_PER_COMPONENT)
        .total_tables(layout.memories)
        .max_tables_per_component(pool::TABLES_PER_COMPONENT)
        .table_elements(MAX_TABLE_ELEMENTS)
        .total_stacks(layout.slots)
        .max_memory_size(layout.max_memory_bytes)
        .linear_memory_keep_resident(usize::try_from(pool::KEPT_MEMORY_BYTES).unwrap_or(0))
        .table_keep_resident(KEPT_TABLE_BYTES)
        .pagemap_scan(Enabled::Auto);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// The configuration of everything that compiled code depends on.
fn configuration(code: CodeSettings) -> Config {
    let mut config = Config::new();
    config
        .memory_reservation(code.reservation_bytes)
        .memory_guard_size(code.guard_bytes)
        .memory_init_cow(code.maps_images)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .async_stack_size(STACK_BYTES)
        .max_wasm_stack(WASM_STACK_BYTES)
        // Costs every fresh call about 15 µs and serves only WASI 0.3, which has no plug here.
        .concurrency_support(false)
        // A feature that no plug needs is attack surface.
        .wasm_features(!intake::PROPOSALS, false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES));
    config
}
