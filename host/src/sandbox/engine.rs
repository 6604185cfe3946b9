//! The sandbox: wasmtime's engine, the linker that knows every import, and the instances that wait.

use std::ops::ControlFlow;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;
use wasmtime::Engine;
use wasmtime::component::Component as WasmComponent;
use wasmtime::component::Linker;

use super::artifact::Digest;
use super::component::{Component, SharedComponent};
use super::component_error::{ComponentError, check_preamble};
use super::configuration::{CodeSettings, SandboxError, engine, refused, why_no_images};
use super::description::Description;
use super::idle::Idle;
use super::instances::{Instances, Shelf};
use super::intake;
use super::linker::linker;
use super::pool::{self, PoolSettings};
use super::ready::Ready;
use super::restore::{Images, WriteTracker};
use super::state::CallState;
use crate::limits::Reuse;
use crate::observe::PluginMetrics;

/// The sandbox: it compiles components and runs calls in a pool of slots. A process has one.
pub struct Sandbox {
    pub(super) engine: Engine,
    pub(super) linker: Linker<CallState>,
    /// The places of reused instances, and of those that were put back to their start. These have places of their own,
    /// so that none of them takes the place of an instance that keeps something.
    pub(super) idle: Arc<Idle<Shelf>>,
    pub(super) restored: Arc<Idle<Shelf>>,
    /// The images of memories that are put back.
    pub(super) images: Images,
    pub(super) code: CodeSettings,
    /// Held while a component is tried out.
    pub(super) trial: Mutex<()>,
    no_images: Option<Errno>,
}

/// Makes wasmtime's data of a thread on which guests run, when the thread starts. The first guest on the thread would
/// be too late: wasmtime 50 panics if the system has no memory for the data, and aborts as it unwinds.
pub fn prepare_thread() {
    // For a thread that only blocks a failure is no loss; on a thread without the data, its first guest reports it.
    let _ = catch_unwind(Engine::tls_eager_initialize);
}

/// Opens what a process may open only before it is confined: the kernel's account of written pages. Without it, no
/// instance is put back to its start, and each fresh one is made anew.
pub fn prepare_process() {
    let _ = WriteTracker::of_this_process();
}

impl Sandbox {
    /// A sandbox, with its pool reserved.
    pub fn new(settings: PoolSettings) -> Result<Arc<Self>, SandboxError> {
        let no_images = why_no_images();
        let (engine, code, idle) = engine(settings, no_images.is_none())?;
        let linker = linker(&engine).map_err(|error| refused(settings, &error))?;
        let places = |most: u32| {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            Arc::new(Idle::new(most, pool::IDLE_MEMORY_BYTES))
        };
        let (idle, restored) = (places(idle.div_ceil(2)), places(idle / 2));
        let (images, trial) = (Images::default(), Mutex::default());
        Ok(Arc::new(Self { engine, linker, idle, restored, images, code, trial, no_images }))
    }

    /// A tick, for each guest that runs. It makes each of them call [`CpuTask::tick`](crate::cpu::CpuTask::tick) when
    /// it next looks at the epoch. It breaks when the sandbox is no more.
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

    /// The reason why the initial content of memories is copied into each instance, if it is: `memfd_create` is
    /// refused.
    pub fn why_no_images(&self) -> Option<std::io::Error> {
        self.no_images.map(Into::into)
    }

    /// True if instances can be put back to their start: it is up to the system.
    pub fn restores_instances(&self) -> bool {
        self.code.restores
    }

    /// Compiles `bytes` in this process, whatever time and memory that takes: for bytes of one's own, and for tests.
    /// Bytes of strangers go through a compiler, which has a process of its own.
    pub fn compile_here(&self, bytes: &[u8]) -> Result<Component, ComponentError> {
        check_preamble(bytes)?;
        intake::check(bytes).map_err(|error| ComponentError::NotTaken(error.to_string()))?;
        let compiled = WasmComponent::new(&self.engine, bytes);
        let compiled = compiled.map_err(|error| ComponentError::Invalid(format!("{error:#}")))?;
        let description = Description::of(&compiled, bytes)?;
        let ready = self.link(&compiled, &description)?;
        let artifact = (Digest::of(bytes), bytes.len());
        Ok(Component::new(SharedComponent::new(artifact, description, ready, None), None))
    }

    /// The code of a component that has this description, ready to be called. None if an import of it is not offered.
    pub(super) fn link(
        &self,
        compiled: &WasmComponent,
        description: &Description,
    ) -> Result<Option<Ready>, ComponentError> {
        description.can_run().then(|| Ready::link(&self.linker, compiled, description)).transpose()
    }

    /// The instances of a component for one plugin of one revision: none yet. Without `reuse` each serves one call.
    pub fn instances(
        &self,
        component: Component,
        reuse: Option<Reuse>,
        metrics: Arc<PluginMetrics>,
    ) -> Instances {
        let idle = if reuse.is_some() { &self.idle } else { &self.restored };
        Instances::new(&self.engine, &self.images, idle.clone(), component, reuse, metrics)
    }

    /// Lets instances go that have waited for a call as long as they may. Does not end.
    pub async fn tend(&self) {
        tokio::join!(self.idle.tend(), self.restored.tend());
    }
}
