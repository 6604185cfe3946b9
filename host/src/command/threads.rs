//! Threads: the check that the system gives this process as many as it needs, before any of them is needed.
//!
//! Libraries expect that a thread can always be started, and panic or wait for ever if not. So as many threads as a
//! host needs are started at once and ended again, and a missing one is reported by the name of the limit.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use crate::sandbox::{PROCESSES, ProcessLimits};

/// The longest wait for the end of threads: they count until the kernel has released them.
const PATIENCE: Duration = Duration::from_secs(5);

/// The system has too few threads for this process.
#[derive(Debug)]
pub(super) struct TooFew {
    needed: usize,
    had: usize,
    reason: io::Error,
    /// The cgroup's limit, if it is known.
    most_of_cgroup: Option<String>,
}

impl fmt::Display for TooFew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed, had, reason, most_of_cgroup } = self;
        write!(
            f,
            "this host needs {needed} threads and processes at the least, and the system gives {had}: {reason}; "
        )?;
        match ProcessLimits::of_this().soft(PROCESSES) {
            Some(most) => write!(f, "`LimitNPROC=` (`ulimit -u`) is {most}, for all that the user runs, ")?,
            None => f.write_str("`LimitNPROC=` (`ulimit -u`) has no limit, ")?,
        }
        let most_of_cgroup = most_of_cgroup.as_deref().unwrap_or("not known");
        write!(f, "`TasksMax=` (`pids.max` of the cgroup) is {most_of_cgroup}: raise what is too low")
    }
}

/// Starts `needed` threads at once, and ends them.
pub(super) fn probe(needed: usize) -> Result<(), TooFew> {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    let mut started = Vec::new();
    let mut refused = None;
    while started.len() < needed && refused.is_none() {
        let gate = gate.clone();
        // A poisoned lock does not matter: it protects nothing.
        match Builder::new().spawn(move || drop(gate.lock())) {
            Ok(thread) => started.push(thread),
            Err(error) => refused = Some(error),
        }
    }
    let had = started.len();
    drop(closed);
    // The threads do nothing that could panic.
    started.into_iter().for_each(|thread| _ = thread.join());
    until_alone();
    match refused {
        None => Ok(()),
        Some(reason) => Err(TooFew { needed, had, reason, most_of_cgroup: most_of_cgroup() }),
    }
}

/// Waits until the kernel has released all threads except this one.
fn until_alone() {
    let began = Instant::now();
    while began.elapsed() < PATIENCE && threads().is_some_and(|threads| threads > 1) {
        thread::yield_now();
    }
}

fn threads() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("Threads:"))?.trim().parse().ok()
}

fn most_of_cgroup() -> Option<String> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let most = std::fs::read_to_string(pids_folder(&groups)?.join("pids.max")).ok()?;
    Some(most.trim().to_owned())
}

/// The folder with the limit for a process of these groups, as `/proc/self/cgroup` lists them.
fn pids_folder(groups: &str) -> Option<PathBuf> {
    let below = |root: &str, path: &str| Path::new(root).join(path.trim_start_matches('/'));
    let of = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        match controllers {
            "" => Some(below("/sys/fs/cgroup", path)),
            _ if controllers.split(',').any(|controller| controller == "pids") => {
                Some(below("/sys/fs/cgroup/pids", path))
            }
            _ => None,
        }
    };
    // Of two hierarchies, the older one has the limit, if it exists.
    let found = groups.lines().filter_map(of);
    found.max_by_key(|folder| folder.starts_with("/sys/fs/cgroup/pids"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_the_limit_is_that_of_either_kind_of_cgroup() {
        for (groups, folder) in [
            ("0::/system.slice/jackfield.service\n", Some("/sys/fs/cgroup/system.slice/jackfield.service")),
            ("0::/\n", Some("/sys/fs/cgroup/")),
            ("4:cpu,pids:/host\n0::/x\n", Some("/sys/fs/cgroup/pids/host")),
            ("0::/x\n4:pids:/a:b\n", Some("/sys/fs/cgroup/pids/a:b")),
            ("4:memory:/host\n", None),
            ("", None),
            ("nonsense", None),
        ] {
            assert_eq!(pids_folder(groups).as_deref(), folder.map(Path::new), "{groups:?}");
        }
    }

    #[test]
    fn as_many_threads_as_are_given_are_enough() {
        assert!(probe(20).is_ok());
    }

    #[test]
    fn what_is_missing_is_told_with_every_limit_that_there_is() {
        let reason = io::Error::from_raw_os_error(11);
        let said = TooFew { needed: 20, had: 5, reason, most_of_cgroup: Some("33".into()) }.to_string();
        for part in ["20 threads", "gives 5", "Resource temporarily unavailable", "`ulimit -u`", "is 33"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
