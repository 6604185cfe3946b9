//! Who runs where: the server on one core, the load on another, so that neither takes the other's time.

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores of a run, by the numbers that Linux gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cores {
    /// Each server on one, the load on another.
    Apart { server: usize, load: usize },
    /// All cores that this process may use, for both.
    Shared,
}

impl Cores {
    /// Two of those that this process may use, if there are two; not two halves of one, if that can be had.
    pub(super) fn apart() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("cannot ask which cores may be used")?;
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        Self::choose(&allowed, siblings)
    }

    /// `siblings` gives the text of `thread_siblings_list` of a core.
    fn choose(allowed: &[usize], siblings: impl Fn(usize) -> String) -> Result<Self> {
        let [load, others @ ..] = allowed else { bail!("this process may use no core") };
        let of_load = siblings(*load);
        let apart = others.iter().find(|core| siblings(**core) != of_load);
        let Some(server) = apart.or(others.first()) else {
            bail!(
                "this process may use one core alone, and two are needed: give it a second one, or --both-cores"
            );
        };
        Ok(Self::Apart { server: *server, load: *load })
    }

    /// Binds the calling thread, and those that it starts from now on, to the load's core.
    pub(super) fn bind_load(self) -> Result<()> {
        if let Self::Apart { load, .. } = self {
            let mut only = CpuSet::new();
            only.set(load);
            sched_setaffinity(None, &only).with_context(|| format!("cannot bind the load to core {load}"))?;
        }
        Ok(())
    }

    /// The core to start a server on, if it is to have one alone.
    pub(super) fn of_server(self) -> Option<usize> {
        match self {
            Self::Apart { server, .. } => Some(server),
            Self::Shared => None,
        }
    }
}

impl std::fmt::Display for Cores {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Apart { server, load } => {
                let halves =
                    if siblings(*server) == siblings(*load) { ", two threads of one core" } else { "" };
                write!(out, "each server bound to CPU {server}, the load to CPU {load}{halves}")
            }
            Self::Shared => write!(out, "servers and load bound to no core"),
        }
    }
}

/// The numbers of the threads of the core that this one is a thread of. Where Linux does not say, of this one alone.
fn siblings(core: usize) -> String {
    let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    std::fs::read_to_string(path).map_or_else(|_| core.to_string(), |list| list.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::Cores;

    #[test]
    fn two_cores_are_chosen_and_two_halves_of_one_only_for_want_of_others() {
        let alone = |core: usize| core.to_string();
        let halves = |core: usize| format!("{},{}", core / 2 * 2, core / 2 * 2 + 1);
        for (allowed, chosen) in [
            (Cores::choose(&[0, 1], alone), (1, 0)),
            (Cores::choose(&[3, 5, 7], alone), (5, 3)),
            (Cores::choose(&[0, 1, 2, 3], halves), (2, 0)),
            (Cores::choose(&[0, 1], halves), (1, 0)),
        ] {
            let (server, load) = chosen;
            assert_eq!(allowed.unwrap(), Cores::Apart { server, load });
        }
    }

    #[test]
    fn one_core_is_too_few_and_the_error_says_what_helps() {
        let error = Cores::choose(&[4], |core| core.to_string()).unwrap_err();
        assert!(error.to_string().contains("--both-cores"), "{error}");
    }
}
