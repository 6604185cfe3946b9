//! Bodies of answers in `wasi:http/types`. wasmtime's crate holds each to the `content-length` of its head; here that is
//! so only where a body is sent. Elsewhere the length is the one that a GET's answer would have (RFC 9110 §8.6). It is noted
//! whether the guest has finished the one that it took: an instance that has not is not used again.

use http::StatusCode;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types::{
    ErrorCode, HostOutgoingBody as _, HostOutgoingResponse as _,
};
use wasmtime_wasi_http::p2::body::{HostOutgoingBody, StreamContext};
use wasmtime_wasi_http::p2::types::HostOutgoingResponse;

use super::fields::TYPES;
use crate::sandbox::state::CallState;

/// Whether an answer of this status never has a body (RFC 9110 §6.4.1).
pub fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Takes the place of the functions that give a guest the body to write, and end one. Shadowing must be allowed.
pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.func_wrap("[method]outgoing-response.body", body)?;
    types.func_wrap("[static]outgoing-body.finish", finish)
}

type Given = wasmtime::Result<(Result<Resource<HostOutgoingBody>, ()>,)>;

fn body(mut store: StoreContextMut<'_, CallState>, (response,): (Resource<HostOutgoingResponse>,)) -> Given {
    let given = give(store.data_mut(), response)?;
    if let Ok(body) = &given {
        store.data_mut().call.http_state().unfinished_body = Some(body.rep());
    }
    Ok((given,))
}

fn give(
    state: &mut CallState,
    response: Resource<HostOutgoingResponse>,
) -> wasmtime::Result<Result<Resource<HostOutgoingBody>, ()>> {
    let status = state.table.get(&response)?.status;
    let is_sent = !has_no_body(status) && !state.call.http_state().asked_for_head_alone;
    let mut view = state.http();
    if is_sent {
        return view.body(response);
    }
    let (pieces, piece_bytes) =
        (view.hooks.p2_outgoing_body_buffer_chunks(), view.hooks.p2_outgoing_body_chunk_size());
    let (body, taken) = HostOutgoingBody::new(StreamContext::Response, None, pieces, piece_bytes);
    let answer = view.table.get_mut(&response)?;
    if answer.body.is_some() {
        return Ok(Err(()));
    }
    answer.body = Some(taken);
    Ok(Ok(view.table.push(body)?))
}

type Finished = (Resource<HostOutgoingBody>, Option<Resource<FieldMap>>);

fn finish(
    mut store: StoreContextMut<'_, CallState>,
    (body, trailers): Finished,
) -> wasmtime::Result<(Result<(), ErrorCode>,)> {
    let state = store.data_mut();
    let handle = body.rep();
    match state.http().finish(body, trailers) {
        Ok(()) => {
            let unfinished = &mut state.call.http_state().unfinished_body;
            *unfinished = unfinished.filter(|unfinished| *unfinished != handle);
            Ok((Ok(()),))
        }
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}
