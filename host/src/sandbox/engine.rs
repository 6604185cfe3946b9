//! The wasmtime engine, the linker that knows every import, and the thread that ticks the epoch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use super::compute::{Compute, Watch};
use super::idle::Idle;
use super::imports;
use super::instances::Shelf;
use super::intake;
use super::pool::{self, PoolError, PoolLayout, PoolSettings};
use super::state::CallState;

/// How often a guest that computes is looked at: its CPU is read, and it gives way to others if it has had a turn.
const TICK: Duration = Duration::from_millis(1);

/// The same while any thread of `compute/` has work, for then others wait for their turns.
const FINE_TICK: Duration = Duration::from_micros(250);

/// The stack of one call. `WASM_STACK_BYTES` of it are the guest's; the rest is for host functions.
const STACK_BYTES: usize = 2 << 20;

/// The stack of a guest's own functions.
pub const WASM_STACK_BYTES: usize = 512 << 10;

/// What a freed slot keeps resident for the next instance, so that small guests cost no page faults.
const KEEP_RESIDENT_BYTES: usize = 256 << 10;

/// Frames of a trap's backtrace that are kept for the log. Unwinding costs the host, not the guest.
const BACKTRACE_FRAMES: usize = 16;

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The settings do not fit the machine.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// wasmtime refused its configuration, or the address space could not be reserved.
    #[error("cannot set up the WebAssembly engine with {slots} slots: {reason}")]
    Engine {
        /// As asked for.
        slots: u32,
        /// wasmtime's words.
        reason: String,
    },
    /// No thread could be started.
    #[error("cannot start the threads that run and tick guests")]
    Threads(#[source] std::io::Error),
}

/// Compiles components and runs calls in a pool of slots. One a process.
pub struct Sandbox {
    pub(super) engine: Engine,
    pub(super) linker: Linker<CallState>,
    pub(super) idle: Arc<Idle<Shelf>>,
    pub(super) settings: PoolSettings,
    compute: Compute,
    _ticker: Ticker,
}

impl Sandbox {
    /// Reserves the pool and starts ticking.
    pub fn new(settings: PoolSettings) -> Result<Arc<Self>, SandboxError> {
        let refused = |error: wasmtime::Error| SandboxError::Engine {
            slots: settings.slots,
            reason: format!("{error:#}"),
        };
        let layout = settings.layout()?;
        let engine = Engine::new(&with_pool(configuration(layout), layout)).map_err(refused)?;
        let linker = imports::linker(&engine).map_err(refused)?;
        let compute = Compute::start().map_err(SandboxError::Threads)?;
        let ticker = Ticker::start(&engine, compute.watch()).map_err(SandboxError::Threads)?;
        let most = usize::try_from(layout.idle).unwrap_or(usize::MAX);
        let idle = Arc::new(Idle::new(most, pool::IDLE_MEMORY_BYTES));
        Ok(Arc::new(Self { engine, linker, idle, settings, compute, _ticker: ticker }))
    }

    /// The threads for calls whose guests compute on.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }
}

/// An engine whose code runs in the pool of these settings, and which has none itself: for a process that compiles
/// and runs nothing, whose address space has a limit.
pub(super) fn compiling_engine(settings: PoolSettings) -> Result<Engine, SandboxError> {
    Engine::new(&configuration(settings.layout()?))
        .map_err(|error| SandboxError::Engine { slots: settings.slots, reason: format!("{error:#}") })
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
fn configuration(layout: PoolLayout) -> Config {
    let mut config = Config::new();
    config
        .memory_reservation(layout.reservation_bytes)
        .memory_guard_size(layout.guard_bytes)
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

/// Increments the epoch from a thread of its own, for a busy runtime would starve a task; and looks after the threads
/// that guests compute on.
struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: &Engine, mut watch: Watch) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let engine = engine.weak();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("epoch".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(if watch.look(Instant::now()) { FINE_TICK } else { TICK });
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has stopped as well.
            let _ = thread.join();
        }
    }
}
