//! `cargo plugin guest-works`, then `curl -i http://127.0.0.1:8080/json`: 200 with 1 KiB of JSON.
//!
//! The works of `cargo xtask bench` as a lean plugin in ordinary Rust, with the standard library: `/` says hello,
//! `/json` makes a document, `/echo` gives the body back. `guest-works-http` does the same over `wasi:http`.

use bindings::exports::jackfield::plugin::handler::{Guest, Request, Response};
use bindings::jackfield::plugin::types::ResponseHead;
use guest_support::Catalogue;

/// Generated from `wit/`: unsafe where it hands memory to the host, and undocumented.
#[allow(unsafe_code, missing_docs)]
mod bindings {
    #[cfg(target_family = "wasm")]
    use super::Works;

    wit_bindgen::generate!({ path: "../../../wit", world: "jackfield:plugin/handler-plugin", generate_all });
    #[cfg(target_family = "wasm")]
    export!(Works);
}

/// The plug.
pub struct Works;

impl Guest for Works {
    fn handle(request: Request) -> Result<Response, String> {
        Ok(match request.head.path.as_str() {
            "/" => answer(200, "text/plain", b"hello from version-1\n".to_vec()),
            "/json" => {
                let json = serde_json::to_vec(&Catalogue::new()).map_err(|error| error.to_string())?;
                answer(200, "application/json", json)
            }
            "/echo" => answer(200, "application/octet-stream", request.body),
            _ => answer(404, "text/plain", b"no such work\n".to_vec()),
        })
    }
}

fn answer(status: u16, content_type: &str, body: Vec<u8>) -> Response {
    let headers = vec![("content-type".to_owned(), content_type.as_bytes().to_vec())];
    Response { head: ResponseHead { status, headers }, body }
}
