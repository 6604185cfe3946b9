//! One compilation: a child process with limits, and the meaning of its end.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::answer::CompileReply;
use super::code::MAX_CODE_BYTES;
use super::process::{self, ChildBounds, ChildExit, ExitCause, StopSignal};
use super::program::CompilerProgram;
use super::task::Task;
use crate::limits::IntakeLimits;
use crate::observe::Log;
use crate::sandbox::artifact::Size;
use crate::sandbox::component_error::ComponentError;
use crate::sandbox::configuration::CodeSettings;
use crate::sandbox::refusal::advice;

/// The longest time of a child by the wall clock, as a multiple of its CPU time: a busy machine gives the child less
/// than a core.
const WALL_FOR_CPU: u32 = 4;

/// The most threads of one child. More threads hardly hasten it, and each takes memory that has a limit.
const MOST_THREADS: usize = 4;

/// The child processes that compile.
pub(super) struct ChildCompiler {
    program: CompilerProgram,
    pub(super) limits: IntakeLimits,
    code: CodeSettings,
    is_confined: bool,
    stop: StopSignal,
    log: Log,
    /// The log was told what children do without.
    has_told: AtomicBool,
}

impl ChildCompiler {
    pub(super) fn new(
        program: CompilerProgram,
        limits: IntakeLimits,
        code: CodeSettings,
        is_confined: bool,
        log: Log,
    ) -> io::Result<Self> {
        let (stop, has_told) = (StopSignal::new()?, AtomicBool::new(false));
        Ok(Self { program, limits, code, is_confined, stop, log, has_told })
    }

    /// Ends all compilations under way. From now on nothing is compiled.
    pub(super) fn stop(&self) {
        self.stop.stop();
    }

    /// Starts a child to compile an artifact, and returns its output.
    pub(super) fn compile(&self, bytes: &[u8]) -> Result<Vec<u8>, ComponentError> {
        let IntakeLimits { compile_time: time, compile_memory_bytes: memory_bytes, .. } = self.limits;
        let task = Task {
            code: self.code,
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

    /// The code in a child's output, or the child's refusal.
    pub(super) fn code_in<'a>(&self, output: &'a [u8]) -> Result<&'a [u8], ComponentError> {
        match CompileReply::read(output) {
            Some(CompileReply::CompiledCode(code)) => Ok(code),
            Some(CompileReply::NotTaken(why)) => Err(ComponentError::NotTaken(why.to_owned())),
            Some(CompileReply::Invalid(why)) => Err(ComponentError::Invalid(why.to_owned())),
            Some(CompileReply::OutOfMemory) => Err(self.too_much_memory()),
            Some(CompileReply::Prevented(why)) => Err(ComponentError::NoCompiler(why.to_owned())),
            None => Err(ComponentError::Crashed("it answered nothing that makes sense".into())),
        }
    }
}

/// The number of threads that compile in one child.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS)
}
