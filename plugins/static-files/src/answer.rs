//! An answer under construction: a status, header fields, a body.
//!
//! Owns how an answer is put together; which one a caller gets is decided elsewhere.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::files::File;
use crate::range::ByteRange;

/// A response, before the host has it.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

/// The body of an answer, in the order in which it is sent.
pub(crate) enum Body {
    Text(&'static str),
    /// Bytes of a file, and what stands between them.
    File {
        file: File,
        pieces: Vec<Piece>,
    },
}

/// A piece of a body.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece {
    Text(String),
    Bytes { offset: u64, length: u64 },
}

impl Piece {
    /// The bytes of a range.
    pub(crate) fn of(range: ByteRange) -> Self {
        Self::Bytes { offset: range.first, length: range.length() }
    }

    fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Bytes { length, .. } => *length,
        }
    }
}

impl Answer {
    /// An answer that has no body, whatever was asked.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, fields: Vec::new(), body: Body::Text("") }
    }

    /// An answer with a line of text for a person.
    pub(crate) fn text(status: u16, text: &'static str) -> Self {
        Self { body: Body::Text(text), ..Self::empty(status) }
            .with("content-type", "text/plain; charset=utf-8")
            .with("x-content-type-options", "nosniff")
            .with("content-length", text.len().to_string())
    }

    /// The same answer with one more header field.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// The same answer with one more header field, if there is a value for it.
    pub(crate) fn with_some(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The same answer with these pieces of a file as its body, and their length.
    pub(crate) fn with_file(mut self, file: File, mut pieces: Vec<Piece>) -> Self {
        pieces.retain(|piece| piece.length() > 0);
        let length = pieces.iter().map(Piece::length).fold(0, u64::saturating_add);
        self.body = Body::File { file, pieces };
        self.with("content-length", length.to_string())
    }

    /// The same head without its body, as HEAD is answered: nothing is opened for it.
    pub(crate) fn without_body(self) -> Self {
        Self { body: Body::Text(""), ..self }
    }
}
