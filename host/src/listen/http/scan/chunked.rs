//! A body in chunks: sizes, extensions, data, trailers (RFC 9112 §7.1).
//!
//! Data is passed as it comes, every line only when it is whole. The bounds are below hyper's own (1.12: 16 KiB of
//! extensions and 16 KiB of trailers a body), so that hyper never refuses a body that was passed.

use std::num::NonZeroU64;

use super::fields::{Field, is_token_byte, is_value_byte};
use super::head::{CONTENT_LENGTH, HOST, MAX_LENGTH, TRANSFER_ENCODING};
use super::lines::Lines;
use super::progress::{Progress, at_most, widened};
use crate::request::MessageError;

/// The longest line with a chunk's size and extensions. A line with a signature has some 90 bytes.
pub(super) const MAX_CHUNK_LINE_BYTES: usize = 256;

/// The most bytes of extensions of one body.
pub(super) const MAX_EXTENSION_BYTES: usize = 16 << 10;

/// The most trailer fields, and the most bytes of all of them.
pub(super) const MAX_TRAILER_FIELDS: u16 = 64;
pub(super) const MAX_TRAILER_BYTES: usize = 8 << 10;

/// The most digits of a size, zeros in front included.
const MAX_SIZE_DIGITS: usize = 16;

/// A body in chunks, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    part: Part,
    /// The search for the line that is being read; each search begins at the first byte that was not passed.
    lines: Lines,
    extension_bytes: u32,
    trailer_bytes: u32,
    trailer_fields: u16,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    /// A chunk's size and extensions.
    #[default]
    Size,
    Data {
        left_bytes: NonZeroU64,
    },
    /// The line's end behind a chunk's data.
    DataEnd,
    /// Fields behind the last chunk, and the empty line at the end.
    Trailers,
}

impl Chunked {
    /// Reads on, as far as there are bytes of this body. A fault after bytes that may be passed is reported at the
    /// next call.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Progress<()>, MessageError> {
        let mut passed_bytes: usize = 0;
        loop {
            let unread = bytes.get(passed_bytes..).unwrap_or_default();
            let (read_bytes, next) = match self.read_part(unread) {
                Ok(Some(read)) => read,
                Ok(None) => return Ok(Progress { passed_bytes, end: None }),
                Err(error) if passed_bytes == 0 => return Err(error),
                Err(_told_next_time) => return Ok(Progress { passed_bytes, end: None }),
            };
            passed_bytes = passed_bytes.saturating_add(read_bytes);
            match next {
                Some(part) => self.part = part,
                None => return Ok(Progress { passed_bytes, end: Some(()) }),
            }
        }
    }

    /// Reads one part, or some of a chunk's data. Returns the number of bytes that were read, and the next part, none
    /// at the body's end. After an error, nothing has changed.
    fn read_part(&mut self, unread: &[u8]) -> Result<Option<(usize, Option<Part>)>, MessageError> {
        match self.part {
            Part::Data { left_bytes } if !unread.is_empty() => {
                let read_bytes = at_most(left_bytes, unread.len());
                let left = NonZeroU64::new(left_bytes.get().saturating_sub(widened(read_bytes)));
                let next = left.map_or(Part::DataEnd, |left_bytes| Part::Data { left_bytes });
                Ok(Some((read_bytes, Some(next))))
            }
            Part::Data { .. } => Ok(None),
            Part::DataEnd => match unread {
                [b'\r', b'\n', ..] => Ok(Some((2, Some(Part::Size)))),
                [] | [b'\r'] => Ok(None),
                _ => Err(MessageError::Malformed("a chunk's data does not end where its size says")),
            },
            Part::Size => self.read_line(unread, MAX_CHUNK_LINE_BYTES, LONG_LINE, Self::take_size),
            Part::Trailers => {
                let left_bytes = MAX_TRAILER_BYTES
                    .saturating_sub(usize::try_from(self.trailer_bytes).unwrap_or(usize::MAX));
                self.read_line(unread, left_bytes, LARGE_TRAILERS, Self::take_trailer)
            }
        }
    }

    /// Reads one line of at most `most_bytes`, its CRLF included.
    fn read_line(
        &mut self,
        unread: &[u8],
        most_bytes: usize,
        too_long: MessageError,
        take: impl FnOnce(&mut Self, &[u8]) -> Result<Option<Part>, MessageError>,
    ) -> Result<Option<(usize, Option<Part>)>, MessageError> {
        let within = unread.get(..most_bytes).unwrap_or(unread);
        let Some(line) = self.lines.next(within)? else {
            return if unread.len() >= most_bytes { Err(too_long) } else { Ok(None) };
        };
        let read_bytes = self.lines.start();
        self.lines = Lines::default();
        let next = take(self, line)?;
        Ok(Some((read_bytes, next)))
    }

    fn take_size(&mut self, line: &[u8]) -> Result<Option<Part>, MessageError> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extensions) = line.split_at_checked(digits).unwrap_or_default();
        let size = parse_size(size)?;
        check_extensions(extensions)?;
        let total = self.extension_bytes.saturating_add(u32::try_from(extensions.len()).unwrap_or(u32::MAX));
        if usize::try_from(total).is_ok_and(|total| total > MAX_EXTENSION_BYTES) {
            return Err(MessageError::Malformed("the chunks of the request's body have too many extensions"));
        }
        self.extension_bytes = total;
        Ok(Some(NonZeroU64::new(size).map_or(Part::Trailers, |left_bytes| Part::Data { left_bytes })))
    }

    fn take_trailer(&mut self, line: &[u8]) -> Result<Option<Part>, MessageError> {
        if line.is_empty() {
            return Ok(None);
        }
        let field = Field::parse(line)?;
        // RFC 9110 §6.5.1: the end of a message and its host are known before its body.
        if [HOST, CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| field.is_named(name)) {
            return Err(MessageError::Malformed("a trailer field is one that only a head may have"));
        }
        if self.trailer_fields >= MAX_TRAILER_FIELDS {
            return Err(LARGE_TRAILERS);
        }
        self.trailer_fields = self.trailer_fields.saturating_add(1);
        let line_bytes = u32::try_from(line.len().saturating_add(2)).unwrap_or(u32::MAX);
        self.trailer_bytes = self.trailer_bytes.saturating_add(line_bytes);
        Ok(Some(Part::Trailers))
    }
}

const LONG_LINE: MessageError = MessageError::Malformed("a chunk's size has too long a line");
const LARGE_TRAILERS: MessageError = MessageError::Malformed("the request has too many trailer fields");

/// Accepts hexadecimal digits and nothing else: no sign, no `0x`, no white space.
fn parse_size(digits: &[u8]) -> Result<u64, MessageError> {
    let parsed = digits.iter().try_fold(0_u64, |size, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        size.checked_mul(16)?.checked_add(u64::from(digit)).filter(|size| *size <= MAX_LENGTH)
    });
    let parsed = parsed.filter(|_| (1..=MAX_SIZE_DIGITS).contains(&digits.len()));
    parsed.ok_or(MessageError::Malformed("a chunk's size is not a hexadecimal number of bytes"))
}

/// `*( ";" name [ "=" ( token | quoted-string ) ] )`, without the white space that RFC 9112 §7.1.1 calls bad.
fn check_extensions(mut rest: &[u8]) -> Result<(), MessageError> {
    while !rest.is_empty() {
        let behind = rest.strip_prefix(b";").and_then(skip_token).and_then(|behind| match behind {
            [b'=', b'"', quoted @ ..] => skip_quoted(quoted),
            [b'=', value @ ..] => skip_token(value),
            _ => Some(behind),
        });
        rest = behind.ok_or(MessageError::Malformed("a chunk's extension is not one"))?;
    }
    Ok(())
}

/// The bytes behind a token; none if there is no token.
fn skip_token(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.iter().take_while(|byte| is_token_byte(**byte)).count();
    bytes.get(length..).filter(|_| length > 0)
}

/// The bytes behind the closing quotation mark (RFC 9110 §5.6.4).
fn skip_quoted(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        bytes = match bytes {
            [b'"', behind @ ..] => return Some(behind),
            [b'\\', escaped, behind @ ..] if is_value_byte(*escaped) => behind,
            [plain, behind @ ..] if *plain != b'\\' && is_value_byte(*plain) => behind,
            _ => return None,
        };
    }
}
