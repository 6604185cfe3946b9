//! The line of one field, of a head or of trailers: `name ":" value` (RFC 9112 §5).

use crate::request::MessageError;

/// A field: its name, and its value without the white space around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

impl<'a> Field<'a> {
    /// Reads a whole line that is not empty.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, MessageError> {
        let name_end = line.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(line.len());
        let (name, rest) = line.split_at_checked(name_end).unwrap_or_default();
        match (name, rest) {
            // Refused for the first field too: some readers skip such a line, some take it for a part of the line
            // above.
            ([], [b' ' | b'\t', ..]) => {
                Err(MessageError::Malformed("a field's line begins with white space"))
            }
            ([], _) => Err(MessageError::Malformed("a field has no name")),
            (_, [b':', value @ ..]) if is_value(value) => Ok(Self { name, value: value.trim_ascii() }),
            (_, [b':', ..]) => Err(MessageError::Malformed("a field's value has control characters")),
            _ => Err(MessageError::Malformed("a field's name is not directly followed by `:`")),
        }
    }

    pub(super) fn is_named(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// True if these are the bytes of a token (RFC 9110 §5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Three times as fast as comparing with the ranges, and most bytes of a head are names.
static TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut left: &mut [bool] = &mut table;
    let mut byte: u8 = 0;
    while let Some((of_byte, others)) = left.split_first_mut() {
        *of_byte = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte = byte.wrapping_add(1);
        left = others;
    }
    table
};

/// True if these bytes may stand in a value. All bytes are looked at, which the compiler does many at a time.
fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |is_value, byte| is_value & is_value_byte(*byte))
}

/// True if a value may have this byte: HTAB, SP, visible characters, and bytes beyond ASCII (RFC 9110 §5.5).
pub(super) fn is_value_byte(byte: u8) -> bool {
    ((byte >= b' ') & (byte != 0x7f)) | (byte == b'\t')
}
