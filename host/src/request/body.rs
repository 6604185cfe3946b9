//! Bodies: a request's is read whole under a limit; an answer's is written in pieces and holds, until the
//! last is taken, what the request holds.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::account::Exchange;
use super::error::MessageError;

/// The whole of a body may take this many times what one of its pieces may: a caller that drips a byte
/// just before each deadline is cut as well.
const WHOLE_BODY_FACTOR: u32 = 10;

/// Pieces in which an answer is handed to hyper. What hyper has taken and not yet written is bounded by
/// its own buffer, so the request's permits are held until all but that is on the wire.
const PIECE_BYTES: usize = 64 << 10;

/// Reads a body of at most `limit_bytes`, each piece of which may take `patience` to come.
pub(super) async fn read<B>(
    mut body: B,
    limit_bytes: u64,
    patience: Duration,
) -> Result<Vec<u8>, MessageError>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.is_end_stream() {
        return Ok(Vec::new());
    }
    let too_large = MessageError::BodyTooLarge { limit_bytes };
    if body.size_hint().lower() > limit_bytes {
        return Err(too_large);
    }
    let limit = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
    let whole = patience.saturating_mul(WHOLE_BODY_FACTOR);
    let last = Instant::now().checked_add(whole);
    let mut read = Vec::with_capacity(usize::try_from(body.size_hint().lower()).unwrap_or(0));
    loop {
        let piece = Instant::now().checked_add(patience);
        let frame = match [piece, last].into_iter().flatten().min() {
            Some(deadline) => tokio::time::timeout_at(deadline, body.frame()).await,
            None => Ok(body.frame().await),
        };
        match frame {
            Err(_elapsed) => return Err(MessageError::BodyTimeout),
            Ok(None) => return Ok(read),
            Ok(Some(Err(_broken))) => return Err(MessageError::BodyBroken),
            Ok(Some(Ok(frame))) => {
                // Trailers have no place in a buffered request.
                let Some(data) = frame.data_ref() else { continue };
                if read.len().saturating_add(data.len()) > limit {
                    return Err(too_large);
                }
                read.extend_from_slice(data);
            }
        }
    }
}

/// The request's revision was ended while its answer was being written: the body is broken off, so that
/// no client takes it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer's revision was ended")]
pub struct Ended;

/// The body of an answer.
pub struct AnswerBody {
    data: Bytes,
    exchange: Exchange,
}

impl AnswerBody {
    pub(super) fn new(data: Bytes, exchange: Exchange) -> Self {
        Self { data, exchange }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Ended;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Ended>>> {
        if self.data.is_empty() {
            return Poll::Ready(None);
        }
        if self.exchange.is_broken_off() {
            return Poll::Ready(Some(Err(Ended)));
        }
        let length = self.data.remaining().min(PIECE_BYTES);
        let piece = self.data.split_to(length);
        self.exchange.took(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.data.len()).unwrap_or(u64::MAX))
    }
}
