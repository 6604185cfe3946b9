//! Whose turn it is to load: a step at a time of each tenant, tenants in turn, a bounded number of steps at once.
//!
//! A step compiles one component at most, so a tenant with many waits behind every other tenant after each of its own.
//! Of one tenant one step runs at a time; work that replaces other work of its tenant begins when that has ended its
//! step. Threads come with work and go when there is none. A step that panics ends its own tenant's work, which is told,
//! and nothing else. Knows nothing of what a step does.

use std::any::Any;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tenant::TenantName;

/// Threads that load tenants, at the least: nobody has all of them with one component.
pub const LEAST_LOADERS: usize = 2;

/// What is left of a tenant's work after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Another step.
    More,
    /// Nothing.
    Done,
}

/// A tenant's work.
pub(super) trait Work: Send {
    /// Does the next of it.
    fn step(&mut self) -> Progress;

    /// A step panicked, saying this: it was the last.
    fn panicked(self: Box<Self>, said: &str);
}

/// Work of all tenants; clones share it.
#[derive(Clone)]
pub(super) struct Turns {
    most: usize,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    /// Tenants with work and no step under way, in their order.
    line: VecDeque<TenantName>,
    work: BTreeMap<TenantName, Held>,
    threads: usize,
}

/// Work of one tenant.
enum Held {
    /// It stands in line.
    Ready(Box<dyn Work>),
    /// A step is under way; afterwards it is the turn of other work, if there is some.
    UnderWay(Option<Box<dyn Work>>),
}

impl Turns {
    /// So many steps at once as the machine has cores, and [`LEAST_LOADERS`] at least.
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
        Self { most: cores.clamp(LEAST_LOADERS, 8), waiting: Arc::default() }
    }

    /// Gives a tenant work, in place of what it has.
    ///
    /// # Errors
    /// If there is no thread for it, and none can be had.
    pub(super) fn give(&self, tenant: TenantName, work: Box<dyn Work>) -> io::Result<()> {
        let mut waiting = self.waiting();
        match waiting.work.entry(tenant.clone()) {
            Entry::Occupied(mut held) => match held.get_mut() {
                Held::Ready(ready) => *ready = work,
                Held::UnderWay(next) => *next = Some(work),
            },
            Entry::Vacant(place) => {
                place.insert(Held::Ready(work));
                waiting.line.push_back(tenant.clone());
            }
        }
        if waiting.threads >= self.most || waiting.threads >= waiting.work.len() {
            return Ok(());
        }
        let turns = self.clone();
        let started = std::thread::Builder::new().name("load".into()).spawn(move || turns.work());
        match started {
            Ok(_) => waiting.threads = waiting.threads.saturating_add(1),
            // Those that there are will come to it.
            Err(_) if waiting.threads > 0 => {}
            Err(error) => {
                waiting.work.remove(&tenant);
                waiting.line.retain(|other| *other != tenant);
                return Err(error);
            }
        }
        Ok(())
    }

    /// A thread's life.
    fn work(&self) {
        let mut waiting = self.waiting();
        while let Some(tenant) = waiting.line.pop_front() {
            let Some(Held::Ready(work)) = waiting.work.insert(tenant.clone(), Held::UnderWay(None)) else {
                continue;
            };
            drop(waiting);
            let unfinished = step(work);
            waiting = self.waiting();
            let next = match waiting.work.remove(&tenant) {
                Some(Held::UnderWay(Some(next))) => Some(next),
                _ => unfinished,
            };
            if let Some(next) = next {
                waiting.work.insert(tenant.clone(), Held::Ready(next));
                waiting.line.push_back(tenant);
            }
        }
        waiting.threads = waiting.threads.saturating_sub(1);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a step, and gives the work back if there is more of it. A thread that ended here would keep its tenant's turn
/// for ever.
fn step(mut work: Box<dyn Work>) -> Option<Box<dyn Work>> {
    match catch_unwind(AssertUnwindSafe(|| work.step())) {
        Ok(Progress::More) => Some(work),
        Ok(Progress::Done) => None,
        Err(panic) => {
            // If telling it panics as well, standard error has both.
            let _ = catch_unwind(AssertUnwindSafe(|| work.panicked(said(&*panic))));
            None
        }
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked without a word")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn tenant(name: &str) -> TenantName {
        TenantName::parse(name).unwrap()
    }

    fn turns(most: usize) -> Turns {
        Turns { most, waiting: Arc::default() }
    }

    /// Work that says its name at each step, and waits to be let on after each.
    struct Steps {
        name: &'static str,
        left: usize,
        says: Sender<&'static str>,
        go: Receiver<()>,
    }

    impl Work for Steps {
        fn step(&mut self) -> Progress {
            self.says.send(self.name).unwrap();
            self.go.recv_timeout(PATIENCE).expect("nobody lets it on");
            self.left -= 1;
            if self.left == 0 { Progress::Done } else { Progress::More }
        }

        fn panicked(self: Box<Self>, said: &str) {
            assert!(said.contains("nobody lets it on"), "{said}");
            self.says.send("panicked").unwrap();
        }
    }

    fn steps(name: &'static str, left: usize, says: &Sender<&'static str>, go: Receiver<()>) -> Box<Steps> {
        Box::new(Steps { name, left, says: says.clone(), go })
    }

    #[test]
    fn tenants_take_turns_step_by_step() {
        let turns = turns(1);
        let (said, hear) = channel();
        let (go_a, wait_a) = channel();
        let (go_b, wait_b) = channel();
        turns.give(tenant("a"), steps("a", 3, &said, wait_a)).unwrap();
        assert_eq!(hear.recv_timeout(PATIENCE).unwrap(), "a");
        turns.give(tenant("b"), steps("b", 2, &said, wait_b)).unwrap();
        let mut order = Vec::new();
        go_a.send(()).unwrap();
        for (go, _) in [(&go_b, 1), (&go_a, 2), (&go_b, 2), (&go_a, 3)] {
            order.push(hear.recv_timeout(PATIENCE).unwrap());
            go.send(()).unwrap();
        }
        assert_eq!(order, ["b", "a", "b", "a"]);
    }

    #[test]
    fn who_takes_long_holds_up_nobody_as_long_as_there_is_a_thread() {
        let turns = turns(2);
        let (said, hear) = channel();
        let (go_slow, wait_slow) = channel();
        turns.give(tenant("slow"), steps("slow", 1, &said, wait_slow)).unwrap();
        assert_eq!(hear.recv_timeout(PATIENCE).unwrap(), "slow");
        for name in ["a", "b", "c"] {
            let (go, wait) = channel();
            turns.give(tenant(name), steps(name, 1, &said, wait)).unwrap();
            assert_eq!(hear.recv_timeout(PATIENCE).unwrap(), name);
            go.send(()).unwrap();
        }
        go_slow.send(()).unwrap();
    }

    #[test]
    fn of_one_tenant_one_step_runs_at_a_time_and_the_latest_work_replaces_what_waits() {
        let turns = turns(4);
        let (said, hear) = channel();
        let (go_first, wait_first) = channel();
        turns.give(tenant("a"), steps("first", 2, &said, wait_first)).unwrap();
        assert_eq!(hear.recv_timeout(PATIENCE).unwrap(), "first");
        let (_go, wait) = channel();
        turns.give(tenant("a"), steps("second", 1, &said, wait)).unwrap();
        let (go_third, wait_third) = channel();
        turns.give(tenant("a"), steps("third", 1, &said, wait_third)).unwrap();
        assert!(hear.try_recv().is_err());
        go_first.send(()).unwrap();
        assert_eq!(hear.recv_timeout(PATIENCE).unwrap(), "third");
        go_third.send(()).unwrap();
        drop(said);
        // Whoever could still say something is gone when its thread is.
        assert!(hear.recv_timeout(PATIENCE).is_err());
    }

    #[test]
    fn a_step_that_panics_ends_its_own_work_and_no_turn_is_lost() {
        let turns = turns(1);
        let (says, hear) = channel();
        let (go, wait) = channel();
        let (go_b, wait_b) = channel();
        turns.give(tenant("a"), steps("a", 1, &says, wait)).unwrap();
        assert_eq!(hear.recv_timeout(PATIENCE).unwrap(), "a");
        turns.give(tenant("b"), steps("b", 1, &says, wait_b)).unwrap();
        drop(go);
        let heard = [(); 2].map(|()| hear.recv_timeout(PATIENCE).unwrap());
        assert_eq!(heard, ["panicked", "b"]);
        go_b.send(()).unwrap();
        let (go, wait) = channel();
        turns.give(tenant("a"), steps("a again", 1, &says, wait)).unwrap();
        assert_eq!(hear.recv_timeout(PATIENCE).unwrap(), "a again");
        go.send(()).unwrap();
    }
}
