//! What one instance may touch: the data of its `Store`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::imports::logging::Level;
use super::imports::wasi;
use crate::capability::log::{Admit, LineBuffer, LogBudget};
use crate::capability::{KeyValue, Limiter};

/// Host resources (streams, pollables, buckets) and component handles that one call may hold.
pub(super) const MAX_HANDLES: usize = 4096;

/// The facts about a request that `jackfield:plugin/context` tells.
#[derive(Debug, Clone)]
pub struct Context {
    /// The request's id.
    pub request_id: Arc<str>,
    /// The caller's address; none on a Unix socket.
    pub client: Option<IpAddr>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host and port as the caller asked for them.
    pub authority: Arc<str>,
    /// The pattern of the route.
    pub route: Arc<str>,
    /// The pattern's captures, decoded.
    pub captures: Vec<(Arc<str>, String)>,
}

/// What a plugin was granted, with the state behind it; shared by all its calls.
#[derive(Clone)]
pub struct Abilities {
    /// `wasi:config/store`.
    pub config: BTreeMap<String, String>,
    /// `wasi:keyvalue`, if granted.
    pub keyvalue: Option<KeyValue>,
    /// `jackfield:plugin/limiter`, if granted.
    pub limiter: Option<Arc<Limiter>>,
}

/// One line that a guest printed or logged: within its budget, with control characters escaped.
#[derive(Debug)]
pub struct GuestLine<'a> {
    /// How much it matters; `Info` for what was printed to stdout, `Warn` for stderr.
    pub level: Level,
    /// `stdout`, `stderr`, or the context that the guest gave to `wasi:logging`.
    pub source: &'a str,
    /// The text.
    pub text: &'a str,
}

/// Takes a guest's lines.
pub trait GuestLog: Send + Sync {
    /// One line.
    fn line(&self, line: GuestLine<'_>);
    /// At the call's end, if anything was over `log-lines` or `log-bytes`.
    fn dropped(&self, lines: u64, bytes: u64);
}

/// Which of a guest's two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Stdout,
    Stderr,
}

impl Source {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Everything that a call prints and logs: its streams share one budget.
pub(super) struct Output {
    log: Box<dyn GuestLog>,
    lines: Mutex<Lines>,
}

struct Lines {
    budget: LogBudget,
    stdout: LineBuffer,
    stderr: LineBuffer,
    /// Whether the host has said its one word about a failed host call.
    noted: bool,
}

impl Output {
    /// One whole line.
    pub(super) fn line(&self, level: Level, source: &str, text: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        emit(&*self.log, &mut lines.budget, level, source, text);
    }

    /// A piece of what is printed; lines are logged as they become whole.
    pub(super) fn print(&self, source: Source, bytes: &[u8]) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let Lines { budget, stdout, stderr, .. } = &mut *lines;
        let buffer = match source {
            Source::Stdout => stdout,
            Source::Stderr => stderr,
        };
        buffer.write(bytes, |text| emit(&*self.log, budget, source.level(), source.as_str(), text));
    }

    /// What the operator should know of a host call that the guest is told less about: the first one, for
    /// a guest can make a thousand fail.
    pub(super) fn host_note(&self, text: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut lines.noted, true) {
            return;
        }
        self.log.line(GuestLine { level: Level::Warn, source: "host", text });
    }
}

fn emit(log: &dyn GuestLog, budget: &mut LogBudget, level: Level, source: &str, text: &str) {
    if let Admit::Line(text) = budget.admit(text) {
        log.line(GuestLine { level, source, text: &text });
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let Lines { budget, stdout, stderr, .. } =
            self.lines.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (source, buffer) in [(Source::Stdout, stdout), (Source::Stderr, stderr)] {
            buffer.finish(|text| emit(&*self.log, budget, source.level(), source.as_str(), text));
        }
        if let Some(dropped) = budget.dropped() {
            self.log.dropped(dropped.lines, dropped.bytes);
        }
    }
}

/// The data of a store.
pub(super) struct CallState {
    pub(super) context: Arc<Context>,
    pub(super) abilities: Arc<Abilities>,
    pub(super) memory: MemoryAccount,
    pub(super) table: ResourceTable,
    pub(super) output: Arc<Output>,
    /// Made when first asked for: most lean calls never do.
    wasi: Option<WasiCtx>,
}

impl CallState {
    pub(super) fn new(
        context: Arc<Context>,
        abilities: Arc<Abilities>,
        memory_bytes: u64,
        log: Box<dyn GuestLog>,
        budget: LogBudget,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let lines =
            Lines { budget, stdout: LineBuffer::default(), stderr: LineBuffer::default(), noted: false };
        Self {
            context,
            abilities,
            memory: MemoryAccount { limit_bytes: memory_bytes, used_bytes: 0, refused: false },
            table,
            output: Arc::new(Output { log, lines: Mutex::new(lines) }),
            wasi: None,
        }
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let output = &self.output;
        let ctx = self.wasi.get_or_insert_with(|| wasi::context(output));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

/// `memory`: the linear memories of one instance, counted together.
pub(super) struct MemoryAccount {
    limit_bytes: u64,
    used_bytes: u64,
    refused: bool,
}

impl MemoryAccount {
    /// Whether a memory was refused growth: the likely cause of a trap that follows.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }
}

impl wasmtime::ResourceLimiter for MemoryAccount {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let wanted = self.used_bytes.saturating_add(grown);
        let allowed = wanted <= self.limit_bytes;
        if allowed {
            self.used_bytes = wanted;
        } else {
            self.refused = true;
        }
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= super::pool::TABLE_ELEMENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::ResourceLimiter;

    #[test]
    fn all_memories_of_an_instance_share_one_limit() {
        let mut account = MemoryAccount { limit_bytes: 100, used_bytes: 0, refused: false };
        assert!(account.memory_growing(0, 60, None).unwrap());
        assert!(!account.memory_growing(0, 50, None).unwrap());
        assert!(account.refused());
        assert!(account.memory_growing(60, 100, None).unwrap());
    }
}
