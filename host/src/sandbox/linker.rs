//! The linker: every import that any component may have, and the part of a store's data that each borrows. Each counts
//! its calls ([`CallState::host_called`]): a call without them is known to have been told nothing.

use wasmtime::Engine;
use wasmtime::component::Linker;

use super::imports::config::{self, Config};
use super::imports::context::{self, Facts};
use super::imports::filesystem::{self, Files};
use super::imports::keyvalue::{self, Stores};
use super::imports::limiter::{self, RateLimit};
use super::imports::logging::{self, PluginLines};
use super::imports::messages::{self, Messages};
use super::imports::random::{self, PaidRandom};
use super::imports::wasi::{self, StandardView};
use super::imports::{fields, response_body};
use super::restore;
use super::state::{CallState, PerCall};

/// The linker of all plugins. An import that a plugin was not granted is refused by name when the plugin is loaded.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<CallState>> {
    let mut linker = Linker::new(engine);
    wasi::add_to_linker(&mut linker, |state| &mut state.host_called().table, standard_streams)?;
    messages::add_to_linker(&mut linker)?;
    context::add_to_linker(&mut linker, facts)?;
    limiter::add_to_linker(&mut linker, |state| {
        RateLimit(state.host_called().call.abilities.limiter.as_deref())
    })?;
    logging::add_to_linker(&mut linker, |state| PluginLines(&state.host_called().call.output))?;
    config::add_to_linker(&mut linker, |state| Config(&state.host_called().call.abilities))?;
    keyvalue::add_to_linker(&mut linker, stores)?;
    linker.allow_shadowing(true);
    random::add_to_linker(&mut linker, paid_random)?;
    filesystem::add_to_linker(&mut linker, files)?;
    fields::add_to_linker(&mut linker, http_messages)?;
    response_body::add_to_linker(&mut linker, http_messages)?;
    linker.allow_shadowing(false);
    restore::add_to_linker(&mut linker)?;
    Ok(linker)
}

fn standard_streams(state: &mut CallState) -> StandardView<'_> {
    state.host_called();
    StandardView { streams: &mut state.standard, output: &state.call.output, table: &mut state.table }
}

fn facts(state: &mut CallState) -> Facts<'_> {
    state.host_called();
    Facts { context: &state.call.context, plugin: &state.call.abilities.plugin }
}

fn stores(state: &mut CallState) -> Stores<'_> {
    state.host_called();
    let PerCall { abilities, output, held_bytes, .. } = &mut state.call;
    Stores { keyvalue: abilities.keyvalue.as_ref(), output, held_bytes, table: &mut state.table }
}

fn paid_random(state: &mut CallState) -> PaidRandom<'_> {
    state.host_called();
    let (totals, wasi) = state.totals_and_wasi();
    PaidRandom { totals, wasi }
}

fn files(state: &mut CallState) -> Files<'_> {
    state.host_called();
    let (mounts, call) = state.call.mounts_and_files();
    Files { mounts, call, table: &mut state.table }
}

fn http_messages(state: &mut CallState) -> Messages<'_> {
    state.host_called();
    let (http, totals) = state.call.http_and_totals();
    Messages { http, totals, table: &mut state.table }
}
