//! Heads of messages in `wasi:http/types`: whatever has the host build a part of one, header fields above all, is paid
//! for out of the call's limit `fields`; what it does is wasmtime's crate's.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::HeaderResult;
use wasmtime_wasi_http::p2::bindings::http::types::{
    HeaderError, HostFields, HostOutgoingRequest as _, Method,
};
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use wasmtime_wasi_http::{FieldMap, WasiHttpView};

use crate::limits::Limit;
use crate::sandbox::state::CallState;

/// The interface by the name that wasmtime's crate gives it. Were it another, these functions would be beside those
/// that guests call: the suite notices.
pub(super) const TYPES: &str = "wasi:http/types@0.2.12";

/// What one field costs beside its name and value: the two entries of a map that it takes at most.
pub const FIELD_BYTES: u64 = 72;

type Refused<T> = wasmtime::Result<(Result<T, HeaderError>,)>;

type Answered = wasmtime::Result<(Result<(), ()>,)>;

/// Takes the place of those functions of the interface that build something. Shadowing must be allowed.
pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.func_wrap("[static]fields.from-list", from_list)?;
    types.func_wrap("[method]fields.set", set)?;
    types.func_wrap("[method]fields.append", append)?;
    types.func_wrap("[method]fields.clone", copy)?;
    // Of any length in wasmtime-wasi-http 50, and kept as long as the request is.
    types.func_wrap("[method]outgoing-request.set-method", set_method)?;
    types.func_wrap("[method]outgoing-request.set-path-with-query", set_path_with_query)?;
    types.func_wrap("[method]outgoing-request.set-authority", set_authority)?;
    Ok(())
}

type Store<'a> = StoreContextMut<'a, CallState>;

fn from_list(mut store: Store<'_>, (entries,): (Vec<(String, Vec<u8>)>,)) -> Refused<Resource<FieldMap>> {
    let state = store.data_mut();
    state
        .call
        .totals
        .spend(Limit::Fields, sum(entries.iter().map(|(name, value)| cost(name.len(), value.len()))))?;
    told(state.http().from_list(entries))
}

fn set(
    mut store: Store<'_>,
    (fields, name, values): (Resource<FieldMap>, String, Vec<Vec<u8>>),
) -> Refused<()> {
    let state = store.data_mut();
    state.call.totals.spend(Limit::Fields, sum(values.iter().map(|value| cost(name.len(), value.len()))))?;
    told(state.http().set(fields, name, values))
}

fn append(mut store: Store<'_>, (fields, name, value): (Resource<FieldMap>, String, Vec<u8>)) -> Refused<()> {
    let state = store.data_mut();
    state.call.totals.spend(Limit::Fields, cost(name.len(), value.len()))?;
    told(state.http().append(fields, name, value))
}

/// A copy shares its original's memory until one of them changes; it is paid for at once, for then it does not.
fn copy(mut store: Store<'_>, (fields,): (Resource<FieldMap>,)) -> wasmtime::Result<(Resource<FieldMap>,)> {
    let state = store.data_mut();
    let original = state.table.get(&fields)?;
    let bytes = sum(original.iter().map(|(name, value)| cost(name.as_str().len(), value.len())));
    state.call.totals.spend(Limit::Fields, bytes)?;
    Ok((HostFields::clone(&mut state.http(), fields)?,))
}

type Request = Resource<HostOutgoingRequest>;

fn set_method(mut store: Store<'_>, (request, method): (Request, Method)) -> Answered {
    let state = store.data_mut();
    if let Method::Other(name) = &method {
        state.call.totals.spend(Limit::Fields, length(name.len()))?;
    }
    Ok((state.http().set_method(request, method)?,))
}

fn set_path_with_query(mut store: Store<'_>, (request, path): (Request, Option<String>)) -> Answered {
    let state = store.data_mut();
    state.call.totals.spend(Limit::Fields, length(path.as_ref().map_or(0, String::len)))?;
    Ok((state.http().set_path_with_query(request, path)?,))
}

fn set_authority(mut store: Store<'_>, (request, authority): (Request, Option<String>)) -> Answered {
    let state = store.data_mut();
    state.call.totals.spend(Limit::Fields, length(authority.as_ref().map_or(0, String::len)))?;
    Ok((state.http().set_authority(request, authority)?,))
}

fn cost(name_bytes: usize, value_bytes: usize) -> u64 {
    length(name_bytes.saturating_add(value_bytes)).saturating_add(FIELD_BYTES)
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn sum(costs: impl Iterator<Item = u64>) -> u64 {
    costs.fold(0, u64::saturating_add)
}

/// What the guest is told of it; what it cannot be told traps.
fn told<T>(result: HeaderResult<T>) -> Refused<T> {
    match result {
        Ok(made) => Ok((Ok(made),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}
