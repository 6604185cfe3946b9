//! `cargo plugin guest-keyvalue-draft`, then `curl -X PUT -d hello 'http://127.0.0.1:8080/set?key=a'`.
//!
//! Drives `wasi:keyvalue` 0.2.0-draft, the version with a number for a cursor: `/get?key=`,
//! `/set?key=` with a body, `/list?cursor=`, `/increment?key=&delta=`. Answers and errors are those of
//! `guest-keyvalue`.

use bindings::exports::jackfield::plugin::handler::{Guest, Request, Response};
use bindings::jackfield::plugin::types::ResponseHead;
use bindings::wasi::keyvalue0_2_0_draft::atomics;
use bindings::wasi::keyvalue0_2_0_draft::store::{self, Error};
use guest_support::Query;

/// Generated from `wit/`: unsafe where it hands memory to the host, and undocumented.
#[allow(unsafe_code, missing_docs)]
mod bindings {
    #[cfg(target_family = "wasm")]
    use super::KeyValue;

    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package guest:keyvalue-draft;
            world plugin {
                include jackfield:plugin/handler-plugin@0.1.0;
                include wasi:keyvalue/imports@0.2.0-draft;
            }
        ",
        generate_all,
    });
    #[cfg(target_family = "wasm")]
    export!(KeyValue);
}

/// The plug.
pub struct KeyValue;

/// A status and a body.
type Answer = (u16, Vec<u8>);

impl Guest for KeyValue {
    fn handle(request: Request) -> Result<Response, String> {
        let query = Query::parse(request.head.query.as_deref());
        let (status, body) = operate(&request.head.path, &query, &request.body).unwrap_or_else(refusal);
        let headers = vec![("content-type".to_owned(), b"text/plain".to_vec())];
        Ok(Response { head: ResponseHead { status, headers }, body })
    }
}

fn operate(path: &str, query: &Query, body: &[u8]) -> Result<Answer, Error> {
    let bucket = store::open(&query.text("name").unwrap_or_default())?;
    let key = query.text("key").unwrap_or_default();
    match path {
        "/get" => Ok(bucket.get(&key)?.map_or((404, b"none\n".to_vec()), |value| (200, value))),
        "/set" => bucket.set(&key, body).map(|()| (200, b"ok\n".to_vec())),
        "/list" => {
            let page = bucket.list_keys(query.text("cursor").and_then(|cursor| cursor.parse().ok()))?;
            let keys = page.keys.iter().map(|key| format!("key={key}\n"));
            Ok((
                200,
                keys.chain(page.cursor.map(|cursor| format!("cursor={cursor}\n"))).collect::<String>().into(),
            ))
        }
        "/increment" => {
            let sum = atomics::increment(&bucket, &key, query.number("delta", 1))?;
            Ok((200, format!("{sum}\n").into_bytes()))
        }
        _ => Ok((404, b"no such operation\n".to_vec())),
    }
}

fn refusal(error: Error) -> Answer {
    match error {
        Error::NoSuchStore => (400, b"error: no-such-store\n".to_vec()),
        Error::AccessDenied => (403, b"error: access-denied\n".to_vec()),
        Error::Other(why) => (503, format!("error: other: {why}\n").into_bytes()),
    }
}
