//! An answer that streams: the guest runs in a task of its own, and the answer's body is here.
//!
//! The guest's task holds its permits until the instance is gone and the body has come to an end. A [`BodyEnd`] tells
//! the task of that end: when the body is whole, the guest may finish its work within `stream`; when the body is
//! broken off, or dropped because its caller hung up, the guest is stopped. A fault of the request's body breaks the
//! answer's body off, however the guest handles the fault.

use std::collections::VecDeque;
use std::future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Version, header};
use http_body::{Body, Frame};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::error::{AdmissionError, AnswerError, MessageError, PluginError, RequestError};
use super::fields;
use super::link::InFlight;
use super::upload::UploadWatch;
use crate::observe::PluginLog;
use crate::sandbox::{BodyFault, GuestBody, Rest};
use crate::snapshot::Plugin;

/// The body of an answer that comes as the plugin writes it.
pub(super) struct StreamedBody {
    body: GuestBody,
    /// The sender of the body's end. It is dropped without a verdict if nobody reads on.
    verdict: oneshot::Sender<BodyEnd>,
    upload: UploadWatch,
    plugin: Arc<Plugin>,
    log: PluginLog,
    /// The trailers that the head names. None over HTTP/2, which sends others as well.
    announced: Option<Vec<HeaderName>>,
    faulted: Pin<Box<dyn Future<Output = BodyFault> + Send>>,
    revision_ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// The pieces of the body that came before its head was sent.
    ahead: VecDeque<Option<Piece>>,
    /// The length that the head stated.
    stated_bytes: Option<u64>,
    sent_bytes: u64,
}

/// A piece of a body, or the body's error.
pub(super) type Piece = Result<Frame<Bytes>, RequestError>;

/// The longest wait of a head for its plugin to ask for the body that its caller sends only when told to go on. Once
/// the head is sent, nothing can tell the caller to go on (RFC 9110 §15.2). The wait is the patience of most callers,
/// who then send the body unasked.
const HEAD_WAITS: Duration = Duration::from_secs(1);

/// The most pieces and bytes of an answer that are taken from its plugin during [`HEAD_WAITS`].
const MAX_PIECES_AHEAD: usize = 16;
const MAX_BYTES_AHEAD: u64 = 64 << 10;

/// The end of a body.
enum BodyEnd {
    /// The whole body was taken.
    Whole,
    /// The plugin failed.
    Broken(PluginError),
    /// Nobody takes the body, as the plugin could not know.
    Unwanted,
}

impl StreamedBody {
    /// Starts the guest's rest in a task of its own, and gives the answer's body.
    pub(super) fn begin(
        body: GuestBody,
        (rest, in_flight): (Rest, InFlight),
        log: PluginLog,
        headers: &http::HeaderMap,
        version: Version,
        upload: UploadWatch,
    ) -> Self {
        let plugin = in_flight.plugin().clone();
        let (verdict, told) = oneshot::channel();
        // The task ends by itself: with its guest, or at a verdict.
        let revision = in_flight.revision().clone();
        let watched = upload.clone();
        drop(tokio::spawn(run_rest(rest, in_flight, log.clone(), told)));
        Self {
            body,
            verdict,
            upload,
            plugin,
            log,
            announced: (version != Version::HTTP_2).then(|| fields::announced_trailers(headers)),
            faulted: Box::pin(async move { watched.fault().await }),
            ahead: VecDeque::new(),
            revision_ended: Box::pin(async move { revision.ended().await }),
            stated_bytes: headers.get(header::CONTENT_LENGTH).and_then(fields::length),
            sent_bytes: 0,
        }
    }

    /// Ready once the head may be sent to a caller that waits to be told to go on. The pieces that the plugin writes
    /// meanwhile are taken, for a plugin may wait for that before it asks for the request's body.
    pub(super) async fn until_asked_for(&mut self) {
        let upload = self.upload.clone();
        let take_pieces = async {
            while self.ahead.len() < MAX_PIECES_AHEAD && self.sent_bytes < MAX_BYTES_AHEAD {
                let piece = future::poll_fn(|context| self.poll_next(context)).await;
                let is_last = !matches!(piece, Some(Ok(_)));
                self.ahead.push_back(piece);
                if is_last {
                    break;
                }
            }
            future::pending::<()>().await;
        };
        let asked_for = async {
            tokio::select! {
                () = upload.decided() => {}
                () = take_pieces => {}
            }
        };
        // After the timeout, the head is sent all the same.
        let _ = timeout(HEAD_WAITS, asked_for).await;
        // Each time that hyper is polled, it looks first for a body that is asked for, and then for a head that is
        // there.
        yield_now().await;
    }

    /// The plugin whose answer the body is.
    pub(super) fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// True if the body has no bytes.
    pub(super) fn is_empty(&self) -> bool {
        self.ahead.is_empty() && (self.body.is_end_stream() || self.stated_bytes == Some(0))
    }

    /// True if the body gave all bytes of the length that its head stated.
    pub(super) fn has_its_length(&self) -> bool {
        self.ahead.is_empty() && self.stated_bytes == Some(self.sent_bytes)
    }

    /// Lets the guest finish its work: all of its body was taken.
    pub(super) fn leave_alone(self) {
        // A guest that has ended already needs no telling.
        let _ = self.verdict.send(BodyEnd::Whole);
    }

    /// Stops the guest: its answer has no body (`HEAD`, 204, 304).
    pub(super) fn refuse(self) {
        let _ = self.verdict.send(BodyEnd::Unwanted);
    }

    /// Stops the guest: its answer failed.
    pub(super) fn break_off(self, error: &RequestError) {
        // A fault that is not the plugin's stops the guest as a caller who hangs up does.
        if let RequestError::Plugin(error) = error {
            let _ = self.verdict.send(BodyEnd::Broken(error.clone()));
        }
    }

    /// The next piece of the body.
    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        match self.ahead.pop_front() {
            Some(piece) => Poll::Ready(piece),
            None => self.poll_next(context),
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        if self.revision_ended.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(AdmissionError::Draining.into())));
        }
        // A plugin that cannot read its request to the end cannot answer to the end either.
        if let Poll::Ready(fault) = self.faulted.as_mut().poll(context) {
            return Poll::Ready(Some(Err(MessageError::from(fault).into())));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let checked = match frame {
            Some(Ok(frame)) => self.check(&frame).map(|()| Some(fields::without_misplaced_trailers(frame))),
            Some(Err(error)) => Err(PluginError::Call(error)),
            None => self.check_length().map(|()| None),
        };
        Poll::Ready(checked.map_err(RequestError::from).transpose())
    }

    fn check(&mut self, frame: &Frame<Bytes>) -> Result<(), PluginError> {
        if let Some(trailers) = frame.trailers_ref() {
            fields::check_fields(trailers).map_err(PluginError::Answer)?;
            if let Some(announced) = &self.announced {
                self.log.trailers_not_announced(trailers.keys().filter(|name| !announced.contains(name)));
            }
        }
        let Some(data) = frame.data_ref() else { return self.check_length() };
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.sent_bytes = self.sent_bytes.saturating_add(length);
        if let Some(limit_bytes) = self.plugin().limits.streamed_response_body
            && self.sent_bytes > limit_bytes
        {
            let bytes = usize::try_from(self.sent_bytes).unwrap_or(usize::MAX);
            return Err(PluginError::BodyTooLarge { bytes, limit_bytes });
        }
        if self.stated_bytes.is_some_and(|stated| self.sent_bytes > stated) {
            return self.check_length();
        }
        Ok(())
    }

    fn check_length(&self) -> Result<(), PluginError> {
        match self.stated_bytes {
            Some(stated) if stated != self.sent_bytes => Err(PluginError::Answer(AnswerError::Length {
                stated: stated.to_string(),
                actual: usize::try_from(self.sent_bytes).unwrap_or(usize::MAX),
            })),
            _ => Ok(()),
        }
    }
}

async fn run_rest(rest: Rest, mut in_flight: InFlight, log: PluginLog, mut told: oneshot::Receiver<BodyEnd>) {
    let revision = in_flight.revision().clone();
    let mut guest = in_flight.cpu().run(rest.run(), ());
    let (result, verdict) = tokio::select! {
        (result, ()) = &mut guest => {
            // A body that is slowly read to its end is no reason to hold a slot.
            in_flight.release();
            (result, told.await.ok())
        }
        verdict = &mut told => match verdict {
            Ok(BodyEnd::Whole) => tokio::select! {
                (result, ()) = &mut guest => (result, Some(BodyEnd::Whole)),
                () = revision.ended() => (Ok(()), None),
            },
            verdict => (Ok(()), verdict.ok()),
        },
    };
    // The instance goes before its permits do.
    guest.stop().await;
    let ended = match verdict {
        Some(BodyEnd::Whole) => in_flight.accept(result, Ok),
        Some(BodyEnd::Unwanted) => in_flight.accept(Ok(()), Ok),
        // The body tells its reader of the error.
        Some(BodyEnd::Broken(error)) => in_flight.accept(Ok(()), |()| Err(error)).or(Ok(())),
        None => {
            drop(in_flight);
            Ok(())
        }
    };
    // The reader of the body has all of it, and hears nothing of this error.
    if let Err(error) = ended {
        log.failed_after_its_answer(&error);
    }
}
