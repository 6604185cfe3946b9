//! What Jackfield is compared with: a plain hyper server, as `hyper-util` makes it, and a service that echoes.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A server that runs until it is dropped.
pub(super) struct Plain {
    pub(super) address: SocketAddr,
    _running: JoinSet<()>,
}

impl Plain {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let address = listener.local_addr().expect("it has an address");
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service_fn(echo)).await;
                });
            }
        });
        Self { address, _running: running }
    }
}

/// As `/echo` of the guest does.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let uri = &head.uri;
    let mut text =
        format!("method={}\npath={}\nquery={:?}\n", head.method, uri.path(), uri.query()).into_bytes();
    for (name, value) in &head.headers {
        text.extend([b"header ", name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat());
    }
    let Ok(body) = body.collect().await else {
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = http::StatusCode::BAD_REQUEST;
        return Ok(answer);
    };
    let body = body.to_bytes();
    text.extend(format!("body-bytes={}\n", body.len()).into_bytes());
    text.extend(&body);
    Ok(Response::new(Full::new(text.into())))
}
