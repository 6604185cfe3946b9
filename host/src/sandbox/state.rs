//! What one instance may touch: the data of its `Store`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use rustix::io::Errno;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{RequestOptions, WasiHttpCtxView, WasiHttpView};

use super::call::Call;
use super::imports::http::{Failures, HttpState, abort_unfinished_bodies};
use super::imports::wasi;
use super::meter::Meter;
use super::output::{OpenStream, Outlet, Output};
use super::refusal::of_system;
use super::totals::{TableAccount, Totals};
use crate::capability::http::{Outbound, OutboundBudget, Secret};
use crate::capability::{KeyValue, Limiter, LogBudget};
use crate::limits::Limits;

/// Handles of its standard streams, and of pollables of these, that an instance may keep from call to call.
/// Toolchains keep one of each.
const MAX_STANDARD_STREAMS: usize = 16;

/// Options of requests to other servers that may stay with an instance: wasmtime-wasi-http 50 forgets those that a
/// request was sent with.
const MAX_REQUEST_OPTIONS: usize = 256;

/// An instance has outgrown its use when its memory is so many times what its first call left, but not while it has
/// less than `SMALL_BYTES`; or when it has grown to this share of `memory`.
const GROWTH: u64 = 4;
const SMALL_BYTES: u64 = 1 << 20;
const SHARE_OF_LIMIT: u64 = 2;

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
    /// The plugin's own name, as `jackfield:plugin/context` tells it.
    pub plugin: Arc<str>,
    /// `wasi:config/store`.
    pub config: BTreeMap<String, String>,
    /// Of its keys, those whose values are secrets.
    pub secrets: BTreeMap<String, Secret>,
    /// `wasi:keyvalue`, if granted.
    pub keyvalue: Option<KeyValue>,
    /// `jackfield:plugin/limiter`, if granted.
    pub limiter: Option<Arc<Limiter>>,
    /// `wasi:http/outgoing-handler`, if any origin is granted.
    pub http: Option<Outbound>,
}

impl Abilities {
    /// What `wasi:config/store` has under this key.
    pub(super) fn config_value(&self, key: &str) -> Option<String> {
        self.config.get(key).cloned().or_else(|| self.secrets.get(key).map(revealed))
    }

    /// All that it has.
    pub(super) fn config_values(&self) -> Vec<(String, String)> {
        let plain = self.config.iter().map(|(key, value)| (key.clone(), value.clone()));
        plain.chain(self.secrets.iter().map(|(key, secret)| (key.clone(), revealed(secret)))).collect()
    }
}

/// A secret as the plugin that was given it may read it.
fn revealed(secret: &Secret) -> String {
    String::from_utf8_lossy(&secret.bytes()).into_owned()
}

/// The data of a store: what is the call's that it is in, and what is the instance's.
pub(super) struct CallState {
    pub(super) call: PerCall,
    pub(super) memory: MemoryAccount,
    pub(super) table: ResourceTable,
    standard: StandardStreams,
    /// Made when first asked for: most lean guests never do.
    wasi: Option<WasiCtx>,
}

/// The standard streams that an instance has been given.
#[derive(Default)]
struct StandardStreams {
    outlet: Option<Outlet>,
    /// How many.
    given: usize,
    /// The first of their handles, as the table knows them.
    handles: Vec<u32>,
}

/// What is one call's: it comes with the call, and nothing of it is left to the next.
pub(super) struct PerCall {
    pub(super) limits: Arc<Limits>,
    pub(super) context: Arc<Context>,
    pub(super) abilities: Arc<Abilities>,
    pub(super) output: Arc<Output>,
    pub(super) meter: Arc<Meter>,
    /// Bytes of stored values that the guest's handles keep.
    pub(super) held_bytes: usize,
    pub(super) totals: Totals,
    /// Made when first asked for: lean calls never do.
    http: Option<HttpState>,
}

impl PerCall {
    pub(super) fn new(call: Call) -> Self {
        let Call { limits, context, abilities, log, meter, deadline: _ } = call;
        let output = Output::new(log, LogBudget::new(limits.log_lines, limits.log_bytes));
        Self {
            context,
            abilities,
            totals: Totals::new(limits.clone()),
            limits,
            output: Arc::new(output),
            meter,
            held_bytes: 0,
            http: None,
        }
    }

    pub(super) fn http_state(&mut self) -> &mut HttpState {
        let Self { http, abilities, output, limits, .. } = self;
        http.get_or_insert_with(|| {
            let budget = OutboundBudget::new(limits.outbound, limits.outbound_bytes);
            HttpState::new(abilities.http.clone(), Arc::new(budget), output.clone())
        })
    }
}

impl CallState {
    /// Of a new instance, for its first call.
    pub(super) fn new(call: PerCall) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(call.limits.handles);
        let memory = MemoryAccount::new(call.limits.memory, call.limits.tables);
        Self { call, memory, table, standard: StandardStreams::default(), wasi: None }
    }

    /// Another call begins; what was the last one's goes.
    pub(super) fn begin(&mut self, call: PerCall) {
        if let Some(outlet) = &self.standard.outlet {
            outlet.turn_to(call.output.clone());
        }
        self.call = call;
    }

    /// Gives the guest one more handle of a standard stream, as `make` has it.
    pub(super) fn standard_stream<S>(
        &mut self,
        make: impl FnOnce(OpenStream) -> S,
    ) -> wasmtime::Result<Resource<S>>
    where
        S: Send + 'static,
    {
        let Self { call, table, standard, .. } = self;
        let StandardStreams { outlet, given, handles } = standard;
        let outlet = outlet.get_or_insert_with(|| Outlet::new(call.output.clone()));
        let handle = table.push(make(outlet.open()))?;
        *given = given.saturating_add(1);
        if handles.len() < MAX_STANDARD_STREAMS {
            handles.push(handle.rep());
        }
        Ok(handle)
    }

    /// Whether the guest has left its answer's body unfinished, or still holds anything of the host's but its standard streams, which are no call's, pollables
    /// of these, and options of requests, which are three durations of its own. Other handles could lead to a caller,
    /// a connection or a budget of the call that they were made in.
    pub(super) fn has_left_overs(&mut self) -> bool {
        if self.call.http.as_ref().is_some_and(|http| http.unfinished_body.is_some()) {
            return true;
        }
        let StandardStreams { outlet, given, handles } = &self.standard;
        let open = outlet.as_ref().map_or(0, Outlet::open_streams);
        let mut known = open;
        // None of them was dropped yet, so that none of their names in the table is another's by now.
        if open == *given && open == handles.len() {
            let children = handles
                .iter()
                .filter_map(|handle| self.table.iter_children(&Resource::<()>::new_borrow(*handle)).ok());
            known = known.saturating_add(children.map(Iterator::count).sum());
        }
        let (mut options, mut others) = (0_usize, 0_usize);
        for (_handle, entry) in self.table.iter_mut() {
            let entry: &mut dyn std::any::Any = entry;
            let count = if entry.is::<RequestOptions>() { &mut options } else { &mut others };
            *count = count.saturating_add(1);
        }
        known > MAX_STANDARD_STREAMS || options > MAX_REQUEST_OPTIONS || others > known
    }

    /// The call ends, and the instance waits for another: what it has printed is told now, and what it had of
    /// others is let go.
    pub(super) fn end(&mut self) {
        self.call.output.finish();
        self.call.http = None;
    }

    /// Where failures of its requests to other servers are noted.
    pub(super) fn failures(&mut self) -> Failures {
        self.call.http_state().failures()
    }
}

/// A body that the guest has not finished is never to be taken for whole: dropped as it is, it would end as
/// if it were (wasmtime-wasi-http 50). This is the one place that is passed however an instance ends.
impl Drop for CallState {
    fn drop(&mut self) {
        abort_unfinished_bodies(&mut self.table);
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: self.wasi.get_or_insert_with(wasi::context), table: &mut self.table }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.call.http_state().view(&mut self.table)
    }
}

/// `memory`: the linear memories of one instance, counted together; `tables` beside it.
pub(super) struct MemoryAccount {
    limit_bytes: u64,
    used_bytes: u64,
    refused: bool,
    /// What the system said when it would not let a memory or a table grow that was allowed to.
    denied: Option<Errno>,
    pub(super) tables: TableAccount,
}

impl MemoryAccount {
    fn new(limit_bytes: u64, table_elements: usize) -> Self {
        Self {
            limit_bytes,
            used_bytes: 0,
            refused: false,
            denied: None,
            tables: TableAccount::new(table_elements),
        }
    }

    /// Whether a memory was refused growth: the likely cause of a trap that follows.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }

    /// Whether the system denied growth: the likely cause of a trap that follows.
    pub(super) fn denied(&self) -> Option<Errno> {
        self.denied
    }

    /// What all memories have.
    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Whether an instance that had so much after its first call has grown too much since to be kept.
    pub(super) fn has_outgrown(&self, first_bytes: u64) -> bool {
        let most = first_bytes.saturating_mul(GROWTH).max(SMALL_BYTES);
        let share = self.limit_bytes.checked_div(SHARE_OF_LIMIT).unwrap_or(0);
        self.refused
            || self.denied.is_some()
            || self.tables.refused()
            || (self.used_bytes > first_bytes && self.used_bytes > most.min(share))
    }
}

impl wasmtime::ResourceLimiter for MemoryAccount {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // wasmtime asks first and compares with the memory's own maximum after: what will not be had is
        // not to be counted.
        if maximum.is_some_and(|most| desired > most) {
            return Ok(false);
        }
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
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.tables.grow(current, desired, maximum))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.denied = self.denied.or_else(|| of_system(&error));
        Ok(())
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.denied = self.denied.or_else(|| of_system(&error));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::ResourceLimiter;

    #[test]
    fn all_memories_of_an_instance_share_one_limit() {
        let mut account = MemoryAccount::new(100, 0);
        assert!(account.memory_growing(0, 60, None).unwrap());
        assert!(!account.memory_growing(0, 50, None).unwrap());
        assert!(account.refused());
        assert!(account.memory_growing(60, 100, None).unwrap());
    }

    #[test]
    fn an_instance_outgrows_its_first_call_or_its_limit() {
        let mib = |mib: f64| (mib * f64::from(1 << 20)) as u64;
        for (limit, first, used, outgrown) in [
            (128.0, 1.0, 4.0, false),
            (128.0, 1.0, 4.1, true),
            (128.0, 0.1, 1.0, false),
            (128.0, 0.1, 1.1, true),
            (128.0, 40.0, 64.0, false),
            (128.0, 40.0, 64.1, true),
            // What it has needed from the first call on is no growth.
            (128.0, 100.0, 100.0, false),
            (128.0, 100.0, 100.1, true),
        ] {
            let account = MemoryAccount { used_bytes: mib(used), ..MemoryAccount::new(mib(limit), 0) };
            assert_eq!(account.has_outgrown(mib(first)), outgrown, "{limit} {first} {used}");
        }
        assert!(MemoryAccount { refused: true, ..MemoryAccount::new(9, 0) }.has_outgrown(1));
    }

    #[test]
    fn a_growth_above_the_memorys_own_maximum_is_not_counted() {
        let mut account = MemoryAccount::new(100, 0);
        assert!(!account.memory_growing(0, 60, Some(50)).unwrap());
        assert!(!account.refused());
        assert!(account.memory_growing(0, 100, None).unwrap());
    }
}
