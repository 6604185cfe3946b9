//! The service of a connection: a request between hyper and the room `request`.

use std::convert::Infallible;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;

use super::activity::{Activity, RequestInFlight};
use super::forwarded::ConnectionCaller;
use super::gate;
use super::request_body::RequestBody;
use super::response_body::ResponseBody;
use crate::listen::settings::Settings;
use crate::listen::socket::WireCommand;
use crate::request::Requests;

/// The parts of a connection that each of its requests needs.
pub(super) struct Service {
    pub(super) requests: Arc<Requests>,
    pub(super) caller: ConnectionCaller,
    pub(super) activity: Arc<Activity>,
    pub(super) settings: Arc<Settings>,
}

impl Service {
    pub(super) async fn serve(
        self: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, Infallible> {
        let in_flight = RequestInFlight::begin(self.activity.clone());
        let version = request.version();
        if version == Version::HTTP_2 {
            gate::join_cookies(request.headers_mut());
        }
        let is_last_asked_for = version != Version::HTTP_11 || closes(request.headers());
        let refusal = self.activity.refusal_of(in_flight.number());
        let is_refused = refusal.is_some();
        let checked = refusal.map_or_else(|| gate::check(&request), Err);
        gate::settle_host(&mut request);
        let caller = self.caller.for_request(request.headers_mut());
        let (request, unread) = RequestBody::of(request, &self.activity.wire, self.settings.head);
        if is_refused {
            // The end of a message with a refused head is unknown.
            self.activity.wire.command(WireCommand::CloseLingering);
        }
        let mut response = self.requests.serve(request, caller, checked).await;
        // After a client was too slow, no more requests are waited for (RFC 9110 §15.5.9).
        let is_late = response.status() == StatusCode::REQUEST_TIMEOUT;
        let is_last = self.activity.is_last();
        let is_kept = unread.is_none_or(|unread| unread.answered(is_last || is_late || is_last_asked_for));
        if version != Version::HTTP_2 && (is_last || !is_kept) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let rate = self.settings.rate_bytes_per_second;
        Ok(response.map(|body| ResponseBody::new(body, in_flight, version, rate)))
    }
}

/// True if the client says that this request is the last of its connection.
fn closes(headers: &HeaderMap) -> bool {
    let options = headers.get_all(header::CONNECTION).into_iter();
    options
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|option| option.trim().eq_ignore_ascii_case("close")))
}
