//! The bodies of answers in `wasi:http/types`. wasmtime's crate holds each body to the `content-length` of its head;
//! here that is so only where a body is sent. Elsewhere the length is the one that a GET's answer would have (RFC
//! 9110 §8.6). The host notes if the guest has not finished the body that it took: its instance is not used again
//! then.

use http::StatusCode;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::bindings::http::types::{
    ErrorCode, HostOutgoingBody as _, HostOutgoingResponse as _,
};
use wasmtime_wasi_http::p2::body::{HostOutgoingBody, StreamContext};
use wasmtime_wasi_http::p2::types::HostOutgoingResponse;

use super::messages::{Messages, TYPES, View, replace};

/// True if an answer of this status never has a body (RFC 9110 §6.4.1).
pub fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Replaces the functions that give a guest the body to write, and end it. Shadowing must be allowed.
pub(in crate::sandbox) fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    view: View<T>,
) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    replace(&mut types, view, "[method]outgoing-response.body", body)?;
    replace(&mut types, view, "[static]outgoing-body.finish", finish)
}

type Given = wasmtime::Result<(Result<Resource<HostOutgoingBody>, ()>,)>;

fn body(mut messages: Messages<'_>, (response,): (Resource<HostOutgoingResponse>,)) -> Given {
    let given = give(&mut messages, response)?;
    if let Ok(body) = &given {
        messages.http.unfinished_body = Some(body.rep());
    }
    Ok((given,))
}

fn give(
    messages: &mut Messages<'_>,
    response: Resource<HostOutgoingResponse>,
) -> wasmtime::Result<Result<Resource<HostOutgoingBody>, ()>> {
    let status = messages.table.get(&response)?.status;
    let is_sent = !has_no_body(status) && !messages.http.asked_for_head_alone;
    let mut view = messages.http();
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
    mut messages: Messages<'_>,
    (body, trailers): Finished,
) -> wasmtime::Result<(Result<(), ErrorCode>,)> {
    let handle = body.rep();
    match messages.http().finish(body, trailers) {
        Ok(()) => {
            let unfinished = &mut messages.http.unfinished_body;
            *unfinished = unfinished.filter(|unfinished| *unfinished != handle);
            Ok((Ok(()),))
        }
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}
