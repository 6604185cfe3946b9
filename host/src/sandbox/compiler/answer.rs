//! The child process's answer: one frame with its kind and length.
//!
//! The frame is `magic, kind, length (u64, little-endian), as many bytes`, with nothing behind them. Its reader
//! trusts no part of it: a frame that is cut, or longer than it says, is no answer.

use std::io::{self, Write};

const MAGIC: [u8; 4] = *b"JFC1";

/// The bytes before the payload.
const HEAD_BYTES: usize = MAGIC.len() + 1 + size_of::<u64>();

/// The longest refusal; a longer one is cut.
const MAX_REFUSAL_BYTES: usize = 4096;

/// The result of the child's work.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CompileReply<'a> {
    /// Compiled code.
    CompiledCode(&'a [u8]),
    /// Intake did not let the component through.
    NotTaken(&'a str),
    /// The component does not compile.
    Invalid(&'a str),
    /// There was too little memory to compile the component.
    OutOfMemory,
    /// The system kept the process from compiling anything.
    Prevented(&'a str),
}

impl<'a> CompileReply<'a> {
    /// Writes the frame.
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let (kind, payload) = match self {
            Self::CompiledCode(code) => (b'C', *code),
            Self::NotTaken(why) => (b'N', cut(why)),
            Self::Invalid(why) => (b'I', cut(why)),
            Self::OutOfMemory => (b'M', &[][..]),
            Self::Prevented(why) => (b'P', cut(why)),
        };
        to.write_all(&MAGIC)?;
        to.write_all(&[kind])?;
        to.write_all(&u64::try_from(payload.len()).unwrap_or(u64::MAX).to_le_bytes())?;
        to.write_all(payload)?;
        to.flush()
    }

    /// Reads a whole frame. None if the bytes are not one.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, payload) = bytes.split_at_checked(HEAD_BYTES)?;
        let rest = head.strip_prefix(&MAGIC)?;
        let (kind, length) = rest.split_first()?;
        let length = u64::from_le_bytes(length.try_into().ok()?);
        if u64::try_from(payload.len()).ok()? != length {
            return None;
        }
        let words = || (payload.len() <= MAX_REFUSAL_BYTES).then(|| std::str::from_utf8(payload).ok())?;
        match kind {
            b'C' => Some(Self::CompiledCode(payload)),
            b'N' => Some(Self::NotTaken(words()?)),
            b'I' => Some(Self::Invalid(words()?)),
            b'P' => Some(Self::Prevented(words()?)),
            b'M' if payload.is_empty() => Some(Self::OutOfMemory),
            _ => None,
        }
    }

    /// The longest frame around code of this length.
    pub(super) fn most_bytes(code: usize) -> usize {
        code.max(MAX_REFUSAL_BYTES).saturating_add(HEAD_BYTES)
    }
}

/// The start of a text, at most `MAX_REFUSAL_BYTES` long, in whole characters.
fn cut(text: &str) -> &[u8] {
    let end = text.floor_char_boundary(MAX_REFUSAL_BYTES);
    text.as_bytes().get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(answer: &CompileReply<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        answer.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_is_written_is_read_and_nothing_that_is_cut_or_longer() {
        for answer in [
            CompileReply::CompiledCode(b"\x7fELF"),
            CompileReply::NotTaken("it nests"),
            CompileReply::Invalid("bad"),
            CompileReply::OutOfMemory,
            CompileReply::Prevented("setrlimit"),
        ] {
            let bytes = frame(&answer);
            assert_eq!(CompileReply::read(&bytes).as_ref(), Some(&answer));
            for cut in 0..bytes.len() {
                assert_eq!(CompileReply::read(&bytes[..cut]), None);
            }
            assert_eq!(CompileReply::read(&[&bytes[..], b"!"].concat()), None);
        }
    }

    #[test]
    fn a_long_refusal_is_cut_between_characters() {
        let long = format!("x{}", "é".repeat(5000));
        let bytes = frame(&CompileReply::Invalid(&long));
        assert!(
            matches!(CompileReply::read(&bytes), Some(CompileReply::Invalid(text)) if long.starts_with(text))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = CompileReply::read(&[&MAGIC[..], &bytes].concat());
            let _ = CompileReply::read(&bytes);
        }
    }
}
