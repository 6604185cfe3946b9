//! Every byte of an HTTP/1 connection, read strictly before hyper reads it.
//!
//! hyper (1.12, httparse 1.10) is lenient, and what it makes of a request does not show it: a bare LF ends a line, white
//! space may follow a chunk's size, a `Content-Length` beside `Transfer-Encoding` is dropped, a target loses its
//! `#fragment`. Whoever stands before the host and reads one of these otherwise sees other requests on the same
//! connection. So a [`Scan`] lets through only what has one reading, and hyper is given nothing else. It knows where each
//! message ends; what a request means is for others.
//!
//! | file | owns |
//! |---|---|
//! | `lines.rs` | finding a line that ends in CRLF, without looking at a byte twice |
//! | `request_line.rs` | method, target, version |
//! | `fields.rs` | one field's line |
//! | `head.rs` | a whole head, and what it says of the body |
//! | `chunked.rs` | a body in chunks |

#[cfg(test)]
mod agreement;
mod chunked;
mod fields;
mod head;
mod lines;
mod request_line;
#[cfg(test)]
mod tests;

use std::num::NonZeroU64;

use chunked::Chunked;
use head::{Framing, Head};

use crate::request::MessageError;

/// Reads one connection's requests strictly, one after the other.
#[derive(Debug, Default)]
pub(super) struct Scan {
    state: State,
}

/// What is to become of the bytes.
#[derive(Debug)]
pub(super) enum Scanned {
    /// So many of them may be handed on, one at least: a whole head and nothing behind it, or what is there of one body.
    Pass(usize),
    /// A head, or a line, is not yet whole: the same bytes again, with more behind them.
    More,
    /// Nothing from here on may be handed on.
    Refused(MessageError),
}

/// Where in its connection's requests a [`Scan`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Between messages: nothing came of the next one.
    Between,
    /// Inside a head.
    Head,
    /// Inside a body; its last chunk and its trailers are parts of it.
    Body,
}

#[derive(Debug)]
enum State {
    Head(Head),
    Length { left_bytes: NonZeroU64 },
    Chunked(Chunked),
    Refused,
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Head::default())
    }
}

/// How far a part of a message was read.
#[derive(Debug, PartialEq, Eq)]
struct Progress<T> {
    /// What may be handed on.
    passed_bytes: usize,
    /// What follows from the part's end, if that was reached.
    end: Option<T>,
}

impl Scan {
    /// Reads on. `bytes` begin where the last `Pass` ended, and after `More` they are those that were there and others.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Scanned {
        let progress = match &mut self.state {
            State::Head(head) => head.read(bytes).map(|progress| Progress {
                passed_bytes: progress.passed_bytes,
                end: progress.end.map(State::after_head),
            }),
            State::Length { left_bytes } => Ok(read_length(left_bytes, bytes)),
            State::Chunked(chunked) => chunked.read(bytes).map(|progress| Progress {
                passed_bytes: progress.passed_bytes,
                end: progress.end.map(|()| State::default()),
            }),
            State::Refused => Err(MessageError::Malformed("the connection was refused before")),
        };
        match progress {
            Ok(Progress { passed_bytes, end }) => {
                if let Some(next) = end {
                    self.state = next;
                }
                if passed_bytes == 0 { Scanned::More } else { Scanned::Pass(passed_bytes) }
            }
            Err(error) => {
                self.state = State::Refused;
                Scanned::Refused(error)
            }
        }
    }

    /// Makes a head that was passed one that hyper reads, too.
    pub(super) fn settle(head: &mut [u8]) {
        request_line::settle_version(head);
    }

    /// Where it is, after what was passed and what was looked at.
    pub(super) fn place(&self) -> Place {
        match &self.state {
            State::Head(head) if !head.has_begun() => Place::Between,
            State::Head(_) | State::Refused => Place::Head,
            State::Length { .. } | State::Chunked(_) => Place::Body,
        }
    }
}

impl State {
    fn after_head(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::default(),
            Framing::Length(bytes) => {
                NonZeroU64::new(bytes).map_or_else(Self::default, |left_bytes| Self::Length { left_bytes })
            }
            Framing::Chunked => Self::Chunked(Chunked::default()),
        }
    }
}

fn read_length(left_bytes: &mut NonZeroU64, bytes: &[u8]) -> Progress<State> {
    let passed_bytes = at_most(*left_bytes, bytes.len());
    let end = match NonZeroU64::new(left_bytes.get().saturating_sub(widened(passed_bytes))) {
        Some(left) => {
            *left_bytes = left;
            None
        }
        None => Some(State::default()),
    };
    Progress { passed_bytes, end }
}

/// The smaller of what is left to come and what is there.
fn at_most(left_bytes: NonZeroU64, there_bytes: usize) -> usize {
    usize::try_from(left_bytes.get()).map_or(there_bytes, |left_bytes| left_bytes.min(there_bytes))
}

fn widened(bytes: usize) -> u64 {
    // No machine has addresses of more than 64 bits.
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
