//! Confinement: the rights in the system that a process of this program gives up before it does anything for others.
//!
//! The kernel's rules bind a thread and those that it starts, and cannot be loosened: so `command` confines the host
//! after the state folder was made and before the first thread is started, and whatever a host writes, binds or
//! executes later must be in [`Needs`]. Reading and connecting are not bounded: a reload may name new files, and
//! `capability/http` decides where guests connect.
//!
//! Confinement is a defence behind the sandbox. A guest that broke out of the sandbox would be in a process that can
//! write only to the host's state, start only its own program, and use only the system calls that a server needs.
//! Owns the rules, and the report of the gaps in them. Leaves to `host` which folders and ports a host needs, and to
//! `command` when to confine, and the consequences of a gap.

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[path = "linux/mod.rs"]
mod system;

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "elsewhere.rs"]
mod system;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

/// The confinement that the operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Confinement {
    /// All means that the system has.
    #[default]
    BestEffort,
    /// All means, or the host does not start.
    Required,
    /// No confinement.
    Off,
}

impl Confinement {
    /// All values, each by its name in the site file.
    pub const NAMED: [(&str, Self); 3] =
        [("best-effort", Self::BestEffort), ("required", Self::Required), ("off", Self::Off)];
}

/// The needs of a host once it is confined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// The folder that the host writes to. It must exist.
    pub state: PathBuf,
    /// The folders in which the host makes and removes sockets. A folder that does not exist gets no rule.
    pub socket_folders: BTreeSet<PathBuf>,
    /// The TCP ports that the host binds; 0 is any free one.
    pub tcp_ports: BTreeSet<u16>,
}

/// A means of the system by which a process is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Means {
    /// `PR_SET_NO_NEW_PRIVS`: no started program has more rights than this process.
    NoNewPrivileges,
    /// capabilities(7): the rights of root beyond its own files are given up.
    Capabilities,
    /// landlock(7): bounds which files are written to or executed, which ports are bound, which processes are
    /// signalled.
    Landlock,
    /// seccomp(2): bounds the system calls.
    Seccomp,
}

impl Means {
    /// All means.
    pub const ALL: [Self; 4] = [Self::NoNewPrivileges, Self::Capabilities, Self::Landlock, Self::Seccomp];

    /// The means' name in the kernel's documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoNewPrivileges => "no_new_privs",
            Self::Capabilities => "capabilities",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
        }
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The result of confining.
#[derive(Debug, Default)]
pub struct Confined {
    /// The means that hold from now on, each with its extent.
    pub held: Vec<(Means, String)>,
    /// The means that do not hold, or not in full, each with the reason. A means may be in both lists.
    pub gaps: Vec<(Means, String)>,
}

impl Confined {
    /// True if the means holds, at least in part.
    pub fn holds(&self, means: Means) -> bool {
        self.held.iter().any(|(held, _)| *held == means)
    }

    fn note(&mut self, means: Means, result: Result<String, String>) {
        match result {
            Ok(extent) => self.held.push((means, extent)),
            Err(why) => self.gaps.push((means, why)),
        }
    }
}

/// Confines the calling thread, and all threads and programs that it starts from now on, to the needs of a host: it
/// reads any file, writes beneath its state, makes sockets where it listens, binds its ports, connects anywhere, and
/// executes nothing but its own program. This cannot be undone. Must be called before any other thread exists,
/// because other threads are not confined.
pub fn host(needs: &Needs) -> Confined {
    system::host(needs)
}

/// Confines the calling thread, and all threads that it starts, to the needs of a compiler between two pipes: memory,
/// threads, and the open descriptors. It opens no file and no socket, starts no program, and cannot make memory
/// executable. This cannot be undone.
pub fn compiler() -> Confined {
    system::compiler()
}
