//! The compiler: bytes of strangers → a component that can run, at nobody's cost but their owner's.
//!
//! The host's own process never compiles: a compiler is a parser of strangers' bytes with superlinear algorithms
//! behind it. 118 KiB of nested components take 2 GiB, 155 KB with 20,000 live values 15 s, 16 KB of loops within
//! loops more than a minute. So a child process compiles. It runs this same program (`program.rs`) with limits of its
//! own, an empty environment and three pipes (`child.rs`, started and watched by `process.rs`). The process bounds costs
//! and crashes. It is no boundary of trust: an attacker who takes it over writes machine code that the host runs.
//!
//! Compiled code is kept (`cache.rs`) for the next start, which reads only what is known of each component (`kept.rs`).
//! Code that no call uses is dropped, and got again when a call needs it (`supply.rs`). A component that is live
//! already, or was refused already, is not compiled again. Knows no tenants: its caller decides how many compile at
//! once, and in which order.

mod answer;
mod cache;
mod child;
mod code;
mod compile;
mod descriptors;
mod fingerprint;
mod kept;
mod process;
mod program;
mod refusals;
mod supply;
mod task;

pub use cache::CacheError;
pub use child::compile_standard_input;
pub use program::CompilerProgram;
pub use task::Task;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use self::code::CompiledCode;
use self::compile::{ChildCompiler, threads};
use self::fingerprint::fingerprint;
use self::kept::{Described, Kept};
use self::supply::Supplier;
use super::artifact::{Digest, Size};
use super::component::{Component, SharedComponent};
use super::component_error::{ComponentError, check_preamble};
use super::description::Description;
use super::engine::Sandbox;
use super::ready::Ready;
use crate::limits::IntakeLimits;
use crate::observe::Log;

/// The least number of live components among which those that have gone are looked for.
const LEAST_SWEPT: usize = 64;

/// The time between two looks for code that no call has used since the last one.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// The settings of a compiler.
pub struct CompilerSettings {
    /// The program that compiles.
    pub program: CompilerProgram,
    /// The resources of one compilation.
    pub limits: IntakeLimits,
    /// The child gives up all other rights that the system would let it have.
    pub is_confined: bool,
    /// The folder where compiled code is kept, which is the host's own and nobody else's. None if no code is kept.
    pub cache: Option<PathBuf>,
    /// The log that is told of trouble with compiling and with the cache.
    pub log: Log,
}

/// The origin of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provenance {
    /// The component was live already.
    Live,
    /// The component's code was in the cache.
    Cached,
    /// The component was compiled.
    Compiled,
}

/// The loader of components into a sandbox. All callers share one.
pub struct Compiler {
    supplier: Arc<Supplier>,
    known: Mutex<Known>,
    /// Rung when a digest is not under way any more.
    landed: Condvar,
    /// This process was able to make an instance.
    has_tried_out: AtomicBool,
}

/// The digests that need not be compiled, or not now.
#[derive(Default)]
struct Known {
    live: BTreeMap<Digest, Weak<SharedComponent>>,
    /// The number of components in `live` at which those that have gone are forgotten.
    swept_at: usize,
    under_way: BTreeSet<Digest>,
}

impl Known {
    /// Notes a component that is live. Those that have gone are forgotten each time that the number of all has doubled.
    fn remember(&mut self, component: &Arc<SharedComponent>) {
        if self.live.len() >= self.swept_at {
            self.live.retain(|_, component| component.strong_count() > 0);
            self.swept_at = self.live.len().saturating_mul(2).max(LEAST_SWEPT);
        }
        self.live.insert(component.digest, Arc::downgrade(component));
    }
}

impl Compiler {
    /// A compiler. Without a folder that can be trusted it has no cache, and the log is told so.
    ///
    /// # Errors
    /// If the system gives no pipe.
    pub fn new(sandbox: Arc<Sandbox>, settings: CompilerSettings) -> io::Result<Self> {
        let CompilerSettings { program, limits, is_confined, cache, log } = settings;
        let kept = Kept::new(cache, fingerprint(&sandbox), log.clone());
        let children = ChildCompiler::new(program, limits, sandbox.code, is_confined, log.clone())?;
        let supplier = Supplier::new(sandbox, children, kept, log);
        Ok(Self {
            supplier: Arc::new(supplier),
            known: Mutex::default(),
            landed: Condvar::new(),
            has_tried_out: AtomicBool::new(false),
        })
    }

    /// The number of threads of one child, its first included.
    pub fn least_threads() -> usize {
        threads().saturating_add(1)
    }

    /// The size of the largest artifact that the compiler takes.
    pub fn most_artifact_bytes(&self) -> u64 {
        self.supplier.children.limits.artifact_bytes
    }

    /// Ends all compilations under way. From now on nothing is compiled.
    pub fn stop(&self) {
        self.supplier.children.stop();
    }

    /// Turns an artifact into a component, and compiles it only if need be. `again` reads the artifact once more, should
    /// the compiled code be lost while the component is live. The call takes as long as the limits allow, and mostly
    /// waits: not for an async worker.
    pub fn load(
        &self,
        bytes: &[u8],
        again: impl Fn() -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Result<(Component, Provenance), ComponentError> {
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > self.most_artifact_bytes() {
            return Err(ComponentError::TooLarge { most: Size(self.most_artifact_bytes()) });
        }
        check_preamble(bytes)?;
        let digest = Digest::of(bytes);
        let (component, provenance) = match self.take(digest)? {
            Taken::Live(component) => (component, Provenance::Live),
            Taken::ToDo(_under_way) => {
                let loaded = self.load_anew(bytes, digest);
                match &loaded {
                    Ok((component, _)) => self.known().remember(component),
                    Err(error) => self.supplier.refusals.remember(digest, error),
                }
                loaded?
            }
        };
        let supply = self.supplier.supply(component.clone(), Arc::new(again));
        Ok((Component::new(component, Some(supply)), provenance))
    }

    /// The known component or refusal of a digest, or the order to find it out. Waits while another thread finds it
    /// out.
    fn take(&self, digest: Digest) -> Result<Taken<'_>, ComponentError> {
        let known = self.known();
        let is_under_way = |known: &mut Known| known.under_way.contains(&digest);
        let mut known = self.landed.wait_while(known, is_under_way).unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = known.live.get(&digest).and_then(Weak::upgrade) {
            return Ok(Taken::Live(component));
        }
        if let Some(error) = self.supplier.refusals.find(digest) {
            return Err(error);
        }
        known.under_way.insert(digest);
        Ok(Taken::ToDo(UnderWay { compiler: self, digest }))
    }

    fn load_anew(
        &self,
        bytes: &[u8],
        digest: Digest,
    ) -> Result<(Arc<SharedComponent>, Provenance), ComponentError> {
        let Supplier { children, kept, .. } = &*self.supplier;
        let artifact = (digest, bytes.len());
        let mut described = kept.description(digest);
        // A description was made of code that was tried out, by an earlier process maybe. A system where no instance can
        // be made is found at the start all the same: by the first component.
        if let Some(Described { code, description }) =
            described.take_if(|_| self.has_tried_out.load(Ordering::Relaxed))
        {
            let component = SharedComponent::new(artifact, description, None, Some(code));
            return Ok((component, Provenance::Cached));
        }
        let link = |code: &[u8]| Ok((Digest::of(code), self.link_and_try_out(code, bytes)?));
        if let Some((code, Linked { description, ready })) = kept.code(digest, link)? {
            if described.is_none_or(|described| described.code != code) {
                kept.keep_description(digest, code, &description);
            }
            let component = SharedComponent::new(artifact, description, ready, Some(code));
            return Ok((component, Provenance::Cached));
        }
        let output = children.compile(bytes)?;
        let code = children.code_in(&output)?;
        let Linked { description, ready } = self.link_and_try_out(code, bytes)?;
        let code = kept.keep_code(digest, code);
        if let Some(code) = code {
            kept.keep_description(digest, code, &description);
        }
        Ok((SharedComponent::new(artifact, description, ready, code), Provenance::Compiled))
    }

    /// Links code that was compiled from an artifact, and makes a first instance of it.
    fn link_and_try_out(&self, code: &[u8], artifact: &[u8]) -> Result<Linked, ComponentError> {
        let sandbox = self.sandbox();
        let compiled = CompiledCode(code).load(&sandbox.engine)?;
        let description = Description::of(&compiled, artifact)?;
        let ready = sandbox.link(&compiled, &description)?;
        if ready.is_some() {
            sandbox.try_out(&compiled).map_err(ComponentError::NoInstance)?;
            self.has_tried_out.store(true, Ordering::Relaxed);
        }
        Ok(Linked { description, ready })
    }

    /// The sandbox where the compiler's components run.
    pub fn sandbox(&self) -> &Arc<Sandbox> {
        &self.supplier.sandbox
    }

    /// Drops code that no call uses, from time to time. Does not end.
    pub async fn tend(&self) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            self.drop_unused_code().await;
        }
    }

    /// Drops the code of each live component that was not called since this was last done, if the code is kept on disk.
    /// Returns the number of those whose code was dropped.
    pub async fn drop_unused_code(&self) -> usize {
        let live: Vec<_> = self.known().live.values().filter_map(Weak::upgrade).collect();
        let mut dropped: usize = 0;
        for component in live {
            // Unmapping takes some 50 µs: other tasks have their turn in between.
            if component.drop_unused_code() {
                dropped = dropped.saturating_add(1);
                tokio::task::yield_now().await;
            }
        }
        dropped
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A component's code that was linked.
struct Linked {
    description: Description,
    /// None if an import is not offered.
    ready: Option<Ready>,
}

enum Taken<'a> {
    Live(Arc<SharedComponent>),
    ToDo(UnderWay<'a>),
}

/// A digest under way. Other threads that want the digest wait until this is dropped.
struct UnderWay<'a> {
    compiler: &'a Compiler,
    digest: Digest,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.compiler.known().under_way.remove(&self.digest);
        self.compiler.landed.notify_all();
    }
}

#[cfg(test)]
mod tests;
