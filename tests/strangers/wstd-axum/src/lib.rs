//! The tour as a user of axum writes it: a router, extractors, and responses from tuples.

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use wstd::time::{Duration, Timer};

#[wstd_axum::http_server]
fn main() -> Router {
    Router::new()
        .route("/", get(async || "Hello from axum!\n"))
        .route("/json", post(greet))
        .route("/stream", get(count))
        .route("/echo", post(echo))
        .fallback(async || (StatusCode::NOT_FOUND, "not found\n"))
}

async fn greet(body: String) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    let refuse = |why: String| (StatusCode::BAD_REQUEST, Json(json!({ "error": why })));
    let value: Value = serde_json::from_str(&body).map_err(|error| refuse(error.to_string()))?;
    let name = value["name"].as_str().ok_or_else(|| refuse("`name` must be a string".into()))?;
    Ok(Json(json!({ "greeting": format!("Hello, {name}!") })))
}

async fn count() -> Response {
    let events = futures_lite::stream::unfold(1, async |event| {
        if event > 1 {
            Timer::after(Duration::from_millis(50)).wait().await;
        }
        (event <= 5).then(|| (Ok::<_, std::io::Error>(format!("data: {event}\n\n")), event + 1))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

async fn echo(request: Request) -> Response {
    let kind = request.headers().get(CONTENT_TYPE).cloned();
    let mut response = Response::new(request.into_body());
    response.headers_mut().extend(kind.map(|kind| (CONTENT_TYPE, kind)));
    response
}
