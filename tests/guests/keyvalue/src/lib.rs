//! `cargo plugin guest-keyvalue`, then `curl -X PUT -d hello 'http://127.0.0.1:8080/set?key=a'`.
//!
//! Drives `wasi:keyvalue` 0.2.0-draft2, one operation a path, on the bucket that the query's `name`
//! names (the plugin's own if there is none):
//!
//! | path | answers |
//! |---|---|
//! | `/open` | `open` |
//! | `/get?key=&compute-ms=` | the value, after computing for so long; 404 `none` |
//! | `/set?key=` with a body | `ok` |
//! | `/delete?key=` | `ok` |
//! | `/exists?key=` | `true` or `false` |
//! | `/list?cursor=` | `key=…` lines, then `cursor=…` if there is more |
//! | `/increment?key=&delta=` | the sum |
//! | `/cas?key=&expect=&value=` | `swapped`; 409 `unexpected` or `cas-failed`, and what is there. Without `expect`: nothing may be there |
//! | `/hold?key=&n=` | how many handles for compare-and-swap were held at once |
//! | `/get-many?keys=a,b` | a line `a=…` each, `a` alone without a value |
//! | `/set-many?pairs=a:1,b:2` | `ok` |
//! | `/delete-many?keys=a,b` | `ok` |
//!
//! An error is `error: ` and its variant: 400 `no-such-store`, 403 `access-denied`, 503 `other: …`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bindings::exports::jackfield::plugin::handler::{Guest, Request, Response};
use bindings::jackfield::plugin::types::ResponseHead;
use bindings::wasi::keyvalue0_2_0_draft2::atomics::{self, Cas, CasError};
use bindings::wasi::keyvalue0_2_0_draft2::batch;
use bindings::wasi::keyvalue0_2_0_draft2::store::{self, Bucket, Error};
use guest_support::Query;

/// Generated from `wit/`: unsafe where it hands memory to the host, and undocumented.
#[allow(unsafe_code, missing_docs)]
mod bindings {
    #[cfg(target_family = "wasm")]
    use super::KeyValue;

    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package guest:keyvalue;
            world plugin {
                include jackfield:plugin/handler-plugin@0.1.0;
                include wasi:keyvalue/imports@0.2.0-draft2;
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
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(query.number("compute-ms", 0)) {
        (0..10_000u32).for_each(|turn| _ = black_box(turn));
    }
    match path {
        "/open" => done("open"),
        "/get" => Ok(bucket.get(&key)?.map_or((404, b"none\n".to_vec()), |value| (200, value))),
        "/set" => bucket.set(&key, body).and_then(|()| done("ok")),
        "/delete" => bucket.delete(&key).and_then(|()| done("ok")),
        "/exists" => done(&bucket.exists(&key)?.to_string()),
        "/list" => {
            let page = bucket.list_keys(query.text("cursor").as_deref())?;
            let keys = page.keys.iter().map(|key| format!("key={key}\n"));
            Ok((
                200,
                keys.chain(page.cursor.map(|cursor| format!("cursor={cursor}\n"))).collect::<String>().into(),
            ))
        }
        "/increment" => done(&atomics::increment(&bucket, &key, query.number("delta", 1))?.to_string()),
        "/cas" => swap(&bucket, &key, query),
        "/hold" => {
            let held =
                (0..query.number("n", 1)).map(|_| Cas::new(&bucket, &key)).collect::<Result<Vec<_>, _>>()?;
            done(&held.len().to_string())
        }
        "/get-many" => {
            let mut lines = Vec::new();
            for (key, value) in batch::get_many(&bucket, &list(query, "keys"))? {
                lines.extend(key.into_bytes());
                lines.extend(value.map(|value| [b"=", value.as_slice()].concat()).unwrap_or_default());
                lines.push(b'\n');
            }
            Ok((200, lines))
        }
        "/set-many" => {
            let pairs = list(query, "pairs").into_iter().map(|pair| {
                let (key, value) = pair.split_once(':').unwrap_or((&pair, ""));
                (key.to_owned(), value.as_bytes().to_vec())
            });
            batch::set_many(&bucket, &pairs.collect::<Vec<_>>()).and_then(|()| done("ok"))
        }
        "/delete-many" => batch::delete_many(&bucket, &list(query, "keys")).and_then(|()| done("ok")),
        _ => Ok((404, b"no such operation\n".to_vec())),
    }
}

/// Put `value` in the place of `expect`, if that is what is there.
fn swap(bucket: &Bucket, key: &str, query: &Query) -> Result<Answer, Error> {
    let cas = Cas::new(bucket, key)?;
    let conflict = |what: &str, present: Option<Vec<u8>>| {
        (409, [what.as_bytes(), b" ", &present.unwrap_or_default(), b"\n"].concat())
    };
    let present = cas.current()?;
    if present != query.text("expect").map(|_| query.bytes("expect")) {
        return Ok(conflict("unexpected", present));
    }
    match atomics::swap(cas, &query.bytes("value")) {
        Ok(()) => done("swapped"),
        Err(CasError::StoreError(error)) => Err(error),
        Err(CasError::CasFailed(cas)) => Ok(conflict("cas-failed", cas.current()?)),
    }
}

fn list(query: &Query, name: &str) -> Vec<String> {
    let text = query.text(name).unwrap_or_default();
    text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn done(text: &str) -> Result<Answer, Error> {
    Ok((200, format!("{text}\n").into_bytes()))
}

fn refusal(error: Error) -> Answer {
    match error {
        Error::NoSuchStore => (400, b"error: no-such-store\n".to_vec()),
        Error::AccessDenied => (403, b"error: access-denied\n".to_vec()),
        Error::Other(why) => (503, format!("error: other: {why}\n").into_bytes()),
    }
}
