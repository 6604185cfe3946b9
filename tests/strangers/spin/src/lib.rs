//! The tour as a user of Spin's SDK writes it: a router of whole messages.

use serde_json::{Value, json};
use spin_sdk::http::{IntoResponse, Method, Params, Request, Response, Router};
use spin_sdk::http_component;

#[http_component]
fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let mut router = Router::new();
    router.get("/", welcome);
    router.add("/", Method::Head, welcome);
    router.post("/json", greet);
    router.any("/*", |_: Request, _: Params| anyhow::Ok(text(404, "not found\n")));
    Ok(router.handle(request))
}

fn welcome(_: Request, _: Params) -> anyhow::Result<impl IntoResponse> {
    Ok(text(200, "Hello from Spin!\n"))
}

fn greet(request: Request, _: Params) -> anyhow::Result<impl IntoResponse> {
    let value: Value = match serde_json::from_slice(request.body()) {
        Ok(value) => value,
        Err(error) => return Ok(json(400, json!({ "error": error.to_string() }))),
    };
    Ok(match value["name"].as_str() {
        Some(name) => json(200, json!({ "greeting": format!("Hello, {name}!") })),
        None => json(400, json!({ "error": "`name` must be a string" })),
    })
}

fn text(status: u16, body: &str) -> Response {
    Response::builder().status(status).header("content-type", "text/plain").body(body).build()
}

fn json(status: u16, body: Value) -> Response {
    Response::builder().status(status).header("content-type", "application/json").body(body.to_string()).build()
}
