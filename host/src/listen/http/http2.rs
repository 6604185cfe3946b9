//! A client's HTTP/2 as h2 gets it: frames that ask for nothing are counted.
//!
//! h2 (0.4.20) bounds all that costs memory: requests that are cancelled before they began, CONTINUATION, DATA
//! without data, errors. It accepts PING, SETTINGS, PRIORITY, WINDOW_UPDATE and unknown frames at any rate, and
//! requests that are cancelled soon after they began, too. Each such frame is cheap, but any number of them is work
//! for nothing. So a client has an [`Allowance`] of such control frames. It grows with time, and with the data that
//! the client is sent, because the client has to open windows for that.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::activity::{Activity, Event};
use super::protocol::PREFACE;
use super::write_turn::WriteTurn;
use crate::listen::bounds::{CONTROL_FRAMES_PER_SECOND, MAX_CONTROL_FRAMES};
use crate::listen::socket::FirstBytes;

/// The control frames that each frame of DATA to a client allows: the client may open two windows, and measure the
/// round trip by PING.
const FOR_DATA: u32 = 4;

/// The control frames that each response's head allows: the client may set a priority, or cancel the response.
const FOR_HEAD: u32 = 2;

/// RFC 9113 §6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;

/// A frame's head (RFC 9113 §4.1).
const HEAD_BYTES: usize = 9;

/// A connection of HTTP/2 that counts its client's frames.
pub(super) struct Http2Stream<S> {
    stream: S,
    first: FirstBytes,
    activity: Arc<Activity>,
    from_client: FrameHeads,
    to_client: FrameHeads,
    has_begun: bool,
    allowance: Allowance,
    write_turn: WriteTurn,
}

impl<S> Http2Stream<S> {
    /// The stream of a connection whose first bytes were read already. They are the preface, which h2 checks.
    pub(super) fn new(stream: S, first: FirstBytes, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            first,
            activity,
            from_client: FrameHeads::behind(PREFACE.len()),
            to_client: FrameHeads::behind(0),
            has_begun: false,
            allowance: Allowance::new(Instant::now()),
            write_turn: WriteTurn::default(),
        }
    }

    fn check(&mut self, came: &[u8]) -> io::Result<()> {
        let Self { activity, from_client, has_begun, allowance, .. } = self;
        from_client.read(came, |head| {
            // RFC 9113 §3.4; h2 does not look.
            if !*has_begun && head.kind != SETTINGS {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the first frame is not SETTINGS"));
            }
            *has_begun = true;
            if head.asks_for_nothing() && !allowance.spend(Instant::now) {
                activity.report(Event::Flooded);
                return Err(io::Error::other("there are too many frames that ask for nothing"));
            }
            Ok(())
        })
    }

    fn earn(&mut self, sent: &[u8]) {
        let Self { to_client, allowance, .. } = self;
        // Frames to the client are never refused.
        let _ = to_client.read(sent, |head| {
            match head.kind {
                DATA => allowance.earn(FOR_DATA),
                HEADERS => allowance.earn(FOR_HEAD),
                _ => {}
            }
            Ok(())
        });
    }
}

/// The parts of a frame's head that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FrameHead {
    payload_bytes: usize,
    kind: u8,
    flags: u8,
}

impl FrameHead {
    /// True if the frame has no part of a request. A request ends with DATA that may be empty.
    fn asks_for_nothing(self) -> bool {
        match self.kind {
            HEADERS => false,
            DATA => self.payload_bytes == 0 && self.flags & END_STREAM == 0,
            _ => true,
        }
    }
}

/// Finds the heads of frames in bytes that come in any pieces.
#[derive(Debug)]
struct FrameHeads {
    /// The rest of a payload.
    skip_bytes: usize,
    /// The bytes that came of a head.
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
}

impl FrameHeads {
    fn behind(skip_bytes: usize) -> Self {
        Self { skip_bytes, head: [0; HEAD_BYTES], head_bytes: 0 }
    }

    /// Reads on, up to the first head that `take` refuses.
    fn read(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(FrameHead) -> io::Result<()>,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let skipped = self.skip_bytes.min(bytes.len());
            self.skip_bytes = self.skip_bytes.saturating_sub(skipped);
            bytes = bytes.get(skipped..).unwrap_or_default();
            let missing = self.head.get_mut(self.head_bytes..).unwrap_or_default();
            let (came, rest) = bytes.split_at_checked(missing.len()).unwrap_or((bytes, &[]));
            for (missing, came) in missing.iter_mut().zip(came) {
                *missing = *came;
            }
            self.head_bytes = self.head_bytes.saturating_add(came.len());
            bytes = rest;
            if self.head_bytes == HEAD_BYTES {
                let [high, middle, low, kind, flags, ..] = self.head;
                let payload_bytes = usize::try_from(u32::from_be_bytes([0, high, middle, low]));
                let payload_bytes = payload_bytes.unwrap_or(usize::MAX);
                (self.head_bytes, self.skip_bytes) = (0, payload_bytes);
                take(FrameHead { payload_bytes, kind, flags })?;
            }
        }
        Ok(())
    }
}

/// The number of control frames that a client may still send.
#[derive(Debug)]
struct Allowance {
    left: u32,
    /// The time up to which the frames that accrue with time have been given.
    since: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self { left: MAX_CONTROL_FRAMES, since: now }
    }

    fn earn(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(MAX_CONTROL_FRAMES);
    }

    /// Takes one frame from the allowance, if one is left. The clock is read only if none is left.
    fn spend(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.left == 0 {
            let now = now();
            let waited = now.saturating_duration_since(self.since);
            let every = Duration::from_secs(1).checked_div(CONTROL_FRAMES_PER_SECOND).unwrap_or_default();
            let due = waited.as_nanos().checked_div(every.as_nanos()).unwrap_or_default();
            self.since = now;
            self.earn(u32::try_from(due).unwrap_or(u32::MAX));
        }
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or_default();
        left.is_some()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Http2Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        if !self.first.give(buffer) {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        }
        Poll::Ready(self.check(buffer.filled().get(filled..).unwrap_or_default()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Http2Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.write_turn.poll(context));
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.earn(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.write_turn.poll(context));
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, pieces))?;
        let mut left = written;
        for piece in pieces {
            let sent = piece.get(..left.min(piece.len())).unwrap_or_default();
            self.earn(sent);
            left = left.saturating_sub(sent.len());
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.write_turn.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload_bytes: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, payload_bytes, kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD_BYTES + usize::from(payload_bytes), 0xff);
        frame
    }

    #[test]
    fn heads_are_found_in_whatever_pieces_they_come() {
        let sent = [&[0; 5][..], &frame(HEADERS, 4, 7), &frame(DATA, 0, 0), &frame(6, 0, 8)].concat();
        let expected = [(7, HEADERS, 4), (0, DATA, 0), (8, 6, 0)]
            .map(|(payload_bytes, kind, flags)| FrameHead { payload_bytes, kind, flags });
        for piece_bytes in 1..=sent.len() {
            let mut heads = FrameHeads::behind(5);
            let mut found = Vec::new();
            for piece in sent.chunks(piece_bytes) {
                heads
                    .read(piece, |head| {
                        found.push(head);
                        Ok(())
                    })
                    .unwrap();
            }
            assert_eq!(found, expected, "in pieces of {piece_bytes}");
        }
    }

    #[test]
    fn a_frame_that_asks_for_nothing_is_known_by_its_head() {
        let table = [
            (HEADERS, 4, 0, false),
            (DATA, 0, 1, false),
            (DATA, END_STREAM, 0, false),
            (DATA, 0, 0, true),
            (6, 0, 8, true),
            (0xf0, 0, 200, true),
        ];
        for (kind, flags, payload_bytes, expected) in table {
            assert_eq!(
                FrameHead { payload_bytes, kind, flags }.asks_for_nothing(),
                expected,
                "{kind} {flags}"
            );
        }
    }

    #[test]
    fn an_allowance_is_used_up_and_comes_back_with_time_and_with_answers() {
        let began = Instant::now();
        let mut allowance = Allowance::new(began);
        let spend = |allowance: &mut Allowance, frames: u32, now: Instant| {
            (0..frames).filter(|_| allowance.spend(|| now)).count()
        };
        assert_eq!(spend(&mut allowance, 5000, began), 1000);
        let later = began + Duration::from_millis(500);
        assert_eq!(spend(&mut allowance, 5000, later), 50);
        assert_eq!(spend(&mut allowance, 5000, later), 0);
        allowance.earn(7);
        assert_eq!(spend(&mut allowance, 5000, later), 7);
        assert_eq!(spend(&mut allowance, 5000, later + Duration::from_secs(3600)), 1000);
    }
}
