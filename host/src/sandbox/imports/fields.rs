//! The heads of messages in `wasi:http/types`. A function that makes the host build a part of a head, above all a
//! header field, is paid for out of the call's limit `fields`; the work itself is done by wasmtime's crate.

use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::HeaderResult;
use wasmtime_wasi_http::p2::bindings::http::types::{
    HeaderError, HostFields, HostOutgoingRequest as _, Method,
};
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;

use super::messages::{Messages, TYPES, View, replace};
use crate::limits::Limit;

/// The cost of one field beside its name and value: the two entries of a map that it takes at most.
pub const FIELD_BYTES: u64 = 72;

type Refused<T> = wasmtime::Result<(Result<T, HeaderError>,)>;

type Answered = wasmtime::Result<(Result<(), ()>,)>;

/// Replaces the functions of the interface that build something. Shadowing must be allowed.
pub(in crate::sandbox) fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    view: View<T>,
) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    let types = &mut types;
    replace(types, view, "[static]fields.from-list", from_list)?;
    replace(types, view, "[method]fields.set", set)?;
    replace(types, view, "[method]fields.append", append)?;
    replace(types, view, "[method]fields.clone", copy)?;
    // These texts may have any length in wasmtime-wasi-http 50, and are kept as long as the request is.
    replace(types, view, "[method]outgoing-request.set-method", set_method)?;
    replace(types, view, "[method]outgoing-request.set-path-with-query", set_path_with_query)?;
    replace(types, view, "[method]outgoing-request.set-authority", set_authority)?;
    Ok(())
}

fn from_list(
    mut messages: Messages<'_>,
    (entries,): (Vec<(String, Vec<u8>)>,),
) -> Refused<Resource<FieldMap>> {
    messages
        .totals
        .spend(Limit::Fields, sum(entries.iter().map(|(name, value)| cost(name.len(), value.len()))))?;
    told(messages.http().from_list(entries))
}

fn set(
    mut messages: Messages<'_>,
    (fields, name, values): (Resource<FieldMap>, String, Vec<Vec<u8>>),
) -> Refused<()> {
    messages.totals.spend(Limit::Fields, sum(values.iter().map(|value| cost(name.len(), value.len()))))?;
    told(messages.http().set(fields, name, values))
}

fn append(
    mut messages: Messages<'_>,
    (fields, name, value): (Resource<FieldMap>, String, Vec<u8>),
) -> Refused<()> {
    messages.totals.spend(Limit::Fields, cost(name.len(), value.len()))?;
    told(messages.http().append(fields, name, value))
}

/// Copies fields. A copy shares its original's memory until one of them changes; it is paid for at once, for a
/// changed copy has its own memory.
fn copy(
    mut messages: Messages<'_>,
    (fields,): (Resource<FieldMap>,),
) -> wasmtime::Result<(Resource<FieldMap>,)> {
    let original = messages.table.get(&fields)?;
    let bytes = sum(original.iter().map(|(name, value)| cost(name.as_str().len(), value.len())));
    messages.totals.spend(Limit::Fields, bytes)?;
    Ok((HostFields::clone(&mut messages.http(), fields)?,))
}

type Request = Resource<HostOutgoingRequest>;

fn set_method(mut messages: Messages<'_>, (request, method): (Request, Method)) -> Answered {
    if let Method::Other(name) = &method {
        messages.totals.spend(Limit::Fields, length(name.len()))?;
    }
    Ok((messages.http().set_method(request, method)?,))
}

fn set_path_with_query(mut messages: Messages<'_>, (request, path): (Request, Option<String>)) -> Answered {
    messages.totals.spend(Limit::Fields, length(path.as_ref().map_or(0, String::len)))?;
    Ok((messages.http().set_path_with_query(request, path)?,))
}

fn set_authority(mut messages: Messages<'_>, (request, authority): (Request, Option<String>)) -> Answered {
    messages.totals.spend(Limit::Fields, length(authority.as_ref().map_or(0, String::len)))?;
    Ok((messages.http().set_authority(request, authority)?,))
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

/// The result as the guest is told it. An error that the WIT has no case for traps.
fn told<T>(result: HeaderResult<T>) -> Refused<T> {
    match result {
        Ok(made) => Ok((Ok(made),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}
