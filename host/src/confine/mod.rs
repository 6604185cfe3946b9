//! Confinement: what a process of this program gives up of the system before it does anything for others.
//!
//! The kernel's rules bind a thread and those that it starts, and cannot be loosened: so `command` confines the host after
//! the state folder was made and before the first thread is started, and whatever a host writes, binds or executes later
//! must be in [`Needs`]. Reading and connecting are not bounded: a reload may name new files, and `capability/http` decides
//! where guests connect.
//!
//! Defence behind the sandbox. Were a guest to break out of it, it would find itself in a process that can write to
//! nothing but the host's state, start nothing but its own program, and ask the kernel for nothing that a server has no
//! use for. Owns the rules, and what could not be had of them. Which folders and ports a host needs is told by `host`;
//! when to confine, and what to make of a gap, is for `command`.

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[path = "linux/mod.rs"]
mod system;

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "elsewhere.rs"]
mod system;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

/// How much confinement the operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Confinement {
    /// As much as the system gives.
    #[default]
    BestEffort,
    /// All of it, or the host does not start.
    Required,
    /// None.
    Off,
}

impl Confinement {
    /// Each by its name in the site file.
    pub const NAMED: [(&str, Self); 3] =
        [("best-effort", Self::BestEffort), ("required", Self::Required), ("off", Self::Off)];
}

/// What a host goes on needing of the system once it is confined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// The folder that it writes to. It must be there.
    pub state: PathBuf,
    /// The folders in which it makes and removes sockets. One that is not there gets no rule.
    pub socket_folders: BTreeSet<PathBuf>,
    /// The TCP ports that it binds; 0 is any free one.
    pub tcp_ports: BTreeSet<u16>,
}

/// One of the means by which a process is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Means {
    /// No program that it starts has more rights than it has itself: `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivileges,
    /// What root may do beyond its own files is given back: capabilities(7).
    Capabilities,
    /// Which files are written to or executed, which ports are bound, who is signalled: landlock(7).
    Landlock,
    /// Which system calls there are: seccomp(2).
    Seccomp,
}

impl Means {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::NoNewPrivileges, Self::Capabilities, Self::Landlock, Self::Seccomp];

    /// Its name, as the kernel's own documentation has it.
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

/// What came of confining.
#[derive(Debug, Default)]
pub struct Confined {
    /// What holds from now on, and to what extent.
    pub held: Vec<(Means, String)>,
    /// What does not, or not in full, and why. One of the means may be in both.
    pub gaps: Vec<(Means, String)>,
}

impl Confined {
    /// Whether one of the means holds, in part at least.
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

/// Confines the calling thread, and all that it starts from now on, to what a host needs: it reads any file, writes
/// beneath its state, makes sockets where it listens, binds its ports, connects anywhere, and executes nothing but its
/// own program. Cannot be undone. To be called before any other thread is there: those keep what they have.
pub fn host(needs: &Needs) -> Confined {
    system::host(needs)
}

/// Confines the calling thread, and all that it starts, to what a compiler between two pipes needs: memory, threads,
/// and the descriptors that are open. It opens no file and no socket, starts no program, and can make no memory
/// executable. Cannot be undone.
pub fn compiler() -> Confined {
    system::compiler()
}
