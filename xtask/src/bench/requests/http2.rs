//! The client's side of HTTP/2 (RFC 9113), as little of it as a load needs: some streams, one answer each.
//!
//! Our own, because a whole client costs more than most of the servers that it would load. Reads only what the servers
//! under measurement send, and takes everything else for a wrong answer: no padding, no trailers, no head in parts, no
//! status but 200.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::works::Ask;

/// What a client says first (§3.4): the preface, its settings, and a window for all that one round answers.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const FRAME_HEAD_BYTES: usize = 9;

/// The largest frame that a server may send to who allows no more (§4.2).
const MAX_FRAME_BYTES: usize = 16 << 10;

const MAX_WINDOW: u32 = (1 << 31) - 1;

/// The window that each connection has at first (§6.9.2).
const FIRST_WINDOW: u32 = 65_535;

/// Answered bytes after which the server may send as many more.
const WINDOW_STEP: u32 = 1 << 30;

mod frame {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
}

const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED_OR_PRIORITY: u8 = 0x8 | 0x20;

/// One connection's state.
#[derive(Debug)]
pub(super) struct Http2 {
    /// The header block of every request.
    block: Vec<u8>,
    next_stream: u32,
    streams: Vec<Stream>,
    /// The beginning of a frame whose end has not come.
    held: Vec<u8>,
    /// Bytes of bodies since the window was last opened.
    taken: u32,
}

/// A request under way.
#[derive(Debug)]
struct Stream {
    id: u32,
    asked: Instant,
    has_head: bool,
    /// Bytes of the body so far.
    bytes: u64,
}

impl Http2 {
    pub(super) fn new(ask: &Ask, authority: &str) -> Self {
        let block = header_block(ask, authority);
        Self { block, next_stream: 1, streams: Vec::new(), held: Vec::new(), taken: 0 }
    }

    /// What is sent before the first request.
    pub(super) fn hello() -> Vec<u8> {
        let mut bytes = PREFACE.to_vec();
        // No table of header fields, no pushes, the largest windows.
        let settings = [(1u16, 0u32), (2, 0), (4, MAX_WINDOW)];
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        put_frame(&mut bytes, frame::SETTINGS, 0, 0, &payload);
        put_frame(&mut bytes, frame::WINDOW_UPDATE, 0, 0, &(MAX_WINDOW - FIRST_WINDOW).to_be_bytes());
        bytes
    }

    /// Puts one more request into `out`. It has no body: no work over HTTP/2 asks with one.
    pub(super) fn ask(&mut self, now: Instant, out: &mut Vec<u8>) {
        put_frame(out, frame::HEADERS, END_HEADERS | END_STREAM, self.next_stream, &self.block);
        self.streams.push(Stream { id: self.next_stream, asked: now, has_head: false, bytes: 0 });
        self.next_stream += 2;
    }

    /// Reads on. Each request that is answered rightly is given to `answered` by the time when it was asked; what has to
    /// be replied is put into `out`.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        ask: &Ask,
        out: &mut Vec<u8>,
        mut answered: impl FnMut(Instant),
    ) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        let joined = if held.is_empty() { None } else { Some([&held, bytes].concat()) };
        let mut rest = joined.as_deref().unwrap_or(bytes);
        while let Some((head, after)) = rest.split_at_checked(FRAME_HEAD_BYTES) {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            ensure!(length <= MAX_FRAME_BYTES, "answered with a frame of {length} bytes");
            let Some((payload, next)) = after.split_at_checked(length) else { break };
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            if let Some(asked) = self.frame(head[3], head[4], stream, payload, ask, out)? {
                answered(asked);
            }
            rest = next;
        }
        self.held.extend_from_slice(rest);
        Ok(())
    }

    /// Reads one frame; when it ends an answer, the time when that was asked for.
    fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        id: u32,
        payload: &[u8],
        ask: &Ask,
        out: &mut Vec<u8>,
    ) -> Result<Option<Instant>> {
        match kind {
            frame::DATA | frame::HEADERS => {
                ensure!(flags & PADDED_OR_PRIORITY == 0, "answered with padding or a priority");
                let place = self.streams.iter().position(|stream| stream.id == id);
                let place =
                    place.with_context(|| format!("answered on stream {id}, which has no request"))?;
                let stream = &mut self.streams[place];
                if kind == frame::HEADERS {
                    ensure!(!stream.has_head, "answered with trailers");
                    ensure!(flags & END_HEADERS != 0, "answered with a head in parts");
                    ensure!(is_200(payload), "answered with another status than 200");
                    stream.has_head = true;
                } else {
                    ensure!(stream.has_head, "answered with a body before its head");
                    ask.expected.check(stream.bytes, payload)?;
                    stream.bytes += payload.len() as u64;
                    self.taken += payload.len() as u32;
                }
                if flags & END_STREAM == 0 {
                    return Ok(None);
                }
                let Stream { asked, bytes, .. } = self.streams.swap_remove(place);
                ask.expected.check_end(bytes)?;
                if self.taken >= WINDOW_STEP {
                    put_frame(out, frame::WINDOW_UPDATE, 0, 0, &self.taken.to_be_bytes());
                    self.taken = 0;
                }
                return Ok(Some(asked));
            }
            frame::RST_STREAM => bail!("reset stream {id}, code {payload:?}"),
            frame::GOAWAY => bail!("ended the connection: {}", String::from_utf8_lossy(payload)),
            frame::SETTINGS if flags & ACK == 0 => put_frame(out, frame::SETTINGS, ACK, 0, &[]),
            frame::PING if flags & ACK == 0 => put_frame(out, frame::PING, ACK, 0, payload),
            frame::SETTINGS | frame::PING | frame::WINDOW_UPDATE => {}
            other => bail!("sent a frame of type {other}"),
        }
        Ok(None)
    }
}

fn put_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = payload.len() as u32;
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Whether a header block (RFC 7541) begins with `:status: 200`, which is entry 8 of the static table; behind changes of
/// the table's size, which may stand first (§4.2).
fn is_200(block: &[u8]) -> bool {
    let status = block.iter().find(|&&byte| byte & 0xe0 != 0x20);
    status == Some(&0x88)
}

/// The fields as a header block: entries of the static table where there are some, else literals.
fn header_block(ask: &Ask, authority: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    block.push(0x04);
    put_text(&mut block, ask.path);
    block.push(0x01);
    put_text(&mut block, authority);
    for (name, value) in &ask.fields {
        block.push(0x00);
        put_text(&mut block, name);
        put_text(&mut block, value);
    }
    block
}

/// A string as it is. Up to 126 bytes its length is one byte (RFC 7541 §5.1): no request here has a longer one.
fn put_text(block: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
    block.push(length.expect("texts of requests are short"));
    block.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{ACK, END_HEADERS, END_STREAM, Http2, frame, is_200, put_frame};
    use crate::bench::requests::works::{Ask, Expected};

    fn ask() -> Ask {
        Ask { method: "GET", path: "/", fields: Vec::new(), body: Vec::new(), expected: expected() }
    }

    fn expected() -> Expected {
        Expected::Bytes(b"hello".to_vec())
    }

    /// Frames of a server: type, flags, stream and payload.
    fn server(frames: &[(u8, u8, u32, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        frames
            .iter()
            .for_each(|(kind, flags, id, payload)| put_frame(&mut bytes, *kind, *flags, *id, payload));
        bytes
    }

    #[test]
    fn answers_are_found_however_their_frames_are_cut() {
        let bytes = server(&[
            (frame::SETTINGS, 0, 0, &[]),
            (frame::HEADERS, END_HEADERS, 3, &[0x20, 0x88]),
            (frame::HEADERS, END_HEADERS, 1, &[0x88, 0x0f]),
            (frame::DATA, 0, 1, b"hel"),
            (frame::DATA, END_STREAM, 3, b"hello"),
            (frame::PING, 0, 0, b"12345678"),
            (frame::DATA, END_STREAM, 1, b"lo"),
        ]);
        for at_once in 1..bytes.len() {
            let mut http2 = Http2::new(&ask(), "localhost");
            let (mut out, mut answered) = (Vec::new(), 0);
            http2.ask(Instant::now(), &mut out);
            http2.ask(Instant::now(), &mut out);
            out.clear();
            for piece in bytes.chunks(at_once) {
                http2.read(piece, &ask(), &mut out, |_| answered += 1).unwrap();
            }
            assert_eq!(answered, 2, "{at_once}");
            assert_eq!(out, server(&[(frame::SETTINGS, ACK, 0, &[]), (frame::PING, ACK, 0, b"12345678")]));
        }
    }

    #[test]
    fn a_wrong_answer_is_an_error() {
        let head: (u8, u8, u32, &[u8]) = (frame::HEADERS, END_HEADERS, 1, &[0x88]);
        for wrong in [
            vec![(frame::HEADERS, END_HEADERS | END_STREAM, 1, &[0x8d][..])],
            vec![(frame::HEADERS, 0, 1, &[0x88])],
            vec![head, (frame::DATA, END_STREAM, 1, b"hullo")],
            vec![head, (frame::DATA, END_STREAM, 1, b"hell")],
            vec![head, (frame::DATA, 0, 1, b"hello!")],
            vec![(frame::DATA, END_STREAM, 1, b"hello")],
            vec![(frame::HEADERS, END_HEADERS, 5, &[0x88])],
            vec![(frame::RST_STREAM, 0, 1, &[0, 0, 0, 7])],
            vec![(frame::GOAWAY, 0, 0, &[0; 8])],
        ] {
            let mut http2 = Http2::new(&ask(), "localhost");
            http2.ask(Instant::now(), &mut Vec::new());
            let read = http2.read(&server(&wrong), &ask(), &mut Vec::new(), |_| ());
            assert!(read.is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_status_200_is_told_from_others() {
        for (block, yes) in [(&[0x88][..], true), (&[0x20, 0x88, 0x40], true), (&[0x8d], false), (&[], false)]
        {
            assert_eq!(is_200(block), yes, "{block:?}");
        }
    }
}
