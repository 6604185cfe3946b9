//! The encoder of a compressed answer: it computes for its tenant, in turns on the CPU like the tenant's guests.
//!
//! A body that is whole is encoded before its head is sent, within the plugin's `cpu`. A body that streams is encoded as
//! it comes, with as much CPU again each second; an encoder that is ahead of that waits, and the plugin with it. An
//! encoder takes no permit and no slot. It holds its request's place until it is gone.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use std::{future, io, mem};

use bytes::Bytes;
use compression_codecs::EncodeV2;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use http_body::Frame;
use tokio::sync::mpsc;

use super::error::{PluginError, RequestError};
use super::place::QuotaPlace;
use super::stream::{Piece, StreamedBody};
use crate::cpu::{CpuTask, Execution, Guest, Tick};
use crate::sandbox::CallError;
use crate::snapshot::{Coding, Plugin};

mod codec;

pub use codec::ENCODER_BYTES;

/// The most bytes that an encoder takes between two looks at the clock.
const STEP_BYTES: usize = 16 << 10;

/// The time after which an encoder asks, as a guest is asked at each tick, if it is to give its turn back.
const TICK: Duration = Duration::from_millis(1);

/// The size of a piece that is handed on while more of the body is there.
const PIECE_BYTES: usize = 16 << 10;

/// The encoded form of a body. None if it is not smaller, or if it takes more than the task's budget.
pub(super) async fn encode_whole(task: CpuTask, coding: Coding, data: Bytes) -> Option<Bytes> {
    let mut steps = Steps::new(task);
    let mut encoder = Encoder::new(coding, Some(data.len()));
    for step in data.chunks(STEP_BYTES) {
        encoder.encode(step).ok()?;
        if encoder.encoded.len() >= data.len() || steps.next().await == Tick::Exceeded {
            return None;
        }
    }
    encoder.finish().ok()?;
    let encoded = Bytes::from(encoder.encoded);
    (encoded.len() < data.len()).then_some(encoded)
}

/// The steps of an encoder between its turns.
struct Steps {
    cpu: CpuTask,
    since: Instant,
}

impl Steps {
    fn new(cpu: CpuTask) -> Self {
        Self { cpu, since: Instant::now() }
    }

    /// Ready when the next step may be made: at once, or in the encoder's next turn. An encoder that has used up its
    /// budget yields as one that waits does, so a stream is paused until its next budget.
    async fn next(&mut self) -> Tick {
        if self.since.elapsed() < TICK {
            return Tick::Continue;
        }
        let tick = self.cpu.tick();
        if tick != Tick::Continue {
            let mut has_yielded = false;
            future::poll_fn(|context| {
                if mem::replace(&mut has_yielded, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
        self.since = Instant::now();
        tick
    }
}

/// An encoder and the bytes that it gave and nobody has taken.
struct Encoder {
    codec: Box<dyn EncodeV2 + Send>,
    encoded: Vec<u8>,
    /// Bytes were encoded since the last flush.
    holds_back: bool,
}

impl Encoder {
    /// An encoder of a body of so many bytes, if their number is known.
    fn new(coding: Coding, bytes: Option<usize>) -> Self {
        Self { codec: codec::new(coding, bytes), encoded: Vec::new(), holds_back: false }
    }

    fn encode(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.holds_back = true;
        let mut input = PartialBuffer::new(bytes);
        while !input.unwritten().is_empty() {
            self.write(|codec, output| codec.encode(&mut input, output))?;
        }
        Ok(())
    }

    /// Gives all that can be decoded of the bytes so far.
    fn flush(&mut self) -> io::Result<()> {
        if mem::take(&mut self.holds_back) {
            while !self.write(|codec, output| codec.flush(output))? {}
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        while !self.write(|codec, output| codec.finish(output))? {}
        Ok(())
    }

    fn write<T>(
        &mut self,
        work: impl FnOnce(&mut dyn EncodeV2, &mut WriteBuffer<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut buffer = [0; 4 << 10];
        let mut output = WriteBuffer::new_initialized(&mut buffer);
        let done = work(&mut *self.codec, &mut output)?;
        self.encoded.extend_from_slice(output.written());
        Ok(done)
    }
}

/// The body of an answer that is compressed while its plugin writes it.
pub(super) struct EncodedBody {
    plugin: Arc<Plugin>,
    /// None once the encoder is done. It ends the body cleanly only then.
    run: Option<Execution<Guest<StreamRun>, Arc<QuotaPlace>>>,
    pieces: mpsc::Receiver<Piece>,
}

type StreamRun = dyn Future<Output = ()> + Send;

impl EncodedBody {
    /// Encodes a body in `task`, which is polled with the body.
    pub(super) fn begin(body: StreamedBody, coding: Coding, task: CpuTask, place: Arc<QuotaPlace>) -> Self {
        let (sender, pieces) = mpsc::channel(1);
        let plugin = body.plugin().clone();
        let stream = EncodedStream {
            body,
            encoder: Encoder::new(coding, None),
            steps: Steps::new(task.clone()),
            pieces: sender,
        };
        let run: Pin<Box<StreamRun>> = Box::pin(stream.run());
        let mut guest = task.guest(run);
        guest.begin_streaming();
        Self { plugin, run: Some(task.run(guest, place)), pieces }
    }

    /// The plugin whose answer the body is.
    pub(super) fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// The next piece of the body.
    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        if let Some(run) = &mut self.run
            && Pin::new(run).poll(context).is_ready()
        {
            self.run = None;
        }
        match ready!(self.pieces.poll_recv(context)) {
            // An encoder that is gone before its end has not ended the body.
            None if self.run.is_some() => Poll::Pending,
            piece => Poll::Ready(piece),
        }
    }
}

/// A body on its way through its encoder.
struct EncodedStream {
    body: StreamedBody,
    encoder: Encoder,
    steps: Steps,
    pieces: mpsc::Sender<Piece>,
}

/// The reason why a stream has no further piece.
enum Stop {
    /// The body broke off.
    Broken(RequestError),
    /// Nobody takes it.
    Unwanted,
}

impl EncodedStream {
    async fn run(mut self) {
        match self.encode().await {
            Ok(()) => self.body.leave_alone(),
            Err(Stop::Unwanted) => {}
            Err(Stop::Broken(error)) => {
                self.body.break_off(&error);
                // If nobody takes the error, nobody takes the body.
                let _ = self.pieces.send(Err(error)).await;
            }
        }
    }

    async fn encode(&mut self) -> Result<(), Stop> {
        while let Some(frame) = self.next().await? {
            match frame.into_data() {
                Ok(data) => self.encode_data(&data).await?,
                Err(trailers) => {
                    self.finish().await?;
                    return self.send(trailers).await;
                }
            }
            if self.body.has_its_length() {
                break;
            }
        }
        self.finish().await
    }

    /// The next frame of the plugin's body. While there is none, all that came before is on its way.
    async fn next(&mut self) -> Result<Option<Frame<Bytes>>, Stop> {
        let at_once = future::poll_fn(|context| Poll::Ready(self.body.poll_frame(context))).await;
        let frame = match at_once {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                self.encoder.flush().map_err(failed)?;
                self.send_encoded(1).await?;
                future::poll_fn(|context| self.body.poll_frame(context)).await
            }
        };
        match frame.transpose() {
            Ok(frame) => Ok(frame),
            Err(error) => {
                self.encoder.flush().map_err(failed)?;
                self.send_encoded(1).await?;
                Err(Stop::Broken(error))
            }
        }
    }

    async fn encode_data(&mut self, data: &[u8]) -> Result<(), Stop> {
        for step in data.chunks(STEP_BYTES) {
            self.encoder.encode(step).map_err(failed)?;
            self.send_encoded(PIECE_BYTES).await?;
            self.steps.next().await;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Stop> {
        self.encoder.finish().map_err(failed)?;
        self.send_encoded(1).await
    }

    /// Hands on what is encoded, if it has at least so many bytes.
    async fn send_encoded(&mut self, least_bytes: usize) -> Result<(), Stop> {
        if self.encoder.encoded.len() < least_bytes {
            return Ok(());
        }
        let encoded = Bytes::from(mem::take(&mut self.encoder.encoded));
        self.send(Frame::data(encoded)).await
    }

    async fn send(&mut self, frame: Frame<Bytes>) -> Result<(), Stop> {
        self.pieces.send(Ok(frame)).await.map_err(|_unwanted| Stop::Unwanted)
    }
}

/// A body whose encoder failed, which the plugin did not cause.
fn failed(error: io::Error) -> Stop {
    Stop::Broken(
        PluginError::Call(CallError::Host(format!("its answer cannot be compressed: {error}"))).into(),
    )
}

#[cfg(test)]
mod tests;
