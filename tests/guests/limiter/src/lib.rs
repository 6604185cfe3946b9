//! `cargo plugin guest-limiter`, then `curl 'http://127.0.0.1:8080/take?key=a&limit=2&window=1000'`.
//!
//! `/take?key=&limit=&window=&cost=` (window in milliseconds; 1, 1000, 1 if left out) answers the
//! limiter's decision as one line, or `error: ` and the variant with 400.

use bindings::exports::jackfield::plugin::handler::{Guest, Request, Response};
use bindings::jackfield::plugin::limiter;
use bindings::jackfield::plugin::types::ResponseHead;
use guest_support::Query;

/// Generated from `wit/`: unsafe where it hands memory to the host, and undocumented.
#[allow(unsafe_code, missing_docs)]
mod bindings {
    #[cfg(target_family = "wasm")]
    use super::Limiter;

    wit_bindgen::generate!({ path: "../../../wit", world: "jackfield:plugin/handler-plugin", generate_all });
    #[cfg(target_family = "wasm")]
    export!(Limiter);
}

/// The plug.
pub struct Limiter;

impl Guest for Limiter {
    fn handle(request: Request) -> Result<Response, String> {
        let query = Query::parse(request.head.query.as_deref());
        let key = query.text("key").unwrap_or_default();
        let number = |name, default| query.number(name, default);
        let taken = limiter::take(&key, number("limit", 1), number("window", 1000), number("cost", 1));
        let (status, line) = match taken {
            Ok(limiter::Decision { allowed, remaining, reset_ms, retry_after_ms }) => (
                200,
                format!("allowed={allowed} remaining={remaining} reset={reset_ms} retry={retry_after_ms}\n"),
            ),
            Err(error) => (400, format!("error: {}\n", error.name())),
        };
        let headers = vec![("content-type".to_owned(), b"text/plain".to_vec())];
        Ok(Response { head: ResponseHead { status, headers }, body: line.into_bytes() })
    }
}
