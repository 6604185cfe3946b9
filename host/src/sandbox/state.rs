//! The data of an instance's `Store`: the part of the call that the instance is in, and the instance's own part.
//!
//! Imports see only the parts that their views borrow.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{RequestOptions, WasiHttpCtxView, WasiHttpView};

use super::call::{Abilities, Call, Context};
use super::http::{Failures, HttpState, abort_unfinished_bodies};
use super::memory::MemoryAccount;
use super::output::{MAX_STANDARD_STREAMS, Output, StandardStreams};
use super::restore::ShownMemory;
use super::totals::Totals;
use super::wasi;
use crate::capability::LogBudget;
use crate::capability::files::{CallFiles, Mounts, Node};
use crate::capability::http::OutboundBudget;
use crate::cpu::{CpuTask, Tick};
use crate::limits::Limits;

/// The most bytes that a guest may pass in one call of the host, or as its answer, beside the body: headers, keys,
/// log lines, a batch of values.
pub const MESSAGE_BYTES: u64 = 9 << 20;

/// The most options of requests to other servers that may stay with an instance: wasmtime-wasi-http 50 forgets the
/// options that a request was sent with.
const MAX_REQUEST_OPTIONS: usize = 256;

/// The data of a store.
pub(super) struct CallState {
    pub(super) call: PerCall,
    pub(super) memory: MemoryAccount,
    pub(super) table: ResourceTable,
    pub(super) standard: StandardStreams,
    /// The calls of the host since the call began. It is counted when an import borrows its part of the data, so one
    /// call may count for several.
    pub(super) host_calls: u32,
    /// The memory, as the instance showed it last (`restore/`).
    pub(super) shown: Option<ShownMemory>,
    /// The WASI context, made when a guest first asks for it: most lean guests never do.
    wasi: Option<WasiCtx>,
}

/// The part of a store's data that is one call's. It comes with the call, and nothing of it is left to the next.
pub(super) struct PerCall {
    pub(super) limits: Arc<Limits>,
    pub(super) context: Arc<Context>,
    pub(super) abilities: Arc<Abilities>,
    pub(super) output: Arc<Output>,
    pub(super) cpu: CpuTask,
    /// The bytes of stored values that the guest's handles keep.
    pub(super) held_bytes: usize,
    pub(super) totals: Totals,
    /// The files that the call may open, made when a guest first opens one.
    files: Option<CallFiles>,
    /// The state of `wasi:http`, made when a guest first asks for it: lean calls never do.
    http: Option<HttpState>,
}

impl PerCall {
    pub(super) fn new(call: Call) -> Self {
        let Call { limits, context, abilities, log, cpu, deadline: _ } = call;
        let output = Output::new(log, LogBudget::new(limits.log_lines, limits.log_bytes));
        Self {
            context,
            abilities,
            totals: Totals::new(limits.clone()),
            limits,
            output: Arc::new(output),
            cpu,
            held_bytes: 0,
            files: None,
            http: None,
        }
    }

    pub(super) fn http_state(&mut self) -> &mut HttpState {
        self.http_and_totals().0
    }

    /// The plugin's mounts, and the files that the call may open.
    pub(super) fn mounts_and_files(&mut self) -> (&Mounts, &CallFiles) {
        let Self { abilities, files, limits, .. } = self;
        (&abilities.mounts, files.get_or_insert_with(|| CallFiles::new(limits.files)))
    }

    pub(super) fn http_and_totals(&mut self) -> (&mut HttpState, &mut Totals) {
        let Self { http, abilities, output, totals, limits, .. } = self;
        let http = http.get_or_insert_with(|| {
            let budget = OutboundBudget::new(limits.outbound, limits.outbound_bytes);
            HttpState::new(abilities.http.clone(), Arc::new(budget), output.clone())
        });
        (http, totals)
    }
}

impl CallState {
    /// The store of a new instance, for its first call. The limits that the store has for good are the plugin's own.
    pub(super) fn store(engine: &Engine, call: PerCall) -> Store<Self> {
        let limits = call.limits.clone();
        let mut store = Store::new(engine, Self::new(call));
        store.limiter(|state| &mut state.memory);
        let message_bytes = limits.response_body.saturating_add(MESSAGE_BYTES);
        store.set_hostcall_fuel(usize::try_from(message_bytes).unwrap_or(usize::MAX));
        store.set_max_component_handles(limits.handles);
        store.epoch_deadline_callback(|store| {
            Ok(match store.data().call.cpu.tick() {
                Tick::Continue => UpdateDeadline::Continue(1),
                Tick::Yield => UpdateDeadline::Yield(1),
                Tick::Exceeded => UpdateDeadline::Interrupt,
            })
        });
        store
    }

    fn new(call: PerCall) -> Self {
        let table = table(call.limits.handles);
        let memory = MemoryAccount::new(call.limits.memory, call.limits.tables);
        let standard = StandardStreams::default();
        Self { call, memory, table, standard, host_calls: 0, shown: None, wasi: None }
    }

    /// Notes that an import is called.
    pub(super) fn host_called(&mut self) -> &mut Self {
        self.host_calls = self.host_calls.saturating_add(1);
        self
    }

    /// The most handles that a call which has none any more can have had at once: those of its arguments, and one for
    /// each call of the host. Some calls give several, such as the list of all mounts; but each of these takes a call
    /// of its own to be given back.
    pub(super) fn most_handles(&self) -> u32 {
        const OF_ARGUMENTS: u32 = 2;
        match self.host_calls {
            0 => 0,
            calls => calls.saturating_add(OF_ARGUMENTS),
        }
    }

    /// Begins another call. The last call's part is dropped.
    pub(super) fn begin(&mut self, call: PerCall) {
        self.standard.turn_to(&call.output);
        self.host_calls = 0;
        self.call = call;
    }

    /// True if the guest has left its answer's body unfinished, or still holds anything of the host's that it may not
    /// keep. It may keep its standard streams, which are no call's, their pollables, its mounts, and options of
    /// requests, which are three durations of its own. Other handles could lead to a caller, a connection or a budget of the call
    /// that they were made in.
    pub(super) fn has_left_overs(&mut self) -> bool {
        if self.has_unfinished_body() {
            return true;
        }
        let known = self.standard.handles_in(&self.table);
        let (mut options, mut mounts, mut others) = (0_usize, 0_usize, 0_usize);
        for (_handle, entry) in self.table.iter_mut() {
            let entry: &mut dyn std::any::Any = entry;
            let count = match entry.downcast_ref::<Node>() {
                Some(Node::Folder(folder)) if folder.mount_name().is_some() => &mut mounts,
                _ if entry.is::<RequestOptions>() => &mut options,
                _ => &mut others,
            };
            *count = count.saturating_add(1);
        }
        known > MAX_STANDARD_STREAMS
            || options > MAX_REQUEST_OPTIONS
            || mounts > self.call.abilities.mounts.len()
            || others > known
    }

    pub(super) fn totals_and_wasi(&mut self) -> (&mut Totals, &mut WasiCtx) {
        (&mut self.call.totals, self.wasi.get_or_insert_with(wasi::context))
    }

    /// Ends the call, after which the instance waits for another. Its printed text is logged now, and its state of
    /// `wasi:http` is dropped.
    pub(super) fn end(&mut self) {
        self.call.output.finish();
        self.call.files = None;
        self.call.http = None;
    }

    /// True if the guest has not finished its answer's body.
    pub(super) fn has_unfinished_body(&self) -> bool {
        self.call.http.as_ref().is_some_and(|http| http.unfinished_body.is_some())
    }

    /// True if the guest may still have a handle. Options of requests do not tell: wasmtime-wasi-http 50 forgets those
    /// that a request was sent with.
    pub(super) fn may_have_handles(&mut self) -> bool {
        let is_options = |entry: &mut dyn std::any::Any| entry.is::<RequestOptions>();
        !self.table.is_empty() && !self.table.iter_mut().all(|(_handle, entry)| is_options(entry))
    }

    /// Makes all anew that the host holds for an instance that was put back to its start.
    pub(super) fn wipe(&mut self) {
        abort_unfinished_bodies(&mut self.table);
        self.table = table(self.call.limits.handles);
        self.standard = StandardStreams::default();
        self.wasi = None;
    }

    /// The notes of the call's failed requests to other servers.
    pub(super) fn failures(&mut self) -> Failures {
        self.call.http_state().failures()
    }
}

fn table(handles: usize) -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(handles);
    table
}

/// Aborts the guest's unfinished bodies. Such a body must never be taken for whole: if it were only dropped, it would
/// end as if it were (wasmtime-wasi-http 50). Every instance passes this one place, however it ends.
impl Drop for CallState {
    fn drop(&mut self) {
        abort_unfinished_bodies(&mut self.table);
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.host_called();
        WasiCtxView { ctx: self.wasi.get_or_insert_with(wasi::context), table: &mut self.table }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.host_called();
        self.call.http_state().view(&mut self.table)
    }
}
