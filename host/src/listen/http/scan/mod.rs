//! Every byte of an HTTP/1 connection, read strictly before hyper reads it.
//!
//! hyper (1.12, httparse 1.10) is lenient, and a request does not show how it was read: a bare LF ends a line, white
//! space may follow a chunk's size, a `Content-Length` beside `Transfer-Encoding` is dropped, a target loses its
//! `#fragment`. A proxy before the host that reads one of these otherwise sees other requests on the same connection.
//! So hyper gets only bytes that a [`Scan`] has passed because they have one reading. The scan knows where each
//! message ends, and leaves the meaning of a request to others.
//!
//! | file | owns |
//! |---|---|
//! | `progress.rs` | the progress of reading a part of a message |
//! | `lines.rs` | finding a line that ends in CRLF, without looking at a byte twice |
//! | `request_line.rs` | method, target, version |
//! | `fields.rs` | one field's line |
//! | `head.rs` | a whole head, and the framing that it gives |
//! | `chunked.rs` | a body in chunks |

#[cfg(test)]
mod agreement;
mod chunked;
mod fields;
mod head;
mod lines;
mod progress;
mod request_line;
#[cfg(test)]
mod tests;

use std::num::NonZeroU64;

use chunked::Chunked;
use head::{Framing, Head};
use progress::{Progress, at_most, widened};

use crate::request::MessageError;

/// The strict reader of one connection's requests, one after the other.
#[derive(Debug, Default)]
pub(super) struct Scan {
    state: State,
}

/// The next step with the bytes.
#[derive(Debug)]
pub(super) enum ScanStep {
    /// This number of bytes may be handed on, at least one: a whole head and nothing after it, or a part of one body.
    Pass(usize),
    /// A head, or a line, is not yet whole: give the same bytes again, with more after them.
    More,
    /// No byte from here on may be handed on.
    Refused(MessageError),
}

/// The position of a [`Scan`] in its connection's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScanPosition {
    /// Between messages: no byte of the next one came.
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

impl Scan {
    /// Reads on. `bytes` begin where the last `Pass` ended; after `More`, they are the earlier bytes and further
    /// ones.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> ScanStep {
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
                if passed_bytes == 0 { ScanStep::More } else { ScanStep::Pass(passed_bytes) }
            }
            Err(error) => {
                self.state = State::Refused;
                ScanStep::Refused(error)
            }
        }
    }

    /// Changes a passed head so that hyper accepts it, too.
    pub(super) fn settle(head: &mut [u8]) {
        request_line::settle_version(head);
    }

    /// The scan's position, after the bytes that were passed and those that were looked at.
    pub(super) fn position(&self) -> ScanPosition {
        match &self.state {
            State::Head(head) if !head.has_begun() => ScanPosition::Between,
            State::Head(_) | State::Refused => ScanPosition::Head,
            State::Length { .. } | State::Chunked(_) => ScanPosition::Body,
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
