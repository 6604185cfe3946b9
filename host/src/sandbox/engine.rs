//! The wasmtime engine, and the linker that knows every import.

use std::ops::ControlFlow;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;
use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use super::idle::Idle;
use super::imports;
use super::instances::Shelf;
use super::intake;
use super::pool::{self, PoolError, PoolLayout, PoolSettings};
use super::refusal::{advice, is_of_memory, of_system};
use super::space::AddressSpace;
use super::state::CallState;

/// The stack of one call. `WASM_STACK_BYTES` of it are the guest's; the rest is for host functions.
const STACK_BYTES: usize = 2 << 20;

/// The stack of a guest's own functions.
pub const WASM_STACK_BYTES: usize = 512 << 10;

/// Bytes that a freed slot keeps resident for the next instance, so that small guests cost no page faults.
const KEEP_RESIDENT_BYTES: usize = 256 << 10;

/// Frames of a trap's backtrace that are kept for the log. Unwinding costs the host, not the guest.
const BACKTRACE_FRAMES: usize = 16;

/// A reason why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The settings do not fit the machine.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// wasmtime refused its configuration, or the system what it needs.
    #[error("cannot set up the WebAssembly engine with {slots} slots (`concurrency` of [host]): {reason}")]
    Engine {
        /// As asked for.
        slots: u32,
        /// wasmtime's words.
        reason: String,
    },
}

/// All that decides what compiled code looks like, and is not the same on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeSettings {
    /// Address space of one memory.
    pub reservation_bytes: u64,
    /// Unmapped bytes behind it.
    pub guard_bytes: u64,
    /// Memories' first contents are mapped into each instance, and not copied.
    pub maps_images: bool,
}

/// Compiles components and runs calls in a pool of slots. One a process.
pub struct Sandbox {
    pub(super) engine: Engine,
    pub(super) linker: Linker<CallState>,
    pub(super) idle: Arc<Idle<Shelf>>,
    pub(super) code: CodeSettings,
    /// Held while a component is tried out.
    pub(super) trial: Mutex<()>,
    no_images: Option<Errno>,
}

/// Takes what wasmtime keeps for a thread on which guests run, as that starts: when the first guest runs there is too late,
/// for wasmtime 50 panics if the system has no memory for it, and aborts as it unwinds.
pub fn prepare_thread() {
    // Of a thread that only blocks it is no loss; on one that has none, its first guest says so.
    let _ = catch_unwind(Engine::tls_eager_initialize);
}

impl Sandbox {
    /// Reserves the pool.
    pub fn new(settings: PoolSettings) -> Result<Arc<Self>, SandboxError> {
        let no_images = why_no_images();
        let (engine, code, idle) = engine(settings, no_images.is_none())?;
        let linker = imports::linker(&engine).map_err(|error| refused(settings, &error))?;
        let most = usize::try_from(idle).unwrap_or(usize::MAX);
        let idle = Arc::new(Idle::new(most, pool::IDLE_MEMORY_BYTES));
        let trial = Mutex::default();
        Ok(Arc::new(Self { engine, linker, idle, code, trial, no_images }))
    }

    /// A tick, for each guest that runs; it breaks when the sandbox is no more. It has each of them call
    /// [`CpuTask::tick`](crate::cpu::CpuTask::tick) when it next looks at the epoch.
    pub fn tick(&self) -> impl FnMut() -> ControlFlow<()> + Send + 'static {
        let engine = self.engine.weak();
        move || match engine.upgrade() {
            Some(engine) => {
                engine.increment_epoch();
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        }
    }

    /// The reason why memories' first contents are copied into each instance, if they are: `memfd_create` is refused.
    pub fn why_no_images(&self) -> Option<std::io::Error> {
        self.no_images.map(Into::into)
    }
}

/// The engine, what its code looks like, and how many instances may wait. Where the address space turns out to be
/// smaller than it looked, the pool is.
fn engine(settings: PoolSettings, maps_images: bool) -> Result<(Engine, CodeSettings, u32), SandboxError> {
    let mut space = AddressSpace::of_this_process();
    loop {
        let layout = settings.layout(space)?;
        let PoolLayout { reservation_bytes, guard_bytes, idle, .. } = layout;
        let code = CodeSettings { reservation_bytes, guard_bytes, maps_images };
        match Engine::new(&with_pool(configuration(code), layout)) {
            Ok(engine) => return Ok((engine, code, idle)),
            Err(error) if is_of_memory(&error) => space = space.half(),
            Err(error) => return Err(refused(settings, &error)),
        }
    }
}

fn refused(settings: PoolSettings, error: &wasmtime::Error) -> SandboxError {
    let help = of_system(error).map(|errno| format!("; {}", advice(errno)));
    let reason = format!("{error:#}{}", help.unwrap_or_default());
    SandboxError::Engine { slots: settings.slots, reason }
}

/// The refusal that keeps this process from having memory as a file, which instances map, for good. Other failures pass, or are found
/// out when a component is tried out.
#[cfg(target_os = "linux")]
fn why_no_images() -> Option<Errno> {
    use rustix::fs::{MemfdFlags, memfd_create};
    // As wasmtime makes them.
    let made = memfd_create("wasm-memory-image", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    made.err().filter(|errno| !matches!(*errno, Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

#[cfg(not(target_os = "linux"))]
fn why_no_images() -> Option<Errno> {
    None
}

/// An engine whose code runs in a pool of these settings, and which has none itself: for a process that compiles
/// and runs nothing, whose address space has a limit.
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
        .table_elements(pool::TABLE_ELEMENTS)
        .total_stacks(layout.slots)
        .max_memory_size(layout.max_memory_bytes)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// All that decides what compiled code looks like.
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
        // What no plug needs is attack surface.
        .wasm_features(!intake::PROPOSALS, false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES));
    config
}
