//! The code of live components on demand: dropped while no call uses it, and got again from the cache, or compiled anew
//! from the component's file.
//!
//! Two calls at most read code at once, and one more has code compiled, for the whole host: a tenant with many idle
//! plugins takes no more of the machine. A component waits in these turns once, however many of its calls wait, and not
//! for a call that has gone. What was begun is ended without its call: then the code is there for the next one.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::code::CompiledCode;
use super::compile::ChildCompiler;
use super::kept::Kept;
use super::refusals::Refusals;
use crate::observe::Log;
use crate::sandbox::artifact::Digest;
use crate::sandbox::code::{Order, Supply};
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
    readers: Arc<Semaphore>,
    compilers: Arc<Semaphore>,
}

impl Supplier {
    pub(super) fn new(sandbox: Arc<Sandbox>, children: ChildCompiler, kept: Kept, log: Log) -> Self {
        let turns = |number| Arc::new(Semaphore::new(number));
        let (readers, compilers) = (turns(READ_AT_ONCE), turns(COMPILED_AT_ONCE));
        Self { sandbox, children, kept, refusals: Refusals::default(), log, readers, compilers }
    }

    /// The way to a component's code.
    pub(super) fn supply(self: &Arc<Self>, component: Arc<SharedComponent>, source: Source) -> Supply {
        let supplier = self.clone();
        Arc::new(move |order| {
            let (supplier, component, source) = (supplier.clone(), component.clone(), source.clone());
            Box::pin(async move { supplier.get(component, source, order).await })
        })
    }

    async fn get(
        self: Arc<Self>,
        component: Arc<SharedComponent>,
        source: Source,
        order: Order,
    ) -> Result<Arc<Ready>, String> {
        let (supplier, wanted) = (self.clone(), component.clone());
        let read = in_turn(&self.readers, move || match supplier.read_again(&wanted) {
            Ok(Some(ready)) => Ok(ControlFlow::Break(order.fulfil(ready))),
            Ok(None) => Ok(ControlFlow::Continue(order)),
            Err(why) => Err(order.fail(why)),
        });
        let order = match read.await? {
            ControlFlow::Break(ready) => return Ok(ready),
            ControlFlow::Continue(order) => order,
        };
        let supplier = self.clone();
        let compiled = in_turn(&self.compilers, move || match supplier.compile_again(&component, &source) {
            Ok(ready) => Ok(order.fulfil(ready)),
            Err(why) => Err(order.fail(why)),
        });
        compiled.await
    }

    /// A component's code from the cache.
    fn read_again(&self, component: &SharedComponent) -> Result<Option<Ready>, String> {
        let Some(sum) = component.kept() else { return Ok(None) };
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
        let kept = self.kept.keep_code(component.digest, code);
        component.set_kept(kept);
        if let Some(code) = kept {
            self.kept.keep_description(component.digest, code, &component.description);
        }
        let entry = self.log.warn("compiled code was lost: it was compiled anew");
        entry.display("artifact", component.digest).send();
        Ok(ready)
    }

    fn link(&self, code: &[u8], component: &SharedComponent) -> Result<Ready, ComponentError> {
        let compiled = CompiledCode(code).load(&self.sandbox.engine)?;
        Ready::link(&self.sandbox.linker, &compiled, &component.description)
    }
}

/// The result of work on a thread that may block, once there is a turn for it. Dropped before its turn, the work is not
/// done; dropped later, it is done all the same, and keeps its turn so long.
async fn in_turn<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let turn = turns.clone().acquire_owned().await.map_err(|error| error.to_string())?;
    let done = spawn_blocking(move || {
        let result = work();
        drop(turn);
        result
    });
    done.await.unwrap_or_else(|error| Err(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn work_whose_call_has_gone_is_not_begun_but_ended() {
        let (turns, (begun, log)) = (Arc::new(Semaphore::new(1)), mpsc::channel());
        let (goes_on, waits) = mpsc::channel::<()>();
        let first = begun.clone();
        let work = in_turn(&turns, move || {
            first.send("first").map_err(|error| error.to_string())?;
            let _ = waits.recv();
            first.send("first ended").map_err(|error| error.to_string())
        });
        assert!(timeout(Duration::from_millis(1), work).await.is_err());
        let second = in_turn(&turns, move || begun.send("second").map_err(|error| error.to_string()));
        assert!(timeout(Duration::from_millis(1), second).await.is_err(), "the first has its turn still");
        drop(goes_on);
        assert_eq!(in_turn(&turns, || Ok(3)).await, Ok(3));
        assert_eq!(log.try_iter().collect::<Vec<_>>(), ["first", "first ended"]);
    }
}
