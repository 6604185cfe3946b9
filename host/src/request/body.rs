//! Whole bodies: a request's body is read under a limit. An answer's body, whole or not, is written in pieces; it
//! holds the request's account, place and revision until its last piece is taken. Streamed bodies of requests are in
//! `upload.rs`, those of answers in `stream.rs`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::account::Exchange;
use super::encoder::EncodedBody;
use super::error::{AdmissionError, MessageError, RequestError};
use super::place::QuotaPlace;
use super::service::Settings;
use super::stream::{Piece, StreamedBody};

/// The size of the pieces in which an answer is handed to hyper. The bytes that hyper has taken and not yet written
/// are bounded by hyper's own buffer, so the request's permits are held until all but those bytes are on the wire.
const PIECE_BYTES: usize = 16 << 10;

/// Reads a body of at most `limit_bytes`, which must come within the patience of `settings`.
pub(super) async fn read<B>(
    mut body: B,
    limit_bytes: u64,
    settings: Settings,
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
    let last = Instant::now().checked_add(settings.whole_body_patience());
    let mut read = Vec::with_capacity(usize::try_from(body.size_hint().lower()).unwrap_or(0));
    loop {
        let piece = Instant::now().checked_add(settings.body_patience);
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

/// The error of a body whose rest cannot be sent. The body is broken off, so that no client takes it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer was broken off")]
pub struct BrokenOff;

/// An answer, and the place that its request holds until the answer's last byte is taken.
pub(super) struct Answered {
    pub(super) response: Response<Content>,
    pub(super) place: Option<Arc<QuotaPlace>>,
}

impl From<Response<Content>> for Answered {
    /// An answer to a request that holds no place.
    fn from(response: Response<Content>) -> Self {
        Self { response, place: None }
    }
}

/// The content of an answer: all that follows its head.
pub(super) enum Content {
    /// The whole body is in memory.
    Whole { data: Bytes, trailers: Option<Box<HeaderMap>> },
    /// The body comes as the plugin writes it.
    Streamed(Box<StreamedBody>),
    /// The body comes as the plugin writes it, and is compressed.
    Encoded(Box<EncodedBody>),
}

impl From<Bytes> for Content {
    fn from(data: Bytes) -> Self {
        Self::Whole { data, trailers: None }
    }
}

impl From<StreamedBody> for Content {
    fn from(body: StreamedBody) -> Self {
        if body.is_empty() {
            // hyper would never ask for the end of an empty body.
            body.leave_alone();
            return Self::empty();
        }
        Self::Streamed(Box::new(body))
    }
}

impl From<EncodedBody> for Content {
    fn from(body: EncodedBody) -> Self {
        Self::Encoded(Box::new(body))
    }
}

impl Content {
    /// A content without bytes and trailers.
    pub(super) fn empty() -> Self {
        Bytes::new().into()
    }

    /// True if nothing is to be sent after the head.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Whole { data, trailers } => data.is_empty() && trailers.is_none(),
            Self::Streamed(body) => body.is_empty(),
            Self::Encoded(_) => false,
        }
    }

    /// The content's length, if it is known and may be stated: in HTTP/1.1 a body with a length has no trailers (RFC
    /// 9112 §6.3).
    pub(super) fn len(&self) -> Option<usize> {
        match self {
            Self::Whole { data, trailers: None } => Some(data.len()),
            Self::Whole { trailers: Some(_), .. } | Self::Streamed(_) | Self::Encoded(_) => None,
        }
    }

    /// Drops the content: none of it is to be sent.
    pub(super) fn refuse(&mut self) {
        if let Self::Streamed(body) = std::mem::replace(self, Self::empty()) {
            body.refuse();
        }
    }
}

/// The body of an answer.
pub struct AnswerBody {
    content: Content,
    exchange: Exchange,
    /// The body's error, until it is given to hyper. hyper writes its buffer when a body makes it wait, and drops the
    /// buffer when a body fails: so a failure waits once.
    failed: Option<RequestError>,
}

impl AnswerBody {
    pub(super) fn new(content: Content, exchange: Exchange) -> Self {
        Self { content, exchange, failed: None }
    }

    /// Ends the body: nothing more comes.
    fn end(&mut self) {
        self.exchange.took_all();
        let content = std::mem::replace(&mut self.content, Content::empty());
        if let Content::Streamed(body) = content {
            body.leave_alone();
        }
    }

    /// Gives a piece of a body that comes as it is made.
    fn poll_piece(
        &mut self,
        piece: Option<Piece>,
        is_last: bool,
        context: &Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match piece {
            Some(Ok(frame)) => {
                self.exchange.took(frame.data_ref().map_or(0, Bytes::len));
                // hyper asks for nothing after the trailers, nor after the last byte of a stated length.
                if frame.is_trailers() || is_last {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.failed = Some(error);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    fn break_off(&mut self, error: &RequestError) -> BrokenOff {
        let plugin = match &self.content {
            Content::Streamed(body) => Some(body.plugin().name.clone()),
            Content::Encoded(body) => Some(body.plugin().name.clone()),
            Content::Whole { .. } => None,
        };
        self.exchange.failed(error, plugin.as_ref());
        if let Content::Streamed(body) = std::mem::replace(&mut self.content, Content::empty()) {
            body.break_off(error);
        }
        BrokenOff
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(self.break_off(&error))));
        }
        let Self { content, exchange, .. } = &mut *self;
        match content {
            Content::Whole { data, trailers } => {
                if data.is_empty() && trailers.is_none() {
                    return Poll::Ready(None);
                }
                if exchange.is_over() {
                    let error = AdmissionError::Draining.into();
                    return Poll::Ready(Some(Err(self.break_off(&error))));
                }
                let length = data.remaining().min(PIECE_BYTES);
                let frame = if data.is_empty() {
                    trailers.take().map(|trailers| Frame::trailers(*trailers))
                } else {
                    None
                };
                let frame = frame.unwrap_or_else(|| Frame::data(data.split_to(length)));
                exchange.took(length);
                if self.content.is_empty() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Content::Streamed(body) => {
                let piece = ready!(body.poll_frame(context));
                let is_last = body.has_its_length();
                self.poll_piece(piece, is_last, context)
            }
            Content::Encoded(body) => {
                let piece = ready!(body.poll_frame(context));
                self.poll_piece(piece, false, context)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.content.len().map(u64::try_from) {
            Some(Ok(bytes)) => SizeHint::with_exact(bytes),
            _ => SizeHint::default(),
        }
    }
}
