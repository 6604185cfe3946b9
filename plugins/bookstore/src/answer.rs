//! An answer under construction: a status, header fields, a body.
//!
//! Owns how an answer is put together; which one a caller gets is decided elsewhere.

use crate::bindings::jackfield::plugin::types::{Response, ResponseHead};

/// A response that still takes header fields.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// An answer without a body.
pub(crate) fn empty(status: u16) -> Answer {
    Answer { status, headers: Vec::new(), body: Vec::new() }
}

/// An answer with `body`, which is JSON already.
pub(crate) fn json(status: u16, body: Vec<u8>) -> Answer {
    let answer = Answer { status, headers: Vec::new(), body };
    answer.with("content-type", "application/json")
}

impl Answer {
    /// The same answer with one more header field.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into().into_bytes()));
        self
    }

    /// The same answer with another body and its content type.
    pub(crate) fn with_body(mut self, content_type: &str, body: Vec<u8>) -> Self {
        self.body = body;
        self.with("content-type", content_type)
    }

    /// As the host takes it.
    pub(crate) fn into_response(self) -> Response {
        let head = ResponseHead { status: self.status, headers: self.headers };
        Response { head, body: self.body }
    }
}
