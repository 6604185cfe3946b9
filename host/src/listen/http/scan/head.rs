//! A request's head: its lines, one by one, and the framing of the message that they give (RFC 9112 §6).

use super::fields::{Field, is_token};
use super::lines::Lines;
use super::progress::Progress;
use super::request_line::{self, Version};
use crate::listen::bounds::{MAX_HEAD_BYTES, MAX_HEAD_FIELDS};
use crate::request::MessageError;

/// The longest body that can be announced: a longer one could overflow in a reader's arithmetic.
pub(super) const MAX_LENGTH: u64 = i64::MAX.unsigned_abs();

/// The fields that every reader of a message needs, so that no `Connection` may remove them.
pub(super) const HOST: &[u8] = b"host";
pub(super) const CONTENT_LENGTH: &[u8] = b"content-length";
pub(super) const TRANSFER_ENCODING: &[u8] = b"transfer-encoding";

const CONNECTION: &[u8] = b"connection";

/// The framing of a body: the rule for its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is no body.
    #[default]
    None,
    /// The end is known by the body's length in bytes.
    Length(u64),
    /// The end is known by the body's last chunk.
    Chunked,
}

/// A head, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Head {
    lines: Lines,
    fields: u16,
    has_begun: bool,
    has_host: bool,
    /// The version, once the request line was read.
    version: Option<Version>,
    framing: Framing,
}

impl Head {
    /// True if a byte of the head came. The empty line that may stand before a head is not a part of it.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Reads on in all bytes of the head so far. The head is passed whole, with the empty line before it, or not at
    /// all.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Progress<Framing>, MessageError> {
        if self.version.is_none() {
            self.begin(bytes)?;
        }
        while let Some(line) = self.lines.next(bytes)? {
            let is_end = match self.version {
                None if line.is_empty() => {
                    self.skip_empty_line()?;
                    self.begin(bytes)?;
                    false
                }
                None => {
                    self.version = Some(request_line::parse(line)?);
                    false
                }
                Some(version) if line.is_empty() => {
                    self.check_whole(version)?;
                    true
                }
                Some(version) => {
                    self.take(Field::parse(line)?, version)?;
                    false
                }
            };
            let passed_bytes = self.lines.start();
            if passed_bytes > MAX_HEAD_BYTES {
                return Err(MessageError::HeadTooLarge);
            }
            if is_end {
                return Ok(Progress { passed_bytes, end: Some(self.framing) });
            }
        }
        if self.version.is_none() {
            request_line::check_unfinished(self.unread(bytes))?;
        }
        if bytes.len() >= MAX_HEAD_BYTES {
            return Err(MessageError::HeadTooLarge);
        }
        Ok(Progress { passed_bytes: 0, end: None })
    }

    fn unread<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.lines.start()..).unwrap_or_default()
    }

    /// Checks the first bytes, before a line's end is searched: another protocol may have no lines.
    fn begin(&mut self, bytes: &[u8]) -> Result<(), MessageError> {
        let unread = self.unread(bytes);
        self.has_begun = !matches!(unread, [] | [b'\r'] | [b'\r', b'\n', ..]);
        if let [b'\r', other, ..] = unread
            && *other != b'\n'
        {
            return Err(MessageError::Malformed("the request does not begin with a method"));
        }
        request_line::check_unfinished(unread.get(..1).unwrap_or_default())
    }

    /// Skips the empty line that old clients send behind a body (RFC 9112 §2.2).
    fn skip_empty_line(&mut self) -> Result<(), MessageError> {
        if self.lines.start() > b"\r\n".len() {
            return Err(MessageError::Malformed("there is more than one empty line before the request"));
        }
        Ok(())
    }

    fn take(&mut self, field: Field<'_>, version: Version) -> Result<(), MessageError> {
        self.fields = self.fields.saturating_add(1);
        if usize::from(self.fields) > MAX_HEAD_FIELDS {
            return Err(MessageError::HeadTooLarge);
        }
        if field.is_named(HOST) {
            if self.has_host {
                return Err(MessageError::Malformed("there is more than one Host field"));
            }
            self.has_host = true;
        } else if field.is_named(CONNECTION) {
            check_connection(field.value)?;
        } else if field.is_named(CONTENT_LENGTH) {
            let length = parse_length(field.value)?;
            self.framing = match self.framing {
                Framing::None => Framing::Length(length),
                Framing::Length(_) => {
                    return Err(MessageError::Malformed("there is more than one Content-Length field"));
                }
                Framing::Chunked => return Err(BOTH),
            };
        } else if field.is_named(TRANSFER_ENCODING) {
            if version == Version::Http10 {
                return Err(MessageError::Malformed("HTTP/1.0 has no Transfer-Encoding"));
            }
            if !field.value.eq_ignore_ascii_case(b"chunked") {
                return Err(MessageError::Coding);
            }
            self.framing = match self.framing {
                Framing::None => Framing::Chunked,
                Framing::Chunked => return Err(MessageError::Coding),
                Framing::Length(_) => return Err(BOTH),
            };
        }
        Ok(())
    }

    fn check_whole(&self, version: Version) -> Result<(), MessageError> {
        if version == Version::Http11 && !self.has_host {
            return Err(MessageError::Malformed("there is no Host field"));
        }
        Ok(())
    }
}

const BOTH: MessageError =
    MessageError::Malformed("a message has either Content-Length or Transfer-Encoding, not both");

/// Accepts digits and nothing else: no sign, no list, even of equal numbers (RFC 9110 §8.6).
fn parse_length(value: &[u8]) -> Result<u64, MessageError> {
    let parsed = value.iter().try_fold(0_u64, |length, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        length.checked_mul(10)?.checked_add(u64::from(digit)).filter(|length| *length <= MAX_LENGTH)
    });
    let parsed = parsed.filter(|_| !value.is_empty());
    parsed.ok_or(MessageError::Malformed("the Content-Length is not a number of bytes"))
}

/// Refuses a `Connection` that names the framing. A proxy drops the fields that `Connection` names (RFC 9110 §7.6.1),
/// and the next reader would find another end of the message.
fn check_connection(value: &[u8]) -> Result<(), MessageError> {
    for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        if !option.is_empty() && !is_token(option) {
            return Err(MessageError::Malformed("the Connection field is not a list of names"));
        }
        if [HOST, CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| option.eq_ignore_ascii_case(name)) {
            return Err(MessageError::Malformed("the Connection field names one that every reader needs"));
        }
    }
    Ok(())
}
