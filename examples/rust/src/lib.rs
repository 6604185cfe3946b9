//! A Jackfield handler: a whole request in, a whole answer out.

wit_bindgen::generate!({ path: "wit", world: "jackfield:plugin/handler-plugin", generate_all });

use exports::jackfield::plugin::handler::{Guest, Request, Response};
use jackfield::plugin::types::ResponseHead;

struct Hello;

impl Guest for Hello {
    /// An error's text goes to the log, and the caller gets a plain 500.
    fn handle(request: Request) -> Result<Response, String> {
        Ok(match (request.head.path.as_str(), request.head.method.as_str()) {
            ("/", "GET") => answer(200, "text/plain", "Hello from Rust!\n"),
            ("/json", "POST") => greet(&request.body),
            ("/", _) => wrong_method("GET"),
            ("/json", _) => wrong_method("POST"),
            _ => answer(404, "text/plain", "not found\n"),
        })
    }
}

#[derive(serde::Deserialize)]
struct Caller {
    name: String,
}

fn greet(body: &[u8]) -> Response {
    let (status, text) = match serde_json::from_slice::<Caller>(body) {
        Ok(caller) => (200, serde_json::json!({ "greeting": format!("Hello, {}!", caller.name) })),
        Err(error) => (400, serde_json::json!({ "error": error.to_string() })),
    };
    answer(status, "application/json", &text.to_string())
}

fn wrong_method(allowed: &str) -> Response {
    let mut response = answer(405, "text/plain", "method not allowed\n");
    response.head.headers.push(("allow".into(), allowed.into()));
    response
}

fn answer(status: u16, content_type: &str, body: &str) -> Response {
    let headers = vec![("content-type".into(), content_type.into())];
    Response { head: ResponseHead { status, headers }, body: body.into() }
}

// Tests run where you build; only a component has a host to be exported to.
#[cfg(target_family = "wasm")]
export!(Hello);

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield::plugin::types::RequestHead;

    #[test]
    fn a_caller_is_greeted_by_name() {
        let head = RequestHead { method: "POST".into(), path: "/json".into(), query: None, headers: vec![] };
        let response = Hello::handle(Request { head, body: br#"{"name": "Ada"}"#.into() }).unwrap();
        assert_eq!(response.head.status, 200);
        assert_eq!(response.body, br#"{"greeting":"Hello, Ada!"}"#);
    }
}
