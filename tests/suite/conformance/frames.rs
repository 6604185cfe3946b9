//! A client of HTTP/2 that knows just enough: it writes any frame there can be, and reads how a server takes it.

use std::collections::BTreeMap;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const WITH_PRIORITY: u8 = 32;

/// Codes of errors (RFC 9113 §7).
pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const FLOW_CONTROL_ERROR: u32 = 3;
pub(super) const STREAM_CLOSED: u32 = 5;
pub(super) const FRAME_SIZE_ERROR: u32 = 6;
pub(super) const COMPRESSION_ERROR: u32 = 9;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame's head.
const HEAD_BYTES: usize = 9;

/// A frame, whatever is in it.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).expect("frames are short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// SETTINGS.
pub(super) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = values
        .iter()
        .flat_map(|(setting, value)| [&setting.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, payload)
}

/// What every client begins with. No table, so that what comes back can be read without one.
pub(super) fn hello() -> Vec<u8> {
    [PREFACE, &settings(&[(1, 0)]), &frame(SETTINGS, ACK, 0, "")].concat()
}

/// A block of fields, each as a literal that is not kept (RFC 7541 §6.2.2).
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, 7, 0, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// RFC 7541 §5.1.
fn integer(block: &mut Vec<u8>, prefix_bits: u32, pattern: u8, value: usize) {
    let most = (1 << prefix_bits) - 1;
    if value < most {
        return block.push(pattern | u8::try_from(value).expect("it fits the prefix"));
    }
    block.push(pattern | u8::try_from(most).expect("a prefix is a part of a byte"));
    let mut rest = value - most;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).expect("seven bits") | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).expect("seven bits"));
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Status(u16),
    Reset(u32),
}

/// What a server has said so far.
#[derive(Debug, Default)]
pub(super) struct Said {
    unread: Vec<u8>,
    statuses: BTreeMap<u32, u16>,
    pub(super) ends: BTreeMap<u32, End>,
    /// The code of the last GOAWAY.
    pub(super) away: Option<u32>,
    /// Answers that it waits for.
    pub(super) pongs: Vec<u8>,
    /// What is worth remembering, a line each, and bodies.
    pub(super) text: String,
}

impl Said {
    /// Reads on.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        while let Some((head, rest)) = self.unread.split_at_checked(HEAD_BYTES) {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let Some(payload) = rest.get(..length).map(<[u8]>::to_vec) else { break };
            self.unread.drain(..HEAD_BYTES + length);
            self.take(kind, flags, stream, &payload);
        }
    }

    fn take(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let number = |at: usize| {
            payload.get(at..at + 4).map_or(0, |four| u32::from_be_bytes(four.try_into().expect("four")))
        };
        match kind {
            HEADERS if !self.statuses.contains_key(&stream) => match status(payload) {
                100..=199 => {}
                status => drop(self.statuses.insert(stream, status)),
            },
            DATA if stream == 1 => self.text.push_str(&String::from_utf8_lossy(payload)),
            RST_STREAM => {
                self.ends.entry(stream).or_insert(End::Reset(number(0)));
                self.text.push_str(&format!("RST_STREAM {stream} {}\n", name(number(0))));
            }
            GOAWAY => self.away = Some(number(4)),
            PING if flags & ACK != 0 => {
                self.text.push_str(&format!("PING answered {}\n", payload.escape_ascii()))
            }
            PING => self.pongs.extend(frame(PING, ACK, 0, payload)),
            SETTINGS if flags & ACK != 0 => self.text.push_str("SETTINGS acknowledged\n"),
            _ => {}
        }
        let is_last = flags & END_STREAM != 0 && matches!(kind, HEADERS | DATA);
        if let Some(status) = self.statuses.get(&stream).filter(|_| is_last) {
            self.ends.entry(stream).or_insert(End::Status(*status));
        }
    }
}

/// The status at the beginning of a block: one of the static table's (RFC 7541, appendix A), or a literal under the name
/// that stands there.
fn status(block: &[u8]) -> u16 {
    match block {
        // The table's size, which was set to nothing.
        [0x20, rest @ ..] => status(rest),
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        [0x08 | 0x18 | 0x48, length, value @ ..] if length & 0x80 == 0 => {
            let digits = &value[..usize::from(*length)];
            std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .expect("a status is a number")
        }
        [0x08 | 0x18 | 0x48, length, value @ ..] => huffman_digits(&value[..usize::from(length & 0x7f)]),
        _ => panic!("no status: {block:02x?}"),
    }
}

/// Three digits (RFC 7541, appendix B): `0`, `1` and `2` have five bits, the others six.
fn huffman_digits(bytes: &[u8]) -> u16 {
    let bits = bytes.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (32 - 8 * bytes.len());
    let mut left = bits;
    (0..3).fold(0, |status, _| {
        let (digit, length) = match left >> 27 {
            digit @ 0..=2 => (digit, 5),
            _ => ((left >> 26) - 0b01_1001 + 3, 6),
        };
        left <<= length;
        status * 10 + u16::try_from(digit).expect("it is a digit")
    })
}

/// The name of an error (RFC 9113 §7).
pub(super) fn name(code: u32) -> &'static str {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    usize::try_from(code).ok().and_then(|code| NAMES.get(code)).copied().unwrap_or("an unknown error")
}

#[test]
fn a_status_is_read_however_it_is_written() {
    // 200, 417 and 501 as h2 writes them; 503 in plain digits.
    let table: [(&[u8], u16); 4] = [
        (&[0x20, 0x88], 200),
        (&[0x08, 0x83, 0b0110_1000, 0b0010_1110, 0b1111_1111], 417),
        (&[0x48, 0x82, 0b0110_1100, 0b0000_0001], 501),
        (&[0x08, 0x03, b'5', b'0', b'3'], 503),
    ];
    for (block, expected) in table {
        assert_eq!(status(block), expected, "{block:02x?}");
    }
}
