//! The plug: takes a request from the host, and gives it the answer. The bytes of a file never come here: the host is
//! told to move them from the file's stream to the answer's.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::StaticFiles;
use crate::answer::{Answer, Body, Piece};
use crate::bindings::exports::wasi::http::incoming_handler::{Guest, IncomingRequest, ResponseOutparam};
use crate::bindings::wasi::cli::stderr;
use crate::bindings::wasi::config::store;
use crate::bindings::wasi::http::types::{self, OutgoingBody, OutgoingResponse};
use crate::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};
use crate::config::Config;
use crate::fault::Fault;
use crate::files::{self, File};
use crate::mount::Mounts;
use crate::request::{Method, Request};
use crate::serve::Server;

/// What `blocking-write-and-flush` takes at once.
const MAX_WRITE_BYTES: usize = 4096;

impl Guest for StaticFiles {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let request = read(&request);
        let answer = decide(&request).unwrap_or_else(|reason| {
            log(&reason);
            Answer::text(500, "The files of this route cannot be served.\n")
        });
        if let Err(Unsent::Failed(reason)) = send(answer, out) {
            log(&format!("{}: {reason}", request.path.escape_debug()));
        }
    }
}

fn read(request: &IncomingRequest) -> Request {
    let method = match request.method() {
        types::Method::Get => Method::Get,
        types::Method::Head => Method::Head,
        types::Method::Options => Method::Options,
        _ => Method::Other,
    };
    let target = request.path_with_query().unwrap_or_default();
    Request::new(method, &target, request.headers().entries())
}

/// The answer, or why there is none: for the operator, a caller learns nothing of it.
fn decide(request: &Request) -> Result<Answer, String> {
    let pairs = store::get_all().map_err(|_| "config cannot be read: the host gave an error")?;
    let config = Config::read(&pairs)?;
    let mounts = Mounts::all()?;
    let server = Server { config: &config, mounts: &mounts, now: files::now() };
    let unopened =
        |fault: Fault| format!("{}: cannot be opened: {}", request.path.escape_debug(), fault.reason());
    server.answer(request).map_err(unopened)
}

/// Why an answer was not sent to its end.
enum Unsent {
    /// Nobody takes it any more, or the file has become shorter.
    Closed,
    /// The reason is for the operator.
    Failed(String),
}

impl From<StreamError> for Unsent {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Closed => Self::Closed,
            StreamError::LastOperationFailed(_) => {
                Self::Failed("sent in part: it changed, or could not be read".into())
            }
        }
    }
}

/// Sends the answer. What fails before the host has the head is answered by the host; what fails later leaves the body
/// unfinished, so that it breaks off.
fn send(answer: Answer, out: ResponseOutparam) -> Result<(), Unsent> {
    let refused = |what: &str| Unsent::Failed(format!("the host refuses {what}"));
    let entries: Vec<_> =
        answer.fields.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
    let fields = types::Fields::from_list(&entries).map_err(|_| refused("the fields of the answer"))?;
    let response = OutgoingResponse::new(fields);
    response.set_status_code(answer.status).map_err(|()| refused("the status"))?;
    let body = response.body().map_err(|()| refused("a body"))?;
    match answer.body {
        Body::Text("") => ResponseOutparam::set(out, Ok(response)),
        Body::Text(text) => {
            let stream = body.write().map_err(|()| refused("a stream"))?;
            ResponseOutparam::set(out, Ok(response));
            write(&stream, text)?;
        }
        Body::File { file, pieces } => {
            let stream = body.write().map_err(|()| refused("a stream"))?;
            // What is at hand is there before the head: the host can write both at once.
            let mut begun = match pieces.first() {
                Some(Piece::Bytes { offset, length }) => {
                    Some(Transfer::begin(&file, *offset, *length, &stream)?)
                }
                _ => None,
            };
            ResponseOutparam::set(out, Ok(response));
            for piece in pieces {
                match (begun.take(), piece) {
                    (Some(transfer), _) => transfer.complete(&stream)?,
                    (None, Piece::Text(text)) => write(&stream, &text)?,
                    (None, Piece::Bytes { offset, length }) => {
                        Transfer::begin(&file, offset, length, &stream)?.complete(&stream)?;
                    }
                }
            }
        }
    }
    OutgoingBody::finish(body, None).map_err(|_| refused("the end of the body"))
}

/// Bytes of a file on their way into a body.
struct Transfer {
    source: InputStream,
    left: u64,
}

impl Transfer {
    /// Moves what can be moved without waiting.
    fn begin(file: &File, offset: u64, length: u64, to: &OutputStream) -> Result<Self, Unsent> {
        let unread = |fault: Fault| Unsent::Failed(format!("cannot be read: {}", fault.reason()));
        let source = file.stream(offset).map_err(unread)?;
        let moved = to.splice(&source, length)?;
        Ok(Self { source, left: length.saturating_sub(moved) })
    }

    fn complete(mut self, to: &OutputStream) -> Result<(), Unsent> {
        while self.left > 0 {
            let moved = to.blocking_splice(&self.source, self.left)?;
            self.left = self.left.saturating_sub(moved);
        }
        Ok(())
    }
}

fn write(stream: &OutputStream, text: &str) -> Result<(), StreamError> {
    text.as_bytes().chunks(MAX_WRITE_BYTES).try_for_each(|piece| stream.blocking_write_and_flush(piece))
}

/// Says this on standard error. If nobody hears it, there is nobody to tell.
fn log(reason: &str) {
    let _ = write(&stderr::get_stderr(), &format!("static-files: {reason}\n"));
}
