//! The compiler: bytes of strangers → a component that can run, at nobody's cost but their owner's.
//!
//! The host's own process never compiles: a compiler is a parser of strangers' bytes with superlinear algorithms
//! behind it. 118 KiB of nested components take 2 GiB, 155 KB with 20,000 live values 15 s, 16 KB of loops within
//! loops more than a minute. So a child process compiles. It runs this same program (`program.rs`) with limits of its
//! own, an empty environment and three pipes (`child.rs`, started and watched by `process.rs`). The process bounds costs
//! and crashes. It is no boundary of trust: an attacker who takes it over writes machine code that the host runs.
//!
//! Compiled code is kept for the next start (`cache.rs`). A component that is live already, or was refused already,
//! is not compiled again. Knows no tenants: its caller decides how many compile at once, and in which order.

mod answer;
mod cache;
mod child;
mod code;
mod descriptors;
mod process;
mod program;

pub use cache::CacheError;
pub use child::compile_standard_input;
pub use program::CompilerProgram;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use self::answer::CompileReply;
use self::cache::{Cache, Found, Key};
use self::code::{CompiledCode, MAX_CODE_BYTES};
use self::process::{ChildBounds, ChildExit, ExitCause, StopSignal};
use super::artifact::{Digest, Size};
use super::component::{Component, WeakComponent};
use super::component_error::{ComponentError, check_preamble};
use super::configuration::CodeSettings;
use super::engine::Sandbox;
use super::intake::Rule;
use super::refusal::{advice, of_system};
use super::rewrite;
use crate::limits::IntakeLimits;
use crate::observe::Log;

/// The longest time of a child by the wall clock, as a multiple of its CPU time: a busy machine gives the child less
/// than a core.
const WALL_FOR_CPU: u32 = 4;

/// The most threads of one child. More threads hardly hasten it, and each takes memory that has a limit.
const MOST_THREADS: usize = 4;

/// The number of refusals that are remembered, so that a bomb costs its time once and not at each change of the site.
const REMEMBERED_REFUSALS: usize = 256;

/// The least number of live components among which those that have gone are looked for.
const LEAST_SWEPT: usize = 64;

/// The work of a child, and the resources for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// The settings of the code to make.
    pub code: CodeSettings,
    /// The CPU time that the child may use.
    pub time: Duration,
    /// The address space that the child may use.
    pub memory_bytes: u64,
    /// The child gives up all other rights that the system would let it have.
    pub is_confined: bool,
    /// The process that waits for the child's answer.
    pub parent: u32,
}

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
    sandbox: Arc<Sandbox>,
    program: CompilerProgram,
    limits: IntakeLimits,
    is_confined: bool,
    engine: Digest,
    cache: Option<Cache>,
    stop: StopSignal,
    log: Log,
    /// The log was told what children do without.
    has_told: AtomicBool,
    known: Mutex<Known>,
    /// Rung when a digest is not under way any more.
    landed: Condvar,
}

/// The digests that need not be compiled, or not now.
#[derive(Default)]
struct Known {
    live: BTreeMap<Digest, WeakComponent>,
    /// The number of components in `live` at which those that have gone are forgotten.
    swept_at: usize,
    refused: VecDeque<(Digest, ComponentError)>,
    under_way: BTreeSet<Digest>,
}

impl Known {
    /// Notes a component that is live. Those that have gone are forgotten each time that the number of all has doubled.
    fn remember(&mut self, digest: Digest, component: &Component) {
        if self.live.len() >= self.swept_at {
            self.live.retain(|_, component| component.is_live());
            self.swept_at = self.live.len().saturating_mul(2).max(LEAST_SWEPT);
        }
        self.live.insert(digest, component.downgrade());
    }
}

impl Compiler {
    /// A compiler. Without a folder that can be trusted it has no cache, and the log is told so.
    ///
    /// # Errors
    /// If the system gives no pipe.
    pub fn new(sandbox: Arc<Sandbox>, settings: CompilerSettings) -> io::Result<Self> {
        let CompilerSettings { program, limits, is_confined, cache, log } = settings;
        let cache = cache.and_then(|path| match Cache::open(&path) {
            Ok(cache) => Some(cache),
            Err(error) => {
                log.warn("compiled code is not kept: every start compiles anew")
                    .display("folder", path.display())
                    .display("reason", &error)
                    .send();
                None
            }
        });
        let engine = fingerprint(&sandbox);
        let stop = StopSignal::new()?;
        let (known, landed) = (Mutex::default(), Condvar::new());
        let has_told = AtomicBool::new(false);
        Ok(Self { sandbox, program, limits, is_confined, engine, cache, stop, log, has_told, known, landed })
    }

    /// The number of threads of one child, its first included.
    pub fn least_threads() -> usize {
        threads().saturating_add(1)
    }

    /// The size of the largest artifact that the compiler takes.
    pub fn most_artifact_bytes(&self) -> u64 {
        self.limits.artifact_bytes
    }

    /// Ends all compilations under way. From now on nothing is compiled.
    pub fn stop(&self) {
        self.stop.stop();
    }

    /// Turns an artifact into a component, and compiles it only if need be. The call takes as long as the limits
    /// allow, and mostly waits: not for an async worker.
    pub fn load(&self, bytes: &[u8]) -> Result<(Component, Provenance), ComponentError> {
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > self.limits.artifact_bytes {
            return Err(ComponentError::TooLarge { most: Size(self.limits.artifact_bytes) });
        }
        check_preamble(bytes)?;
        let digest = Digest::of(bytes);
        let _under_way = match self.take(digest)? {
            Taken::Live(component) => return Ok((component, Provenance::Live)),
            Taken::ToDo(under_way) => under_way,
        };
        let loaded = self.load_anew(bytes, digest);
        let mut known = self.known();
        match &loaded {
            Ok((component, _)) => {
                known.remember(digest, component);
            }
            Err(error) if error.is_final() => {
                known.refused.push_back((digest, error.clone()));
                if known.refused.len() > REMEMBERED_REFUSALS {
                    known.refused.pop_front();
                }
            }
            Err(_) => {}
        }
        loaded
    }

    /// The known component or refusal of a digest, or the order to find it out. Waits while another thread finds it
    /// out.
    fn take(&self, digest: Digest) -> Result<Taken<'_>, ComponentError> {
        let known = self.known();
        let is_under_way = |known: &mut Known| known.under_way.contains(&digest);
        let mut known = self.landed.wait_while(known, is_under_way).unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = known.live.get(&digest).and_then(WeakComponent::upgrade) {
            return Ok(Taken::Live(component));
        }
        if let Some((_, error)) = known.refused.iter().find(|(refused, _)| *refused == digest) {
            return Err(error.clone());
        }
        known.under_way.insert(digest);
        Ok(Taken::ToDo(UnderWay { compiler: self, digest }))
    }

    fn load_anew(&self, bytes: &[u8], digest: Digest) -> Result<(Component, Provenance), ComponentError> {
        let key = Key { artifact: digest, engine: self.engine };
        if let Some(component) = self.find_kept(&key, bytes)? {
            return Ok((component, Provenance::Cached));
        }
        let output = self.compile(bytes)?;
        let code = match CompileReply::read(&output) {
            Some(CompileReply::CompiledCode(code)) => code,
            Some(CompileReply::NotTaken(why)) => return Err(ComponentError::NotTaken(why.to_owned())),
            Some(CompileReply::Invalid(why)) => return Err(ComponentError::Invalid(why.to_owned())),
            Some(CompileReply::OutOfMemory) => return Err(self.too_much_memory()),
            Some(CompileReply::Prevented(why)) => return Err(ComponentError::NoCompiler(why.to_owned())),
            None => return Err(ComponentError::Crashed("it answered nothing that makes sense".into())),
        };
        let component = self.component(code, bytes, digest)?;
        if let Some(cache) = &self.cache
            && let Err(error) = cache.keep(&key, code)
        {
            let entry = self.log.warn("compiled code was not kept: the next start compiles it anew");
            entry.display("artifact", digest).display("reason", error).send();
        }
        Ok((component, Provenance::Compiled))
    }

    /// A component whose code is in the cache. CompiledCode that is there and of no use is thrown away.
    fn find_kept(&self, key: &Key, artifact: &[u8]) -> Result<Option<Component>, ComponentError> {
        let Some(cache) = &self.cache else { return Ok(None) };
        let wrong = match cache.find(key) {
            Ok(Found::Nothing) => return Ok(None),
            Ok(Found::CompiledCode(code)) => match self.component(&code, artifact, key.artifact) {
                Ok(component) => return Ok(Some(component)),
                // Other code would fare no better on this host.
                Err(error) if error.is_of_host() => return Err(error),
                Err(error) => {
                    let forgotten = cache.forget(key).err().map(|error| format!("; {error}"));
                    format!("{error}{}", forgotten.unwrap_or_default())
                }
            },
            Ok(Found::Damaged) => "it was not as it was written".to_owned(),
            Err(error) => error.to_string(),
        };
        let entry = self.log.warn("compiled code that was kept is of no use: it is compiled anew");
        entry.display("artifact", key.artifact).field("reason", wrong.as_str()).send();
        Ok(None)
    }

    fn component(&self, code: &[u8], artifact: &[u8], digest: Digest) -> Result<Component, ComponentError> {
        let compiled = CompiledCode(code).load(&self.sandbox.engine);
        let compiled = compiled.map_err(|error| match of_system(&error) {
            // A refusal of the system is not the component's fault; a component that does not fit the pool is at
            // fault.
            Some(errno) => ComponentError::NoInstance(format!("{error:#}; {}", advice(errno))),
            None if error.is::<wasmtime::OutOfMemory>() => ComponentError::NoInstance(format!("{error:#}")),
            None => ComponentError::Invalid(format!("{error:#}")),
        })?;
        let component = Component::link(&self.sandbox.linker, &compiled, artifact, digest)?;
        if component.ready().is_some() {
            self.sandbox.try_out(&compiled).map_err(ComponentError::NoInstance)?;
        }
        Ok(component)
    }

    /// The sandbox where the compiler's components run.
    pub fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    /// Starts a child to compile an artifact, and returns its output.
    fn compile(&self, bytes: &[u8]) -> Result<Vec<u8>, ComponentError> {
        let IntakeLimits { compile_time: time, compile_memory_bytes: memory_bytes, .. } = self.limits;
        let task = Task {
            code: self.sandbox.code,
            time,
            memory_bytes,
            is_confined: self.is_confined,
            parent: std::process::id(),
        };
        let mut command = Command::new(self.program.path());
        command
            .arg0("jackfield")
            .arg("compile")
            .args(task.to_arguments())
            .env_clear()
            // Cranelift's threads are rayon's, which reads this variable only.
            .env("RAYON_NUM_THREADS", threads().to_string())
            // An allocator that reserves gigabytes in advance would use up the address space for nothing.
            .env("MIMALLOC_ARENA_RESERVE", "32MiB")
            .current_dir("/")
            // The child is not to get the signals that a terminal sends to the host.
            .process_group(0);
        let bounds = ChildBounds {
            time: time.saturating_mul(WALL_FOR_CPU),
            output_bytes: CompileReply::most_bytes(MAX_CODE_BYTES),
        };
        let ended = process::run(&mut command, bytes, bounds, &self.stop).map_err(|error| {
            let help = match Errno::from_io_error(&error) {
                Some(Errno::PERM | Errno::ACCESS) => "permit the host to start its own program",
                Some(errno) => advice(errno),
                None => "look for what the system says of it in its own log",
            };
            ComponentError::NoCompiler(format!("it cannot be started and watched: {error}; {help}"))
        })?;
        self.explain(ended)
    }

    /// A child's output, or the limit that ended the child.
    fn explain(&self, ended: ChildExit) -> Result<Vec<u8>, ComponentError> {
        let ChildExit { how, output, complaint } = ended;
        match how {
            ExitCause::Exited(status) if status.success() => {
                self.tell_once(&complaint);
                Ok(output)
            }
            ExitCause::Exited(status) => Err(self.explain_status(status, &complaint)),
            ExitCause::TimeIsOver => Err(ComponentError::CompileWall {
                most: self.limits.compile_time,
                wall: self.limits.compile_time.saturating_mul(WALL_FOR_CPU),
            }),
            ExitCause::WroteTooMuch => Err(ComponentError::Crashed("it answered without end".into())),
            ExitCause::Stopped => Err(ComponentError::Stopped),
        }
    }

    /// Tells the log, the first time, what a child did without.
    fn tell_once(&self, complaint: &str) {
        let missing = complaint.trim();
        if !missing.is_empty() && !self.has_told.swap(true, Ordering::Relaxed) {
            let entry = self.log.warn("compilers do without what the system refuses them");
            entry.field("missing", missing).send();
        }
    }

    fn explain_status(&self, status: ExitStatus, complaint: &str) -> ComponentError {
        use rustix::process::Signal;
        let signal = status.signal();
        if signal == Some(Signal::XCPU.as_raw()) {
            return ComponentError::CompileTime { most: self.limits.compile_time };
        }
        // The words of Rust before it aborts, and those of the system for a map or a thread that there is no memory
        // for.
        let is_of_memory = ["memory allocation of", "Cannot allocate memory", "out of memory"]
            .iter()
            .any(|words| complaint.contains(words));
        if is_of_memory {
            return self.too_much_memory();
        }
        // These ends are not the component's doing: the system or an operator ended the child, for want of memory or
        // processes, or the child had no thread.
        let is_killed = signal.is_some_and(|signal| {
            // The last signal is a filter's, which kills for a call that it forbids.
            [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP, Signal::SYS]
                .iter()
                .any(|by| by.as_raw() == signal)
        });
        let has_no_thread = complaint.contains("WouldBlock");
        let last_line = complaint.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        let how = match (signal, last_line) {
            (Some(signal), "") => format!("it was ended by signal {signal}"),
            (Some(signal), said) => format!("it was ended by signal {signal}: {said}"),
            (None, said) => format!("{status}: {said}"),
        };
        if is_killed || has_no_thread {
            ComponentError::NoCompiler(how)
        } else {
            ComponentError::Crashed(how)
        }
    }

    fn too_much_memory(&self) -> ComponentError {
        ComponentError::CompileMemory { most: Size(self.limits.compile_memory_bytes) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS)
}

enum Taken<'a> {
    Live(Component),
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

/// The digest of everything that decides if kept code is the code that compiling would give: the engine, the rules of
/// intake, and the changes before compilation.
fn fingerprint(sandbox: &Sandbox) -> Digest {
    let mut sum = Sum(Sha256::new());
    sandbox.engine.precompile_compatibility_hash().hash(&mut sum);
    env!("CARGO_PKG_VERSION").hash(&mut sum);
    Rule::ALL.map(|rule| (rule, rule.most())).hash(&mut sum);
    (rewrite::REVISION, rewrite::PIECES, sandbox.code.reads_pages, sandbox.code.restores).hash(&mut sum);
    Digest::from(<[u8; 32]>::from(sum.0.finalize()))
}

/// SHA-256 as a hasher of std's traits. The sum is read from the inner value.
struct Sum(Sha256);

impl Hasher for Sum {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;
