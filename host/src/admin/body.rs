//! The bodies of requests: JSON as a whole, and pieces of an upload as they come, each within its time.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRef, FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::problem::{Kind, Problem};

/// The longest body of JSON.
const MAX_JSON_BYTES: usize = 4 << 20;

/// The most bytes of a refused body that are still read, and the longest time for that.
const MAX_DRAINED_BYTES: usize = 16 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// The longest wait for the next piece of a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience(pub(super) Duration);

/// A body of JSON.
pub(super) struct Json<T>(pub(super) T);

/// The content type of artifacts.
pub(super) const WASM: &str = "application/wasm";

impl<S, T> FromRequest<S> for Json<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
    Patience: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        has_type(request.headers(), "application/json")?;
        let is_announced = announced_bytes(request.headers()).is_some_and(|bytes| bytes > MAX_JSON_BYTES);
        let mut body = request.into_body();
        if is_announced {
            drain(&mut body).await;
            return Err(too_long());
        }
        let mut text = BytesMut::new();
        while let Some(piece) = next_piece(&mut body, Patience::from_ref(state)).await? {
            if text.len().saturating_add(piece.len()) > MAX_JSON_BYTES {
                drain(&mut body).await;
                return Err(too_long());
            }
            text.extend_from_slice(&piece);
        }
        parsed(&text).map(Self)
    }
}

/// Reads JSON. A fault is named with its place.
fn parsed<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    // serde would read the fields of an object from an array as well.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::malformed("invalid type: write an object, which begins with `{`"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let content = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { String::new() } else { format!("at `{path}`: ") };
        Problem::malformed(format!("{place}{}", error.into_inner()))
    })?;
    deserializer.end().map_err(|error| Problem::malformed(error.to_string()))?;
    Ok(content)
}

/// The next piece of a body; none at its end.
pub(super) async fn next_piece(
    body: &mut Body,
    Patience(patience): Patience,
) -> Result<Option<Bytes>, Problem> {
    loop {
        let Ok(frame) = tokio::time::timeout(patience, body.frame()).await else {
            let detail = format!("for {} s no more of the body came", patience.as_secs());
            return Err(Problem::new(Kind::Timeout, detail));
        };
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
            Some(Err(error)) => return Err(Problem::malformed(format!("the body broke off: {error}"))),
        }
    }
}

/// Reads what is left of a body that is refused, as far as it is soon there: a client that still sends would otherwise
/// find its connection closed, and not the answer.
pub(super) async fn drain(body: &mut Body) {
    let read = async {
        let mut left = MAX_DRAINED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    // Beyond its time the answer is sent all the same.
    let _ = tokio::time::timeout(DRAIN_TIME, read).await;
}

/// Refuses a body of another type. Parameters of the type mean nothing here.
pub(super) fn has_type(headers: &HeaderMap, expected: &str) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(expected) {
        Ok(())
    } else {
        Err(Problem::new(Kind::MediaType, format!("`content-type` is `{given}`, and {expected} is taken")))
    }
}

/// The length that a request announces.
pub(super) fn announced_bytes(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_long() -> Problem {
    Problem::new(Kind::TooLarge, format!("JSON has at most {MAX_JSON_BYTES} bytes here"))
}
