//! HTTP/1 as hyper is given it: message by message, each read strictly first.
//!
//! hyper merges, trims and forgives before a service sees a request. So it sees no byte that [`Scan`] has not: a head
//! comes to it whole, and only if it can be read in one way; a body ends where the scan says. In the place of a head
//! that is refused it is given one that is unmistakably none, [`NO_REQUEST`], so that the refusal is answered, logged
//! and counted in its turn like every other; and nothing behind it.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::{future, io};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::layer::writes_pass_through;
use super::life::Life;
use super::scan::{Place, Scan, Scanned};
use crate::request::MessageError;

/// What hyper is given for a head that is refused. No client can have sent it: the scan refuses it, for it has no host.
const NO_REQUEST: &[u8] = b"- * HTTP/1.1\r\nconnection: close\r\n\r\n";

/// What is read at once.
const PIECE_BYTES: usize = 16 << 10;

/// A client's bytes, and what goes back.
pub(super) struct Strict<S> {
    stream: S,
    scan: Scan,
    life: Arc<Life>,
    /// What has come and was not handed on.
    held: Vec<u8>,
    /// How much of it has been handed on all the same.
    given: usize,
    /// How far hyper may read now.
    state: State,
    /// Heads that were handed on.
    heads: u64,
}

enum State {
    /// What is held is to be scanned.
    Reading,
    /// What is held is not enough.
    Wanting,
    /// So many of the bytes that are held were scanned.
    Passing(usize),
    /// So much of [`NO_REQUEST`] was handed on, and nothing else will be.
    Refusing(usize),
    /// The client has closed its sending side. hyper (1.12) would take that for its having left, so it is told when all
    /// that came before is answered.
    Ended,
    /// Nothing more comes.
    Over,
}

impl<S> Strict<S> {
    /// The bytes that came already are the first.
    pub(super) fn new(stream: S, came: Vec<u8>, life: Arc<Life>) -> Self {
        Self { stream, scan: Scan::default(), life, held: came, given: 0, state: State::Reading, heads: 0 }
    }

    /// Whether nothing is held of which hyper has a part already: a body that is still to come is for the one hyper that
    /// has its head.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.state, State::Wanting) && self.scan.place() == Place::Between
    }

    /// Whether something is answered that came whole.
    fn is_awaited(&self) -> bool {
        self.scan.place() != Place::Body && self.heads > self.life.ended()
    }

    fn scan(&mut self) -> io::Result<()> {
        let scanned = self.scan_on();
        self.life.is_between.store(self.is_between(), Ordering::Relaxed);
        scanned
    }

    fn scan_on(&mut self) -> io::Result<()> {
        let bytes = self.held.get(self.given..).unwrap_or_default();
        if bytes.is_empty() {
            self.forget();
            self.state = State::Wanting;
            return Ok(());
        }
        let before = self.scan.place();
        match self.scan.scan(bytes) {
            Scanned::Pass(bytes) => {
                if before != Place::Body {
                    self.heads = self.heads.saturating_add(1);
                    self.life.head_ends();
                    let head = self.held.get_mut(self.given..).unwrap_or_default();
                    Scan::settle(head.get_mut(..bytes).unwrap_or_default());
                }
                self.state = State::Passing(bytes);
            }
            Scanned::More => {
                if self.scan.place() == Place::Head {
                    self.life.head_begins();
                }
                self.state = State::Wanting;
            }
            Scanned::Refused(why) => self.refuse(why, before)?,
        }
        Ok(())
    }

    fn refuse(&mut self, why: MessageError, place: Place) -> io::Result<()> {
        self.held = Vec::new();
        self.given = 0;
        self.life.head_ends();
        self.state = State::Over;
        if place == Place::Body {
            return Err(io::Error::new(io::ErrorKind::InvalidData, why.to_string()));
        }
        self.life.refuse(self.heads, why);
        self.state = State::Refusing(0);
        Ok(())
    }

    /// What was handed on is forgotten, and its memory with the last of it: connections are idle for most of their time.
    fn forget(&mut self) {
        if self.given >= self.held.len() {
            self.held = Vec::new();
        } else {
            self.held.drain(..self.given);
        }
        self.given = 0;
    }
}

impl<S: AsyncRead + Unpin> Strict<S> {
    /// Ready once more has come, for whoever reads next; whether it has, or the client has ended.
    pub(super) async fn more(&mut self) -> io::Result<bool> {
        future::poll_fn(|context| self.poll_more(context)).await?;
        Ok(!matches!(self.state, State::Ended | State::Over))
    }

    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.life.head_is_late.load(Ordering::Relaxed) && self.scan.place() == Place::Head {
            return Poll::Ready(self.refuse(MessageError::HeadTimeout, Place::Head));
        }
        let mut piece = [MaybeUninit::uninit(); PIECE_BYTES];
        let mut read = ReadBuf::uninit(&mut piece);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
        if read.filled().is_empty() {
            self.life.orders.client_ends();
            // Nothing more comes of one that is not yet whole.
            self.life.head_ends();
            self.state = State::Ended;
        } else {
            self.forget();
            self.held.extend_from_slice(read.filled());
            self.state = State::Reading;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
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
                    let rest = NO_REQUEST.get(*given..).unwrap_or_default();
                    if rest.is_empty() {
                        // An end would be taken for the client's having left before its answer.
                        return Poll::Pending;
                    }
                    let bytes = rest.get(..buffer.remaining().min(rest.len())).unwrap_or_default();
                    buffer.put_slice(bytes);
                    *given = given.saturating_add(bytes.len());
                    return Poll::Ready(Ok(()));
                }
                // Whoever writes the answer comes by when it is written.
                State::Ended if is_awaited => return Poll::Pending,
                State::Ended | State::Over => {
                    this.state = State::Over;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    writes_pass_through!();

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
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
