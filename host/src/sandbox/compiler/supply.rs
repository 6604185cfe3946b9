//! The code of live components on demand: dropped while no call uses it, and got again from the cache, or compiled anew
//! from the component's file.
//!
//! Two calls at most read code at once, and one more has code compiled, for the whole host: a tenant with many idle
//! plugins takes no more of the machine. A component waits in these turns once, however many of its calls wait.

use std::io;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::code::CompiledCode;
use super::compile::ChildCompiler;
use super::kept::Kept;
use super::refusals::Refusals;
use crate::observe::Log;
use crate::sandbox::artifact::Digest;
use crate::sandbox::code::Supply;
use crate::sandbox::component::SharedComponent;
use crate::sandbox::component_error::ComponentError;
use crate::sandbox::engine::Sandbox;
use crate::sandbox::ready::Ready;

/// The most components whose code is read from the cache at once.
const READ_AT_ONCE: usize = 2;

/// The most components that are compiled at once because their code is lost.
const COMPILED_AT_ONCE: usize = 1;

/// The reading of a component's file.
pub(super) type Source = Arc<dyn Fn() -> io::Result<Vec<u8>> + Send + Sync>;

/// All that code is made from, and the turns in which it is got.
pub(super) struct Supplier {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) children: ChildCompiler,
    pub(super) kept: Kept,
    pub(super) refusals: Refusals,
    log: Log,
    readers: Semaphore,
    compilers: Semaphore,
}

impl Supplier {
    pub(super) fn new(sandbox: Arc<Sandbox>, children: ChildCompiler, kept: Kept, log: Log) -> Self {
        let (readers, compilers) = (Semaphore::new(READ_AT_ONCE), Semaphore::new(COMPILED_AT_ONCE));
        Self { sandbox, children, kept, refusals: Refusals::default(), log, readers, compilers }
    }

    /// The way to a component's code.
    pub(super) fn supply(self: &Arc<Self>, component: Arc<SharedComponent>, source: Source) -> Supply {
        let supplier = self.clone();
        Arc::new(move || {
            let (supplier, component, source) = (supplier.clone(), component.clone(), source.clone());
            Box::pin(async move { supplier.get(component, source).await })
        })
    }

    async fn get(self: Arc<Self>, component: Arc<SharedComponent>, source: Source) -> Result<Ready, String> {
        let (supplier, wanted) = (self.clone(), component.clone());
        let found = in_turn(&self.readers, move || supplier.read_again(&wanted)).await?;
        if let Some(ready) = found {
            return Ok(ready);
        }
        let supplier = self.clone();
        in_turn(&self.compilers, move || supplier.compile_again(&component, &source)).await
    }

    /// A component's code from the cache.
    fn read_again(&self, component: &SharedComponent) -> Result<Option<Ready>, String> {
        let Some(sum) = component.kept else { return Ok(None) };
        let found = self.kept.code_of_sum(component.digest, sum, |code| self.link(code, component));
        found.map_err(|error| error.to_string())
    }

    /// A component's code, compiled anew from its file.
    fn compile_again(&self, component: &SharedComponent, source: &Source) -> Result<Ready, String> {
        let digest = component.digest;
        let artifact = source()
            .map_err(|error| format!("its compiled code is gone, and its file cannot be read: {error}"))?;
        if Digest::of(&artifact) != digest {
            return Err("its compiled code is gone, and its file has changed".into());
        }
        let compiled = match self.refusals.find(digest) {
            Some(error) => Err(error),
            None => {
                self.compile(&artifact, component).inspect_err(|error| self.refusals.remember(digest, error))
            }
        };
        compiled
            .map_err(|error| format!("its compiled code is gone, and its file does not compile now: {error}"))
    }

    fn compile(&self, artifact: &[u8], component: &SharedComponent) -> Result<Ready, ComponentError> {
        let output = self.children.compile(artifact)?;
        let code = self.children.code_in(&output)?;
        let ready = self.link(code, component)?;
        self.kept.keep_code(component.digest, code);
        let entry = self.log.warn("compiled code was lost: it was compiled anew");
        entry.display("artifact", component.digest).send();
        Ok(ready)
    }

    fn link(&self, code: &[u8], component: &SharedComponent) -> Result<Ready, ComponentError> {
        let compiled = CompiledCode(code).load(&self.sandbox.engine)?;
        Ready::link(&self.sandbox.linker, &compiled, &component.description)
    }
}

/// The result of work on a thread that may block, once there is a turn for it.
async fn in_turn<T: Send + 'static>(
    turns: &Semaphore,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let _turn = turns.acquire().await.map_err(|error| error.to_string())?;
    spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}
