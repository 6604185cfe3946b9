//! Bodies of answers in `wasi:http/types`. wasmtime's crate holds each to the `content-length` of its head; here that is
//! so only where a body is sent. Elsewhere the length is the one that a GET's answer would have (RFC 9110 §8.6).

use http::StatusCode;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types::HostOutgoingResponse as _;
use wasmtime_wasi_http::p2::body::{HostOutgoingBody, StreamContext};
use wasmtime_wasi_http::p2::types::HostOutgoingResponse;

use super::fields::TYPES;
use crate::sandbox::state::CallState;

/// Whether an answer of this status never has a body (RFC 9110 §6.4.1).
pub fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Takes the place of the function that gives a guest the body to write. Shadowing must be allowed.
pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    linker.instance(TYPES)?.func_wrap("[method]outgoing-response.body", body)
}

type Given = wasmtime::Result<(Result<Resource<HostOutgoingBody>, ()>,)>;

fn body(mut store: StoreContextMut<'_, CallState>, (response,): (Resource<HostOutgoingResponse>,)) -> Given {
    let state = store.data_mut();
    let status = state.table.get(&response)?.status;
    let is_sent = !has_no_body(status) && !state.call.http_state().asked_for_head_alone;
    let mut view = state.http();
    if is_sent {
        return Ok((view.body(response)?,));
    }
    let (pieces, piece_bytes) =
        (view.hooks.p2_outgoing_body_buffer_chunks(), view.hooks.p2_outgoing_body_chunk_size());
    let (body, taken) = HostOutgoingBody::new(StreamContext::Response, None, pieces, piece_bytes);
    let answer = view.table.get_mut(&response)?;
    if answer.body.is_some() {
        return Ok((Err(()),));
    }
    answer.body = Some(taken);
    Ok((Ok(view.table.push(body)?),))
}
