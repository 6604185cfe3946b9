//! The server that the host is compared with: hyper, tokio, and what the measured plugins answer, nothing else.

use std::net::Ipv4Addr;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{io, process, thread};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{events, transfer};

/// The bytes of a download that are written at once: whole periods of the pattern, some 64 KiB.
const PIECE_BYTES: usize = 261 * transfer::PATTERN_PERIOD;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What every request is answered with, but for /count, /download and /sse
    #[arg(long)]
    body: String,
}

/// Serves on a free port of the loopback, printed on the first line, until standard input ends: so it never
/// outlives who started it.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    thread::spawn(|| {
        let _ended = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?);
        serve(listener, arguments.body.into()).await
    })
}

async fn serve(listener: TcpListener, hello: Bytes) -> Result<()> {
    let says = Says { hello, piece: Bytes::from(transfer::pattern(PIECE_BYTES)) };
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let says = says.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| answer(request, says.clone()));
            // A caller that hangs up is no concern of this server: the load counts its own answers.
            let _hung_up = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

/// The bytes that are said again and again.
#[derive(Clone)]
struct Says {
    hello: Bytes,
    piece: Bytes,
}

async fn answer(request: Request<Incoming>, says: Says) -> Result<Response<Answer>, hyper::Error> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let (kind, body) = match request.uri().path() {
        "/count" => ("text/plain", Answer::Text(Full::new(count(request.into_body()).await?.into()))),
        "/download" => {
            let left = number(&query, "bytes").unwrap_or(0);
            ("application/octet-stream", Answer::Download { piece: says.piece, left })
        }
        "/sse" => {
            let every = Duration::from_millis(number(&query, "every-ms").unwrap_or(0).max(1));
            let mut timer = interval(every);
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let last = number(&query, "events").unwrap_or(0);
            ("text/event-stream", Answer::Events { said: 0, last, timer })
        }
        _ => ("text/plain", Answer::Text(Full::new(says.hello))),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

async fn count(mut body: Incoming) -> Result<String, hyper::Error> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(format!("bytes={bytes}\n"))
}

/// The first `name=…` of a query, if it is a number.
fn number<N: FromStr>(query: &str, name: &str) -> Option<N> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(found, _)| *found == name)?.1.parse().ok()
}

/// An answer's body, made as it is asked for.
enum Answer {
    Text(Full<Bytes>),
    /// So many bytes of the pattern. Always given in whole pieces, but for the last one.
    Download {
        piece: Bytes,
        left: u64,
    },
    /// Numbered events, one a tick.
    Events {
        said: u32,
        last: u32,
        timer: Interval,
    },
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Text(text) => Pin::new(text).poll_frame(context),
            Self::Download { left: 0, .. } => Poll::Ready(None),
            Self::Download { piece, left } => {
                let now = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
                *left -= now as u64;
                Poll::Ready(Some(Ok(Frame::data(piece.slice(..now)))))
            }
            Self::Events { said, last, .. } if said == last => Poll::Ready(None),
            Self::Events { said, timer, .. } => {
                ready!(timer.poll_tick(context));
                *said += 1;
                Poll::Ready(Some(Ok(Frame::data(events::event(*said).into()))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => text.size_hint(),
            Self::Download { .. } | Self::Events { .. } => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::thread;
    use std::time::Duration;

    use super::super::events::Listening;
    use super::super::load;
    use super::super::transfer::Direction;

    /// A server that ends with the tests.
    fn server() -> SocketAddr {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                super::serve(listener, "hello\n".into()).await
            })
        });
        address
    }

    #[test]
    fn it_gives_what_every_load_expects() {
        let address = server();
        assert_eq!(load::body(address).unwrap(), b"hello\n");
        for bytes in [0, 1, 3_000_000] {
            Direction::Up.transfer(address, bytes).unwrap();
            Direction::Down.transfer(address, bytes).unwrap();
        }
        let heard =
            Listening { clients: 20, events: 12, every: Duration::from_millis(1) }.run(address).unwrap();
        assert_eq!(heard.iter().map(|heard| heard.events).collect::<Vec<_>>(), [12; 20]);
    }
}
