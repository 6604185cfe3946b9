//! The step of a request in which the answer of a plugin is compressed, behind its response filters.
//!
//! `negotiation.rs` decides if and in which coding, and changes the head; `encoder.rs` encodes the body.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use tokio::time::timeout_at;

use super::admit::{Admitted, deadline};
use super::body::Content;
use super::encoder::{EncodedBody, encode_whole};
use super::head::AnswerScope;
use super::link::Spending;
use super::negotiation;
use super::service::Requests;
use crate::cpu::{CpuTask, Habit};
use crate::snapshot::{Coding, Plugin};

impl Requests {
    /// An answer of a plugin, compressed if the client accepts that and it is worth it. The encoder's budget is that of
    /// the route's plugin.
    pub(super) async fn compress(
        &self,
        request: &mut Admitted<'_>,
        plugin: &Arc<Plugin>,
        mut answer: Response<Content>,
    ) -> Response<Content> {
        let Some(negotiation) = &request.negotiation else { return answer };
        let bytes = match answer.body() {
            Content::Whole { data, .. } => u64::try_from(data.len()).ok(),
            Content::Streamed(_) | Content::Encoded(_) => None,
        };
        let Some(coding) = negotiation.of(&mut answer, bytes) else { return answer };
        let sent = negotiation.sent;
        let task = self.capacity.cpu.task(plugin.share.cpu(), &Habit::default(), plugin.limits.cpu);
        let (mut head, content) = answer.into_parts();
        let content = match content {
            Content::Whole { data, trailers } if !data.is_empty() => {
                match encode(request, plugin, &task, coding, data.clone()).await {
                    Some(encoded) => Content::Whole { data: encoded, trailers },
                    None => return Response::from_parts(head, Content::Whole { data, trailers }),
                }
            }
            Content::Streamed(body) if sent == AnswerScope::Whole => {
                EncodedBody::begin(*body, coding, task, request.place().clone()).into()
            }
            // HEAD has the head of a GET, and no body is encoded for it.
            content => content,
        };
        negotiation::say_compressed(&mut head.headers, coding);
        Response::from_parts(head, content)
    }
}

/// The encoded form of a body. None if it is not smaller, or not there within the plugin's `cpu` and `wall`.
async fn encode(
    request: &mut Admitted<'_>,
    plugin: &Plugin,
    task: &CpuTask,
    coding: Coding,
    data: Bytes,
) -> Option<Bytes> {
    let place = request.place().clone();
    let spending = Spending { total: request.account.cpu(), cpu: task.clone() };
    let guest = task.guest(Box::pin(encode_whole(task.clone(), coding, data)));
    let encoded = timeout_at(deadline(plugin.limits.wall), task.run(guest, place)).await;
    drop(spending);
    let (encoded, _place) = encoded.ok()?;
    encoded
}
