//! The child process: a component on standard input, compiled code or a refusal on standard output.
//!
//! Owns the confinement of the process before it reads a byte: memory, CPU, files, priority. Runs no code that it
//! compiles. The process runs this same program, so that both agree on how code is made; the command that starts it
//! is hidden.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use rustix::process::{Pid, Resource, Rlimit, getppid, nice, setrlimit};

use super::answer::CompileReply;
use super::code::MAX_CODE_BYTES;
use super::descriptors::close_inherited;
use super::task::Task;
use crate::sandbox::configuration::compiling_engine;
use crate::sandbox::process_limits::{self as limits, LimitName, ProcessLimits};
use crate::sandbox::refusal::is_of_memory;
use crate::sandbox::{intake, rewrite};

/// The descriptors of the child: the three that it is given, and those that starting threads takes for a moment.
const DESCRIPTORS: u64 = 16;

/// The child's niceness: below every process that answers requests, and above those that only run on idle machines.
const NICENESS: i32 = 5;

/// Compiles the component on standard input, and writes the result to standard output.
///
/// # Errors
/// If nobody takes the answer.
pub fn compile_standard_input(task: Task) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let mut bytes = Vec::new();
    let read = |bytes| io::stdin().lock().read_to_end(bytes);
    let ready = confine(&task).and_then(|()| read(&mut bytes).map_err(named("read")));
    if let Err(error) = ready {
        return CompileReply::Prevented(&error.to_string()).write(&mut stdout);
    }
    match compile(&task, &bytes) {
        Ok(code) => CompileReply::CompiledCode(&code).write(&mut stdout),
        Err(Refusal::NotTaken(why)) => CompileReply::NotTaken(&why).write(&mut stdout),
        Err(Refusal::Invalid(why)) => CompileReply::Invalid(&why).write(&mut stdout),
        Err(Refusal::OutOfMemory) => CompileReply::OutOfMemory.write(&mut stdout),
        Err(Refusal::Prevented(why)) => CompileReply::Prevented(&why).write(&mut stdout),
    }
}

enum Refusal {
    NotTaken(String),
    Invalid(String),
    OutOfMemory,
    Prevented(String),
}

fn compile(task: &Task, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let check = |bytes: &[u8]| intake::check(bytes).map_err(|error| Refusal::NotTaken(error.to_string()));
    check(bytes)?;
    let bytes = rewrite::rewrite(bytes, task.code.reads_pages, task.code.restores);
    let bytes = bytes.map_err(|error| Refusal::Invalid(error.to_string()))?;
    if let Cow::Owned(rewritten) = &bytes {
        // This component is larger than the one that was sent.
        check(rewritten)?;
    }
    let invalid = |error: wasmtime::Error| {
        if is_of_memory(&error) { Refusal::OutOfMemory } else { Refusal::Invalid(format!("{error:#}")) }
    };
    let engine = compiling_engine(task.code).map_err(|error| Refusal::Prevented(format!("{error:#}")))?;
    let code = engine.precompile_component(&bytes).map_err(invalid)?;
    if code.len() > MAX_CODE_BYTES {
        let most = MAX_CODE_BYTES >> 20;
        return Err(Refusal::NotTaken(format!("its compiled code has more than {most} MiB")));
    }
    Ok(code)
}

/// Takes all rights and resources from this process that a compiler does not need, for good.
fn confine(task: &Task) -> io::Result<()> {
    close_inherited().map_err(named("closing inherited descriptors"))?;
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        // The thread that started this process waits for it: if that thread is gone, so is the host.
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(named("prctl(PR_SET_PDEATHSIG)"))?;
    }
    // A host that died before the signal was asked for sends none: another process is the parent by now.
    if !is_child_of(task.parent) {
        return Err(io::Error::other("the host that started the compiler is gone"));
    }
    // A courtesy to other processes; compiling works without it. The host hears of a failure.
    if let Err(error) = nice(NICENESS) {
        let _ = writeln!(
            io::stderr(),
            "setpriority: {error}: components are compiled at the host's own priority"
        );
    }
    let seconds = task.time.as_secs().saturating_add(u64::from(task.time.subsec_nanos() > 0));
    let has = ProcessLimits::of_this();
    for (name, resource, most) in [
        (limits::CORE, Resource::Core, 0),
        (limits::FILE_SIZE, Resource::Fsize, 0),
        (limits::DESCRIPTORS, Resource::Nofile, DESCRIPTORS),
        (limits::ADDRESS_SPACE, Resource::As, task.memory_bytes),
    ] {
        limit(&has, name, resource, (most, most))?;
    }
    // At the first limit the process gets a signal, at the second it is killed.
    limit(&has, limits::CPU_TIME, Resource::Cpu, (seconds, seconds.saturating_add(1)))?;
    if task.is_confined {
        // The host, which confines itself alike, tells of the parts that this system does not have.
        let _ = crate::confine::compiler();
    }
    Ok(())
}

/// An error under the name of the call that failed.
fn named<E: std::fmt::Display>(call: &'static str) -> impl FnOnce(E) -> io::Error {
    move |error| io::Error::other(format!("{call}: {error}"))
}

fn is_child_of(parent: u32) -> bool {
    let parent = i32::try_from(parent).ok().and_then(Pid::from_raw);
    parent.is_some() && getppid() == parent
}

/// Lowers a limit. A limit that is lower already stays.
fn limit(has: &ProcessLimits, name: LimitName, resource: Resource, most: (u64, u64)) -> io::Result<()> {
    let (current, maximum) = most;
    let maximum = has.hard(name).map_or(maximum, |has| has.min(maximum));
    let limit = Rlimit { current: Some(current.min(maximum)), maximum: Some(maximum) };
    setrlimit(resource, limit).map_err(named("setrlimit, which takes what a compiler does not need"))
}

/// The form of a task on the child's command line.
impl Task {
    /// The task's arguments, in the order in which the command has them.
    pub(super) fn to_arguments(self) -> Vec<String> {
        let Self { code, time, memory_bytes, is_confined, parent } = self;
        let mut arguments = vec![
            code.reservation_bytes.to_string(),
            code.guard_bytes.to_string(),
            time.as_millis().to_string(),
            memory_bytes.to_string(),
            parent.to_string(),
        ];
        if !is_confined {
            arguments.push("--unconfined".into());
        }
        if !code.maps_images {
            arguments.push("--copied".into());
        }
        if code.reads_pages {
            arguments.push("--read".into());
        }
        if code.restores {
            arguments.push("--restored".into());
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_knows_its_parent_from_any_other_process() {
        assert!(is_child_of(std::os::unix::process::parent_id()));
        for other in [0, std::process::id(), u32::MAX] {
            assert!(!is_child_of(other), "{other}");
        }
    }
}
