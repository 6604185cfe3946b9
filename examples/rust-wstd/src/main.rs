//! A wasi:http handler: JSON, streams both ways, a request to another server, trailers.

use std::convert::Infallible;

use futures_lite::stream;
use serde::{Deserialize, Serialize};
use wstd::http::body::{Bytes, Frame, util::StreamBody};
use wstd::http::error::ErrorCode;
use wstd::http::{Body, Client, Error, HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use wstd::time::Duration;

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let allowed = match request.uri().path() {
        "/" | "/stream" | "/fetch" | "/trailers" => Method::GET,
        "/json" | "/echo" => Method::POST,
        _ => return text(StatusCode::NOT_FOUND, "not found\n"),
    };
    if request.method() != allowed {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n")?;
        response.headers_mut().insert("allow", HeaderValue::from_str(allowed.as_str())?);
        return Ok(response);
    }
    match request.uri().path() {
        "/json" => greet(request).await,
        "/stream" => events(),
        "/echo" => echo(request),
        "/fetch" => fetch(request).await,
        "/trailers" => trailers(),
        _ => text(StatusCode::OK, "Hello from Rust!\n"),
    }
}

#[derive(Deserialize)]
struct Caller {
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Greeting(String),
    Error(String),
}

async fn greet(request: Request<Body>) -> Result<Response<Body>, Error> {
    let (status, answer) = match request.into_body().json::<Caller>().await {
        Ok(caller) => (StatusCode::OK, Answer::Greeting(format!("Hello, {}!", caller.name))),
        Err(error) => (StatusCode::BAD_REQUEST, Answer::Error(error.to_string())),
    };
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Body::from_json(&answer)?)?)
}

/// Each event leaves as soon as it is made: the body is read from the stream while the answer is sent.
fn events() -> Result<Response<Body>, Error> {
    let events = stream::unfold(1, |number| async move {
        if number > 5 {
            return None;
        }
        if number > 1 {
            wstd::task::sleep(Duration::from_millis(50)).await;
        }
        Some((format!("data: {number}\n\n"), number + 1))
    });
    let response = Response::builder().header("content-type", "text/event-stream");
    Ok(response.body(Body::from_stream(events))?)
}

/// The request's body is the answer's, piece by piece.
fn echo(request: Request<Body>) -> Result<Response<Body>, Error> {
    let (head, body) = request.into_parts();
    let mut response = Response::new(body);
    if let Some(content_type) = head.headers.get("content-type") {
        response.headers_mut().insert("content-type", content_type.clone());
    }
    Ok(response)
}

async fn fetch(request: Request<Body>) -> Result<Response<Body>, Error> {
    let query = request.uri().query().unwrap_or_default();
    let url = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "url");
    let Some((_, url)) = url else { return text(StatusCode::BAD_REQUEST, "which url?\n") };
    let Ok(request) = Request::get(url.as_ref()).body(Body::empty()) else {
        return text(StatusCode::BAD_REQUEST, "that is no url\n");
    };
    match Client::new().send(request).await {
        Ok(answer) => {
            let mut response = Response::builder().status(answer.status());
            if let Some(content_type) = answer.headers().get("content-type") {
                response = response.header("content-type", content_type);
            }
            Ok(response.body(answer.into_body())?)
        }
        Err(error) => match error.downcast_ref::<ErrorCode>() {
            Some(code) => text(StatusCode::BAD_GATEWAY, format!("{code:?}\n")),
            None => text(StatusCode::BAD_GATEWAY, format!("{error}\n")),
        },
    }
}

fn trailers() -> Result<Response<Body>, Error> {
    let mut sum = HeaderMap::new();
    sum.insert("x-sum", HeaderValue::from_static("42"));
    let frames = [Frame::data(Bytes::from("trailing\n")), Frame::trailers(sum)];
    let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
    Ok(Response::builder().header("trailer", "x-sum").body(Body::from_http_body(body))?)
}

fn text(status: StatusCode, text: impl Into<String>) -> Result<Response<Body>, Error> {
    let response = Response::builder().status(status).header("content-type", "text/plain");
    Ok(response.body(text.into().into())?)
}
