//! Heads and bodies, as every path needs them: what is sent, what is read, and waiting in between.

use std::time::Duration;

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::types::{
    ErrorCode, Fields, FutureTrailers, HeaderError, IncomingBody, IncomingRequest, OutgoingBody,
    OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// What is read or written at once.
pub(crate) const PIECE_BYTES: usize = 64 << 10;

/// The answer that is still owed. Dropped, it is never given.
pub(crate) struct Reply(ResponseOutparam);

impl Reply {
    pub(crate) fn new(out: ResponseOutparam) -> Self {
        Self(out)
    }

    /// Sends the head; the body is up to the caller.
    pub(crate) fn head(self, status: u16, fields: &[(&str, &str)]) -> Body {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        let response = OutgoingResponse::new(Fields::from_list(&fields).expect("the fields are allowed"));
        response.set_status_code(status).expect("the status is one");
        self.response(response)
    }

    /// Sends a head that was made by hand.
    pub(crate) fn response(self, response: OutgoingResponse) -> Body {
        let body = response.body().expect("its body is taken once");
        ResponseOutparam::set(self.0, Ok(response));
        Body { stream: body.write().expect("its stream is taken once"), body }
    }

    /// Sends a whole answer of text, its length stated.
    pub(crate) fn text(self, status: u16, text: &str) {
        let length = text.len().to_string();
        let body =
            self.head(status, &[("content-type", "text/plain; charset=utf-8"), ("content-length", &length)]);
        body.write_last(text.as_bytes());
    }

    /// Sends a whole answer of JSON.
    pub(crate) fn json(self, value: &serde_json::Value) {
        self.head(200, &[("content-type", "application/json")]).write_last(value.to_string().as_bytes());
    }

    /// Gives an error instead of an answer.
    pub(crate) fn error(self, code: ErrorCode) {
        ResponseOutparam::set(self.0, Err(code));
    }
}

/// A body on its way out. Dropped, it is unfinished. The stream is the body's child, and so goes first.
pub(crate) struct Body {
    pub(crate) stream: OutputStream,
    pub(crate) body: OutgoingBody,
}

impl Body {
    pub(crate) fn of(body: OutgoingBody) -> Self {
        Self { stream: body.write().expect("its stream is taken once"), body }
    }

    /// Writes all of this, as the host takes it; an error once nobody does.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), StreamError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match usize::try_from(self.stream.check_write()?).unwrap_or(usize::MAX) {
                0 => self.stream.subscribe().block(),
                permitted => {
                    let (now, later) = rest.split_at(permitted.min(rest.len()));
                    self.stream.write(now)?;
                    rest = later;
                }
            }
        }
        Ok(())
    }

    /// Writes this and waits until the host has passed it on.
    pub(crate) fn write_through(&self, bytes: &[u8]) -> Result<(), StreamError> {
        self.write(bytes)?;
        self.stream.blocking_flush()
    }

    /// Writes this and ends the body; whether anybody takes it does not matter.
    pub(crate) fn write_last(self, bytes: &[u8]) {
        let _ = self.write(bytes);
        let _ = self.finish(None);
    }

    /// Ends the body.
    pub(crate) fn finish(self, trailers: Option<Fields>) -> Result<(), ErrorCode> {
        let Self { stream, body } = self;
        drop(stream);
        OutgoingBody::finish(body, trailers)
    }
}

/// A body on its way in. The stream is the body's child, and so goes first.
pub(crate) struct Upload {
    stream: InputStream,
    body: IncomingBody,
}

impl Upload {
    pub(crate) fn of(request: &IncomingRequest) -> Self {
        Self::from(request.consume().expect("the body is taken once"))
    }

    /// The next piece, of `most` bytes at most; none at the end, an error if it broke off.
    pub(crate) fn read(&self, most: usize) -> Result<Option<Vec<u8>>, StreamError> {
        loop {
            match self.stream.blocking_read(most as u64) {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => return Ok(Some(piece)),
                Err(StreamError::Closed) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// What has come already, without waiting for it.
    pub(crate) fn look(&self) -> Result<Vec<u8>, StreamError> {
        self.stream.read(PIECE_BYTES as u64)
    }

    /// Reads to the end; the number of bytes, or what broke it off.
    pub(crate) fn count(&self) -> Result<u64, StreamError> {
        let mut bytes = 0;
        while let Some(piece) = self.read(PIECE_BYTES)? {
            bytes += piece.len() as u64;
        }
        Ok(bytes)
    }

    /// What follows the body, once it was read: the trailers, if there are any.
    pub(crate) fn trailers(self) -> Result<Option<Fields>, ErrorCode> {
        let Self { stream, body } = self;
        drop(stream);
        let trailers: FutureTrailers = IncomingBody::finish(body);
        loop {
            match trailers.get() {
                Some(got) => break got.expect("they are taken once"),
                None => trailers.subscribe().block(),
            }
        }
    }
}

impl From<IncomingBody> for Upload {
    fn from(body: IncomingBody) -> Self {
        Self { stream: body.stream().expect("its stream is taken once"), body }
    }
}

/// Fields as JSON: pairs, in order.
pub(crate) fn pairs(fields: &Fields) -> serde_json::Value {
    fields
        .entries()
        .iter()
        .map(|(name, value)| serde_json::json!([name, String::from_utf8_lossy(value)]))
        .collect()
}

pub(crate) fn wait(time: Duration) {
    subscribe_duration(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)).block();
}

/// The WIT's name for why a field was refused.
pub(crate) fn refusal(error: HeaderError) -> &'static str {
    match error {
        HeaderError::InvalidSyntax => "invalid-syntax",
        HeaderError::Forbidden => "forbidden",
        HeaderError::Immutable => "immutable",
    }
}

/// What broke a body off, in words for the log.
pub(crate) fn why(error: &StreamError) -> String {
    match error {
        StreamError::Closed => "closed".to_owned(),
        StreamError::LastOperationFailed(error) => match wasip2::http::types::http_error_code(error) {
            Some(code) => name(&code),
            None => error.to_debug_string(),
        },
    }
}

/// The WIT's name of an error code: `HTTP-request-denied`.
pub(crate) fn name(code: &ErrorCode) -> String {
    let debugged = format!("{code:?}");
    let camel = debugged.trim_start_matches("ErrorCode::").split(['(', ' ']).next().unwrap_or_default();
    let mut words: Vec<String> = Vec::new();
    for letter in camel.chars() {
        match words.last_mut() {
            Some(word) if !letter.is_uppercase() => word.push(letter),
            _ => words.push(letter.to_lowercase().to_string()),
        }
    }
    for word in &mut words {
        if ["dns", "http", "ip", "tls", "uri"].contains(&word.as_str()) {
            *word = word.to_uppercase();
        }
    }
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_code_is_named_as_the_wit_does() {
        for (code, expected) in [
            (ErrorCode::HttpRequestDenied, "HTTP-request-denied"),
            (ErrorCode::DestinationIpProhibited, "destination-IP-prohibited"),
            (ErrorCode::HttpRequestUriTooLong, "HTTP-request-URI-too-long"),
            (ErrorCode::InternalError(Some("of some (sort)".into())), "internal-error"),
            (ErrorCode::HttpRequestBodySize(Some(7)), "HTTP-request-body-size"),
        ] {
            assert_eq!(name(&code), expected);
        }
    }
}
