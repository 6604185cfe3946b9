//! The wasmtime engine, and the linker that knows every import.

use std::sync::Arc;

use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use super::compute::Compute;
use super::idle::Idle;
use super::imports;
use super::instances::Shelf;
use super::intake;
use super::pool::{self, PoolError, PoolLayout, PoolSettings};
use super::state::CallState;
use super::ticker::{Activity, Ticked, Ticker};

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
    /// Which guests run.
    pub(super) activity: Arc<Activity>,
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
        let activity = Arc::<Activity>::default();
        let compute = Compute::start(activity.clone()).map_err(SandboxError::Threads)?;
        let (ticked, mut watch) = (engine.weak(), compute.watch());
        let tick = move || match ticked.upgrade() {
            Some(engine) => {
                engine.increment_epoch();
                Ticked::GoesOn
            }
            None => Ticked::IsOver,
        };
        let ticker = Ticker::start(activity.clone(), move |now| watch.look(now), tick);
        let ticker = ticker.map_err(SandboxError::Threads)?;
        let most = usize::try_from(layout.idle).unwrap_or(usize::MAX);
        let idle = Arc::new(Idle::new(most, pool::IDLE_MEMORY_BYTES));
        Ok(Arc::new(Self { engine, linker, idle, settings, activity, compute, _ticker: ticker }))
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
