//! The output of a call: one budget for its streams and its log together, lines as they become whole, and at the end
//! one word about dropped lines.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::component::{Resource, ResourceTable, ResourceTableError};

use crate::capability::{LineBuffer, LogBudget};
use crate::observe::{Level, PluginLog};

/// The most handles of standard streams, and of their pollables, that an instance may keep from call to call.
/// Toolchains keep one of each.
pub(super) const MAX_STANDARD_STREAMS: usize = 16;

/// An output stream of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// The level of a printed line, as far as a host can tell.
    fn level(self) -> Level {
        match self {
            Self::Stdout => Level::Info,
            Self::Stderr => Level::Warn,
        }
    }
}

/// The output of one call.
pub(super) struct Output {
    log: PluginLog,
    lines: Mutex<Lines>,
}

struct Lines {
    budget: LogBudget,
    stdout: LineBuffer,
    stderr: LineBuffer,
    /// The host has said its one word about a failed host call.
    has_noted: bool,
}

impl Output {
    pub(super) fn new(log: PluginLog, budget: LogBudget) -> Self {
        let (stdout, stderr) = (LineBuffer::default(), LineBuffer::default());
        Self { log, lines: Mutex::new(Lines { budget, stdout, stderr, has_noted: false }) }
    }

    /// Logs one whole line, from a source that the guest names: the name is paid for as well.
    pub(super) fn line(&self, level: Level, source: &str, text: &str) {
        if self.lines().budget.admit(source.len().saturating_add(text.len())) {
            self.log.line(level, source, text);
        }
    }

    /// Takes a piece of printed text. Lines are logged as they become whole.
    pub(super) fn print(&self, stream: Stream, bytes: &[u8]) {
        let mut lines = self.lines();
        let Lines { budget, stdout, stderr, .. } = &mut *lines;
        let buffer = match stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
        };
        buffer.write(bytes, |text| print_line(&self.log, budget, stream, text));
    }

    /// Tells the operator of a failed host call of which the guest is told less. Only the first is told, for a guest
    /// can make a thousand fail.
    pub(super) fn host_call_failed(&self, reason: &str) {
        let has_noted = std::mem::replace(&mut self.lines().has_noted, true);
        if !has_noted {
            self.log.host_call_failed(reason);
        }
    }

    /// Ends the output: logs the printed text that has no end of line, and the number of dropped lines.
    pub(super) fn finish(&self) {
        let mut lines = self.lines();
        let Lines { budget, stdout, stderr, .. } = &mut *lines;
        for (stream, buffer) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
            buffer.finish(|text| print_line(&self.log, budget, stream, text));
        }
        if let Some(dropped) = budget.take_dropped() {
            self.log.dropped(dropped.lines, dropped.bytes);
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outlet of an instance's printed text: it leads to the output of the call that the instance is in. A guest may
/// keep its standard streams from one call to the next.
#[derive(Clone)]
pub(super) struct Outlet(Arc<Current>);

struct Current {
    output: Mutex<Arc<Output>>,
    open: AtomicUsize,
}

/// A standard stream of an instance, counted as long as the guest has it.
pub(super) struct OpenStream(Outlet);

impl Outlet {
    pub(super) fn new(output: Arc<Output>) -> Self {
        Self(Arc::new(Current { output: Mutex::new(output), open: AtomicUsize::new(0) }))
    }

    /// Turns the outlet to another call: text that is printed from now on is that call's.
    pub(super) fn turn_to(&self, output: Arc<Output>) {
        *self.output() = output;
    }

    pub(super) fn open(&self) -> OpenStream {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        OpenStream(self.clone())
    }

    /// The number of standard streams that the guest has.
    pub(super) fn open_streams(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    fn output(&self) -> MutexGuard<'_, Arc<Output>> {
        self.0.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The standard streams that an instance has been given.
#[derive(Default)]
pub(super) struct StandardStreams {
    outlet: Option<Outlet>,
    given: usize,
    /// The handles of the first streams, as the table knows them.
    handles: Vec<u32>,
}

impl StandardStreams {
    /// Gives the guest one more handle of a standard stream, which `make` makes.
    pub(super) fn give<S>(
        &mut self,
        output: &Arc<Output>,
        table: &mut ResourceTable,
        make: impl FnOnce(OpenStream) -> S,
    ) -> Result<Resource<S>, ResourceTableError>
    where
        S: Send + 'static,
    {
        let Self { outlet, given, handles } = self;
        let outlet = outlet.get_or_insert_with(|| Outlet::new(output.clone()));
        let handle = table.push(make(outlet.open()))?;
        *given = given.saturating_add(1);
        if handles.len() < MAX_STANDARD_STREAMS {
            handles.push(handle.rep());
        }
        Ok(handle)
    }

    /// Turns the streams to another call: text that is printed from now on is that call's.
    pub(super) fn turn_to(&self, output: &Arc<Output>) {
        if let Some(outlet) = &self.outlet {
            outlet.turn_to(output.clone());
        }
    }

    /// The number of handles in the table that are open standard streams or, as far as can be told, their pollables.
    pub(super) fn handles_in(&self, table: &ResourceTable) -> usize {
        let Self { outlet, given, handles } = self;
        let open = outlet.as_ref().map_or(0, Outlet::open_streams);
        // If no stream was dropped yet, each handle in the table is still the stream's own.
        if open != *given || open != handles.len() {
            return open;
        }
        let children = handles
            .iter()
            .filter_map(|handle| table.iter_children(&Resource::<()>::new_borrow(*handle)).ok());
        open.saturating_add(children.map(Iterator::count).sum())
    }
}

impl OpenStream {
    pub(super) fn print(&self, stream: Stream, bytes: &[u8]) {
        self.0.output().print(stream, bytes);
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn print_line(log: &PluginLog, budget: &mut LogBudget, stream: Stream, text: &str) {
    if budget.admit(text.len()) {
        log.line(stream.level(), stream.as_str(), text);
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.finish();
    }
}
