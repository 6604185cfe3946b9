//! A client's HTTP/1 as hyper gets it: message by message, each read strictly first.
//!
//! hyper merges, trims and forgives before a service sees a request. So hyper gets no byte that [`Scan`] has not
//! passed: a head comes whole, and only if it has one reading; a body ends where the scan says. In place of a refused
//! head, hyper gets [`REFUSED_HEAD`], which no client can send, and nothing after it: so the refusal is answered,
//! logged and counted in its turn like every other.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::{future, io};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::{Activity, Event};
use super::scan::{Scan, ScanPosition, ScanStep};
use super::write_turn::WriteTurn;
use crate::listen::socket::{FirstBytes, WireEvent};
use crate::request::MessageError;

/// The head that hyper gets in place of a refused one. The scan refuses it too, because it has no host.
const REFUSED_HEAD: &[u8] = b"- * HTTP/1.1\r\nconnection: close\r\n\r\n";

/// The bytes that are read at once.
const PIECE_BYTES: usize = 16 << 10;

/// A connection of HTTP/1 on which hyper gets only scanned bytes.
pub(super) struct Http1Stream<S> {
    stream: S,
    scan: Scan,
    activity: Arc<Activity>,
    /// The bytes that have come and were not dropped yet.
    held: Vec<u8>,
    /// The number of those bytes that were handed on.
    given: usize,
    state: State,
    /// The number of heads that were handed on.
    heads: u64,
    write_turn: WriteTurn,
}

/// The state of reading: the bytes that hyper may read now.
enum State {
    /// The held bytes are to be scanned.
    Reading,
    /// More bytes are needed.
    Wanting,
    /// This number of the held bytes were scanned.
    Passing(usize),
    /// This number of bytes of [`REFUSED_HEAD`] were handed on, and nothing else will be.
    Refusing(usize),
    /// The client has closed its sending side. hyper (1.12) would take that as a client that left, so hyper sees the
    /// end only when all earlier requests are answered.
    Ended,
    /// No more bytes come.
    Over,
}

impl<S> Http1Stream<S> {
    /// The stream of a connection whose first bytes were read already.
    pub(super) fn new(stream: S, first: FirstBytes, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            scan: Scan::default(),
            activity,
            held: first.into_vec(),
            given: 0,
            state: State::Reading,
            heads: 0,
            write_turn: WriteTurn::default(),
        }
    }

    /// True if hyper waits for no further part of a message: a body must go to the same hyper as its head.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.state, State::Wanting) && self.scan.position() == ScanPosition::Between
    }

    /// True if a request that came whole is not answered yet, or its answer not written.
    fn is_awaited(&self) -> bool {
        let is_answered = self.heads <= self.activity.ended() && !self.write_turn.is_under_way();
        self.scan.position() != ScanPosition::Body && !is_answered
    }

    /// Over HTTP/1, all that is written to a client is responses.
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(1..)) = written {
            self.activity.report(Event::ResponseTaken);
        }
        written
    }

    fn scan(&mut self) -> io::Result<()> {
        let scanned = self.scan_on();
        self.activity.report(match (&self.state, self.scan.position()) {
            (State::Wanting, ScanPosition::Between) => Event::BetweenMessages,
            (State::Wanting, ScanPosition::Head) => Event::HeadBegan,
            _ => Event::InMessage,
        });
        scanned
    }

    fn scan_on(&mut self) -> io::Result<()> {
        let bytes = self.held.get(self.given..).unwrap_or_default();
        if bytes.is_empty() {
            self.forget();
            self.state = State::Wanting;
            return Ok(());
        }
        let before = self.scan.position();
        match self.scan.scan(bytes) {
            ScanStep::Pass(bytes) => {
                if before != ScanPosition::Body {
                    self.heads = self.heads.saturating_add(1);
                    let head = self.held.get_mut(self.given..).unwrap_or_default();
                    Scan::settle(head.get_mut(..bytes).unwrap_or_default());
                }
                self.state = State::Passing(bytes);
            }
            ScanStep::More => self.state = State::Wanting,
            ScanStep::Refused(why) => self.refuse(why, before)?,
        }
        Ok(())
    }

    fn refuse(&mut self, why: MessageError, position: ScanPosition) -> io::Result<()> {
        self.held = Vec::new();
        self.given = 0;
        self.state = State::Over;
        if position == ScanPosition::Body {
            return Err(io::Error::new(io::ErrorKind::InvalidData, why.to_string()));
        }
        self.activity.refuse(self.heads, why);
        self.state = State::Refusing(0);
        Ok(())
    }

    /// Drops bytes that were handed on, and their memory with the last: connections are idle for most of their time.
    fn forget(&mut self) {
        if self.given >= self.held.len() {
            self.held = Vec::new();
        } else {
            self.held.drain(..self.given);
        }
        self.given = 0;
    }
}

impl<S: AsyncRead + Unpin> Http1Stream<S> {
    /// Waits until more bytes have come for the next hyper, or the client has ended. Returns true if bytes came.
    pub(super) async fn more(&mut self) -> io::Result<bool> {
        future::poll_fn(|context| self.poll_more(context)).await?;
        Ok(!matches!(self.state, State::Ended | State::Over))
    }

    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.scan.position() == ScanPosition::Head && self.activity.is_head_late() {
            self.activity.report(Event::InMessage);
            return Poll::Ready(self.refuse(MessageError::HeadTimeout, ScanPosition::Head));
        }
        let mut piece = [MaybeUninit::uninit(); PIECE_BYTES];
        let mut read = ReadBuf::uninit(&mut piece);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
        if read.filled().is_empty() {
            self.activity.wire.report(WireEvent::ClientEnded);
            if self.scan.position() == ScanPosition::Head {
                // The end of the head does not come any more.
                self.activity.report(Event::InMessage);
            }
            self.state = State::Ended;
        } else {
            self.forget();
            self.held.extend_from_slice(read.filled());
            self.state = State::Reading;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Http1Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let is_awaited = this.is_awaited();
            match &mut this.state {
                State::Reading => this.scan()?,
                State::Wanting => ready!(this.poll_more(context))?,
                State::Passing(left) => {
                    let bytes = this.held.get(this.given..).unwrap_or_default();
                    let bytes = bytes.get(..buffer.remaining().min(*left)).unwrap_or_default();
                    buffer.put_slice(bytes);
                    this.given = this.given.saturating_add(bytes.len());
                    *left = left.saturating_sub(bytes.len());
                    if *left == 0 {
                        this.state = State::Reading;
                    }
                    return Poll::Ready(Ok(()));
                }
                State::Refusing(given) => {
                    let rest = REFUSED_HEAD.get(*given..).unwrap_or_default();
                    if rest.is_empty() {
                        // hyper would take an end as a client that left before its response.
                        return Poll::Pending;
                    }
                    let bytes = rest.get(..buffer.remaining().min(rest.len())).unwrap_or_default();
                    buffer.put_slice(bytes);
                    *given = given.saturating_add(bytes.len());
                    return Poll::Ready(Ok(()));
                }
                // When the response is written, `poll_flush` wakes this task.
                State::Ended if is_awaited => return Poll::Pending,
                State::Ended | State::Over => {
                    this.state = State::Over;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Http1Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.write_turn.poll(context));
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.write_turn.poll(context));
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.write_turn.flushed();
        if matches!(self.state, State::Ended) && !self.is_awaited() {
            self.state = State::Over;
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
