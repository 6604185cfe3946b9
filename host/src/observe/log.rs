//! The log: a handle that is passed around, and the thread that writes the queued lines.
//!
//! Owns the queue between the two. A caller formats its own line and appends it under a short lock: no request ever
//! waits for a terminal or a disk. When the queue is full, lines are dropped and counted, and a line of the log says
//! how many. The lines of one tenant may take at most as much of the queue as is left for others, and so may the lines
//! of requests without a tenant: a flood of one does not drop the lines of another. Leaves the form of a line to
//! `line`.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use super::capture::{Captured, Memory};
use super::line::{Format, Level, Line, Value};
use crate::tenant::TenantName;

/// The bounds of the queue. Guests' lines are long, so the bytes are bounded too.
const QUEUE_LINES: usize = 8_192;
const QUEUE_BYTES: usize = 8 * 1024 * 1024;

/// The writer's rest after each batch. To wake the writer's thread costs the caller more than the line itself
/// (measured: 13 µs against 0.5 µs); with the rest, this is paid at most 200 times a second, and not with every line.
const REST: Duration = Duration::from_millis(5);

/// The longest time that [`Log::flush`] and the drop of the last handle wait for a slow writer.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

/// The capacity that a buffer keeps after a burst.
const USUAL_BATCH_BYTES: usize = 256 * 1024;

/// A handle to one log; clones share it. The drop of the last handle writes the queued lines, but waits at most a
/// second for that.
#[derive(Clone)]
pub struct Log {
    format: Format,
    min_level: Level,
    sink: Arc<Sink>,
}

enum Sink {
    Thread(Arc<Queue>),
    Memory(Arc<Memory>),
}

impl Log {
    /// A log of the lines of `min_level` and above, written by a thread of its own.
    ///
    /// # Errors
    ///
    /// If the operating system gives no thread.
    pub fn new(format: Format, min_level: Level, writer: Box<dyn Write + Send>) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let theirs = Arc::clone(&queue);
        thread::Builder::new().name("log".into()).spawn(move || write_batches(&theirs, format, writer))?;
        Ok(Self { format, min_level, sink: Arc::new(Sink::Thread(queue)) })
    }

    /// A log for tests, kept in memory: every line of every level, readable as soon as it is sent.
    pub fn capture() -> (Self, Captured) {
        let memory = Arc::new(Memory::default());
        let sink = Arc::new(Sink::Memory(Arc::clone(&memory)));
        (Self { format: Format::Json, min_level: Level::Debug, sink }, Captured::new(memory))
    }

    /// Begins a line of level debug.
    pub fn debug(&self, message: &str) -> Entry<'_> {
        self.entry(Level::Debug, message)
    }

    /// Begins a line of level info.
    pub fn info(&self, message: &str) -> Entry<'_> {
        self.entry(Level::Info, message)
    }

    /// Begins a line of level warn.
    pub fn warn(&self, message: &str) -> Entry<'_> {
        self.entry(Level::Warn, message)
    }

    /// Begins a line of level error.
    pub fn error(&self, message: &str) -> Entry<'_> {
        self.entry(Level::Error, message)
    }

    /// Begins a line. `message` is the host's own text; text of guests and callers goes into fields.
    pub fn entry(&self, level: Level, message: &str) -> Entry<'_> {
        self.entry_at(SystemTime::now(), level, message)
    }

    pub(super) fn entry_at(&self, time: SystemTime, level: Level, message: &str) -> Entry<'_> {
        let line = self.writes(level).then(|| Line::begin(self.format, time, level, message));
        Entry { log: self, line, whose: LineOwner::Host }
    }

    /// True if a line of `level` is written. For facts that are costly to find out and only logged.
    pub fn writes(&self, level: Level) -> bool {
        level >= self.min_level
    }

    /// Waits until everything sent so far is written, for a second at most.
    pub fn flush(&self) {
        if let Sink::Thread(queue) = &*self.sink {
            queue.flush();
        }
    }

    /// The number of lines that were lost, to a full queue or to a writer that failed.
    pub fn dropped_lines(&self) -> u64 {
        self.dropped_counter().map_or(0, |dropped| dropped.load(Ordering::Relaxed))
    }

    pub(super) fn dropped_counter(&self) -> Option<Arc<AtomicU64>> {
        match &*self.sink {
            Sink::Thread(queue) => Some(Arc::clone(&queue.dropped)),
            Sink::Memory(_) => None,
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("format", &self.format).field("min_level", &self.min_level).finish()
    }
}

/// A line being put together. It is written by [`Entry::send`].
#[derive(Debug)]
#[must_use = "an entry is written by `send`"]
pub struct Entry<'a> {
    log: &'a Log,
    /// The line so far; none if its level is not written.
    line: Option<Line>,
    whose: LineOwner,
}

/// The owner of a line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum LineOwner {
    /// The host's own.
    Host,
    /// Callers whose request is for no tenant of this host.
    Strangers,
    Tenant(TenantName),
}

impl Entry<'_> {
    /// Adds a field; an absent `Option` adds none.
    pub fn field(mut self, name: &'static str, value: impl Value) -> Self {
        if let Some(line) = &mut self.line {
            value.add_to(line, name);
        }
        self
    }

    /// Adds the tenant for which the line is written, as a field, and counts the line as the tenant's. Without a
    /// tenant, the line counts with all others of requests without one.
    pub fn tenant<'t>(mut self, tenant: impl Into<Option<&'t TenantName>>) -> Self {
        let Some(tenant) = tenant.into() else {
            self.whose = LineOwner::Strangers;
            return self;
        };
        self.whose = LineOwner::Tenant(tenant.clone());
        self.field("tenant", tenant)
    }

    /// Adds the text of a value that can be formatted, such as an error.
    pub fn display(self, name: &'static str, value: impl fmt::Display) -> Self {
        self.field(name, format_args!("{value}"))
    }

    /// Adds a text of several lines, such as a rendered diagnostic: see [`Line::block`].
    pub fn block(mut self, name: &'static str, value: &str) -> Self {
        if let Some(line) = &mut self.line {
            line.block(name, value);
        }
        self
    }

    /// Hands the line to the log. Never waits for the writer.
    pub fn send(self) {
        let Some(line) = self.line else { return };
        match &*self.log.sink {
            Sink::Thread(queue) => queue.push(&line.finish(), self.whose),
            Sink::Memory(memory) => memory.push(line.finish()),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Self::Thread(queue) = self {
            queue.lock().closed = true;
            queue.flush();
        }
    }
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Wakes the writer.
    ready: Condvar,
    /// Wakes the callers of `flush`.
    written: Condvar,
    dropped: Arc<AtomicU64>,
}

#[derive(Default)]
struct Waiting {
    text: String,
    lines: usize,
    /// The parts of `text` and `lines` by owner, except for the host's own.
    held: HashMap<LineOwner, QueueShare>,
    /// Lines that were dropped since the writer last took lines.
    dropped: u64,
    /// The number of all lines ever taken into the queue, and of those that the writer is done with.
    accepted: u64,
    done: u64,
    /// The writer sleeps until it is woken.
    parked: bool,
    /// A caller waits in `flush`: the writer does not rest between batches.
    hurried: bool,
    /// No handle is left: the queued lines are the last.
    closed: bool,
}

/// The part of the queue that the lines of one owner take.
#[derive(Default)]
struct QueueShare {
    lines: usize,
    bytes: usize,
}

impl Waiting {
    /// True if a line of `bytes` still fits into the queue; then the line is counted.
    fn takes(&mut self, bytes: usize, whose: LineOwner) -> bool {
        let lines_left = QUEUE_LINES.saturating_sub(self.lines);
        let bytes_left = QUEUE_BYTES.saturating_sub(self.text.len());
        if lines_left == 0 || bytes > bytes_left {
            return false;
        }
        if whose == LineOwner::Host {
            return true;
        }
        let held = self.held.entry(whose).or_default();
        if held.lines >= lines_left || held.bytes.saturating_add(bytes) > bytes_left {
            return false;
        }
        held.lines = held.lines.saturating_add(1);
        held.bytes = held.bytes.saturating_add(bytes);
        true
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &str, whose: LineOwner) {
        let mut waiting = self.lock();
        if waiting.takes(line.len(), whose) {
            waiting.text.push_str(line);
            waiting.lines = waiting.lines.saturating_add(1);
            waiting.accepted = waiting.accepted.saturating_add(1);
        } else {
            waiting.dropped = waiting.dropped.saturating_add(1);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if std::mem::take(&mut waiting.parked) {
            drop(waiting);
            self.ready.notify_one();
        }
    }

    fn flush(&self) {
        let mut waiting = self.lock();
        let target = waiting.accepted;
        waiting.hurried = true;
        self.ready.notify_one();
        // A writer that hangs is left behind: the result only says whether it did.
        let _ = self.written.wait_timeout_while(waiting, FLUSH_WAIT, |waiting| waiting.done < target);
    }

    /// Waits for lines, moves them into `batch`, and returns their number and the number of lines that were dropped
    /// after them; `None` if there will be no more lines.
    fn take(&self, batch: &mut String) -> Option<(u64, u64)> {
        let mut waiting = self.lock();
        while waiting.lines == 0 && waiting.dropped == 0 {
            if waiting.closed {
                return None;
            }
            waiting.parked = true;
            waiting = self.ready.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.parked = false;
        // The callers in `flush` wait for no line after this batch.
        waiting.hurried = false;
        waiting.lines = 0;
        waiting.held.clear();
        std::mem::swap(&mut waiting.text, batch);
        Some((waiting.accepted.saturating_sub(waiting.done), std::mem::take(&mut waiting.dropped)))
    }

    fn finish(&self, lines: u64) {
        let mut waiting = self.lock();
        waiting.done = waiting.done.saturating_add(lines);
        self.written.notify_all();
        let _ = self.ready.wait_timeout_while(waiting, REST, |waiting| !waiting.hurried && !waiting.closed);
    }
}

fn write_batches(queue: &Queue, format: Format, mut writer: Box<dyn Write + Send>) {
    let mut batch = String::new();
    while let Some((lines, dropped)) = queue.take(&mut batch) {
        if dropped > 0 {
            let mut line =
                Line::begin(format, SystemTime::now(), Level::Warn, "log lines dropped: the log is slow");
            dropped.add_to(&mut line, "lines");
            batch.push_str(&line.finish());
        }
        if writer.write_all(batch.as_bytes()).and_then(|()| writer.flush()).is_err() {
            queue.dropped.fetch_add(lines, Ordering::Relaxed);
        }
        batch.clear();
        batch.shrink_to(USUAL_BATCH_BYTES);
        queue.finish(lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A terminal that blocks each write until it is permitted.
    struct Terminal {
        permissions: mpsc::Receiver<()>,
        shown: Arc<Mutex<Vec<u8>>>,
        asked: mpsc::Sender<()>,
    }

    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.asked.send(());
            let _ = self.permissions.recv();
            self.shown.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Desk {
        permit: Option<mpsc::Sender<()>>,
        shown: Arc<Mutex<Vec<u8>>>,
        asked: mpsc::Receiver<()>,
    }

    fn slow_terminal() -> (Terminal, Desk) {
        let (permit, permissions) = mpsc::channel();
        let (asked, was_asked) = mpsc::channel();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let terminal = Terminal { permissions, shown: Arc::clone(&shown), asked };
        (terminal, Desk { permit: Some(permit), shown, asked: was_asked })
    }

    impl Desk {
        fn wait_for_a_write(&self) {
            self.asked.recv_timeout(Duration::from_secs(10)).unwrap();
        }

        fn let_everything_through(&mut self) {
            self.permit = None;
        }

        fn text(&self) -> String {
            String::from_utf8(self.shown.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn lines_below_the_level_are_not_written() {
        let (terminal, mut desk) = slow_terminal();
        let log = Log::new(Format::Text, Level::Warn, Box::new(terminal)).unwrap();
        desk.let_everything_through();
        log.info("quiet").field("n", 1).send();
        log.error("loud").display("why", io::Error::other("no disk")).send();
        log.flush();
        let text = desk.text();
        assert!(!text.contains("quiet"), "{text}");
        assert!(text.contains("ERROR loud why=\"no disk\"\n"), "{text}");
    }

    #[test]
    fn a_slow_terminal_holds_up_nobody_and_what_was_dropped_is_said() {
        let (terminal, mut desk) = slow_terminal();
        let log = Log::new(Format::Json, Level::Info, Box::new(terminal)).unwrap();
        log.info("first").send();
        // The writer now holds the first line, so the queue is empty.
        desk.wait_for_a_write();
        for n in 0..QUEUE_LINES + 7 {
            log.info("more").field("n", n).send();
        }
        assert_eq!(log.dropped_lines(), 7);
        desk.let_everything_through();
        log.flush();
        let text = desk.text();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 1 + QUEUE_LINES + 1);
        assert_eq!(lines[QUEUE_LINES]["n"], QUEUE_LINES - 1);
        assert_eq!(lines[QUEUE_LINES + 1]["lines"], 7);
    }

    #[test]
    fn a_tenant_that_floods_the_log_drops_its_own_lines_and_nobody_elses() {
        let (terminal, mut desk) = slow_terminal();
        let log = Log::new(Format::Json, Level::Info, Box::new(terminal)).unwrap();
        log.info("first").send();
        desk.wait_for_a_write();
        let [one, other, quiet] = ["one", "other", "quiet"].map(|name| TenantName::parse(name).unwrap());
        for _ in 0..2 * QUEUE_LINES {
            log.info("flood").tenant(&one).send();
            log.info("flood").tenant(&other).field("text", "x".repeat(2000).as_str()).send();
            log.info("flood of who asks for nobody").tenant(None).send();
        }
        let dropped = log.dropped_lines();
        log.info("still heard").tenant(&quiet).send();
        log.info("of the host's own").send();
        assert_eq!(log.dropped_lines(), dropped);
        desk.let_everything_through();
        log.flush();
        let text = desk.text();
        assert!(text.contains("still heard") && text.contains("of the host's own"));
    }

    #[test]
    fn requests_that_are_no_tenants_have_no_more_of_the_log_than_they_leave() {
        let (terminal, mut desk) = slow_terminal();
        let log = Log::new(Format::Json, Level::Info, Box::new(terminal)).unwrap();
        log.info("first").send();
        desk.wait_for_a_write();
        for _ in 0..2 * QUEUE_LINES {
            log.info("request").tenant(None).send();
        }
        assert_eq!(log.dropped_lines(), u64::try_from(2 * QUEUE_LINES - QUEUE_LINES / 2).unwrap());
        let quiet = TenantName::parse("quiet").unwrap();
        for _ in 0..QUEUE_LINES / 8 {
            log.info("request").tenant(&quiet).send();
            log.info("of the host's own").send();
        }
        assert_eq!(log.dropped_lines(), u64::try_from(2 * QUEUE_LINES - QUEUE_LINES / 2).unwrap());
        desk.let_everything_through();
    }

    #[test]
    fn long_lines_are_bounded_in_bytes_too() {
        let (terminal, mut desk) = slow_terminal();
        let log = Log::new(Format::Json, Level::Info, Box::new(terminal)).unwrap();
        log.info("first").send();
        desk.wait_for_a_write();
        let long = "x".repeat(64 * 1024);
        for _ in 0..200 {
            log.info("guest").field("text", &long).send();
        }
        assert!(log.dropped_lines() >= 200 - 128, "{}", log.dropped_lines());
        desk.let_everything_through();
    }

    #[test]
    fn dropping_the_last_handle_writes_what_is_queued() {
        let (terminal, mut desk) = slow_terminal();
        desk.let_everything_through();
        let log = Log::new(Format::Text, Level::Info, Box::new(terminal)).unwrap();
        let other = log.clone();
        for n in 0..100 {
            log.info("line").field("n", n).send();
        }
        drop(log);
        other.info("last").send();
        drop(other);
        let text = desk.text();
        assert_eq!(text.lines().count(), 101);
        assert!(text.ends_with("last\n"));
    }

    #[test]
    fn lines_lost_to_a_failing_writer_are_counted() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let log = Log::new(Format::Text, Level::Info, Box::new(Closed)).unwrap();
        log.info("one").send();
        log.flush();
        log.info("two").send();
        log.flush();
        assert_eq!(log.dropped_lines(), 2);
    }

    #[test]
    fn two_logs_in_one_process_do_not_mix() {
        let (one, ones) = Log::capture();
        let (two, twos) = Log::capture();
        one.info("one").send();
        two.info("two").send();
        assert_eq!(ones.lines().len(), 1);
        assert_eq!(twos.lines()[0]["message"], "two");
    }
}
