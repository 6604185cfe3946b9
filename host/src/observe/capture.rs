//! A log kept in memory, so that a test can read the lines of the host.
//!
//! Owns the lines; keeps the last 100,000 of them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

const KEPT_LINES: usize = 100_000;

/// The lines of a log made by [`Log::capture`](super::Log::capture); clones share them.
#[derive(Clone)]
pub struct Captured {
    memory: Arc<Memory>,
}

impl Captured {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self { memory }
    }

    /// All lines so far, oldest first, each as a JSON object.
    pub fn lines(&self) -> Vec<Value> {
        self.memory.lock().lines.iter().filter_map(|line| parse(line)).collect()
    }

    /// The lines whose field `request-id` is `id`.
    pub fn lines_of_request(&self, id: &str) -> Vec<Value> {
        let of_request = |line: &Value| line.get("request-id").is_some_and(|value| value == id);
        self.lines().into_iter().filter(of_request).collect()
    }

    /// The first line, sent already or to come, for which `predicate` is true; `None` if there is none `within` that
    /// time. Blocks the thread, and the log while `predicate` runs.
    pub fn wait_for(&self, within: Duration, predicate: impl Fn(&Value) -> bool) -> Option<Value> {
        let started = Instant::now();
        let mut kept = self.memory.lock();
        let mut seen = 0_usize;
        loop {
            let fresh = kept.lines.iter().skip(seen.saturating_sub(kept.forgotten));
            if let Some(line) = fresh.filter_map(|line| parse(line)).find(&predicate) {
                return Some(line);
            }
            seen = kept.forgotten.saturating_add(kept.lines.len());
            let left = within.checked_sub(started.elapsed())?;
            let woken = self.memory.arrived.wait_timeout(kept, left);
            kept = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.memory.lock().lines).finish()
    }
}

#[derive(Default)]
pub(super) struct Memory {
    kept: Mutex<Kept>,
    arrived: Condvar,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    /// The number of lines before the first that is kept.
    forgotten: usize,
}

impl Memory {
    pub(super) fn push(&self, line: String) {
        let mut kept = self.lock();
        if kept.lines.len() >= KEPT_LINES {
            kept.lines.pop_front();
            kept.forgotten = kept.forgotten.saturating_add(1);
        }
        kept.lines.push_back(line);
        drop(kept);
        self.arrived.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}

#[cfg(test)]
mod tests {
    use super::super::Log;
    use super::*;

    #[test]
    fn a_test_reads_the_lines_of_one_request() {
        let (log, captured) = Log::capture();
        log.info("request").field("request-id", "a").send();
        log.debug("guest").field("request-id", "b").send();
        log.warn("trap").field("request-id", "a").send();
        let messages: Vec<Value> =
            captured.lines_of_request("a").iter().map(|line| line["message"].clone()).collect();
        assert_eq!(messages, ["request", "trap"]);
    }

    #[test]
    fn a_test_waits_for_a_line_that_comes_later() {
        let (log, captured) = Log::capture();
        log.info("starting").send();
        let later = std::thread::spawn(move || log.info("ready").field("port", 8080).send());
        let line = captured.wait_for(Duration::from_secs(10), |line| line["message"] == "ready");
        assert_eq!(line.unwrap()["port"], 8080);
        later.join().unwrap();
        assert_eq!(captured.wait_for(Duration::ZERO, |line| line["message"] == "never"), None);
    }

    #[test]
    fn the_oldest_lines_are_forgotten() {
        let (log, captured) = Log::capture();
        for n in 0..KEPT_LINES + 2 {
            log.info("line").field("n", n).send();
        }
        let first = captured.wait_for(Duration::ZERO, |_| true).unwrap();
        assert_eq!(first["n"], 2);
    }
}
