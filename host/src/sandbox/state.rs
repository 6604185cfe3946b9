//! What one instance may touch: the data of its `Store`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use super::call::Call;
use super::imports::http::{Failures, HttpState, abort_unfinished_bodies};
use super::imports::wasi;
use super::meter::Meter;
use super::output::{Outlet, Output};
use crate::capability::http::{Outbound, OutboundBudget, Secret};
use crate::capability::{KeyValue, Limiter, LogBudget};

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
    /// Made when first asked for: most lean guests never do.
    wasi: Option<(WasiCtx, Outlet)>,
}

/// What is one call's: it comes with the call, and nothing of it is left to the next.
pub(super) struct PerCall {
    pub(super) context: Arc<Context>,
    pub(super) abilities: Arc<Abilities>,
    pub(super) output: Arc<Output>,
    pub(super) meter: Arc<Meter>,
    /// Bytes of stored values that the guest's handles keep.
    pub(super) held_bytes: usize,
    /// Made when first asked for: lean calls never do.
    http: Option<HttpState>,
    /// Requests and bytes that it may exchange with other servers.
    outbound: (u32, u64),
}

impl PerCall {
    pub(super) fn new(call: Call) -> Self {
        let Call { limits, context, abilities, log, meter } = call;
        let output = Output::new(log, LogBudget::new(limits.log_lines, limits.log_bytes));
        Self {
            context,
            abilities,
            output: Arc::new(output),
            meter,
            held_bytes: 0,
            http: None,
            outbound: (limits.outbound, limits.outbound_bytes),
        }
    }

    fn http_state(&mut self) -> &mut HttpState {
        let Self { http, abilities, output, outbound: (requests, bytes), .. } = self;
        http.get_or_insert_with(|| {
            let budget = OutboundBudget::new(*requests, *bytes);
            HttpState::new(abilities.http.clone(), Arc::new(budget), output.clone())
        })
    }
}

impl CallState {
    /// Of a new instance, for its first call.
    pub(super) fn new(call: PerCall, memory_bytes: u64) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let memory = MemoryAccount { limit_bytes: memory_bytes, used_bytes: 0, refused: false };
        Self { call, memory, table, wasi: None }
    }

    /// Where failures of its requests to other servers are noted.
    pub(super) fn failures(&mut self) -> Failures {
        self.call.http_state().failures()
    }
}

/// A body that the guest has not finished is never to be taken for whole: dropped as it is, it would end as
/// if it were (wasmtime-wasi-http 48). This is the one place that is passed however an instance ends.
impl Drop for CallState {
    fn drop(&mut self) {
        abort_unfinished_bodies(&mut self.table);
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Self { wasi, call, table, .. } = self;
        let (ctx, _) = wasi.get_or_insert_with(|| {
            let outlet = Outlet::new(call.output.clone());
            (wasi::context(&outlet), outlet)
        });
        WasiCtxView { ctx, table }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.call.http_state().view(&mut self.table)
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

    #[test]
    fn a_growth_above_the_memorys_own_maximum_is_not_counted() {
        let mut account = MemoryAccount { limit_bytes: 100, used_bytes: 0, refused: false };
        assert!(!account.memory_growing(0, 60, Some(50)).unwrap());
        assert!(!account.refused());
        assert!(account.memory_growing(0, 100, None).unwrap());
    }
}
