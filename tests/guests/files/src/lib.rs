//! `cargo plugin guest-files`, then `curl 'http://127.0.0.1:8080/read?path=/page'`.
//!
//! Drives the file system through Rust's standard library, one operation a path, on the path that the query's `path`
//! names:
//!
//! | path | answers |
//! |---|---|
//! | `/read` | the file's content |
//! | `/list` | the names in the folder, in order, a line each |
//! | `/kind` | `file`, `folder`, `link` or `other`, links not followed |
//! | `/target` | the link's target |
//! | `/hold?n=` | how many times the file was opened, all at once, before opening failed |
//! | `/write` | for each way of writing: its name, and how it failed |
//! | `/calls` | the calls that this instance has had, this one included; it reads the file as well |
//!
//! An error is 500 and its kind, as `std::io::ErrorKind` names it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use bindings::exports::jackfield::plugin::handler::{Guest, Request, Response};
use bindings::jackfield::plugin::types::ResponseHead;
use guest_support::Query;

/// Generated from `wit/`: unsafe where it hands memory to the host, and undocumented.
#[allow(unsafe_code, missing_docs)]
mod bindings {
    #[cfg(target_family = "wasm")]
    use super::Files;

    wit_bindgen::generate!({
        path: "../../../wit",
        world: "jackfield:plugin/handler-plugin@0.1.0",
        generate_all,
    });
    #[cfg(target_family = "wasm")]
    export!(Files);
}

/// The plug.
pub struct Files;

/// The calls that this instance has had.
static CALLS: AtomicU32 = AtomicU32::new(0);

impl Guest for Files {
    fn handle(request: Request) -> Result<Response, String> {
        CALLS.fetch_add(1, Ordering::Relaxed);
        let query = Query::parse(request.head.query.as_deref());
        let path = query.text("path").unwrap_or_default();
        let (status, body) = match operate(&request.head.path, &path, &query) {
            Ok(body) => (200, body),
            Err(error) => (500, format!("{:?}", error.kind()).into_bytes()),
        };
        let headers = vec![("content-type".to_owned(), b"text/plain".to_vec())];
        Ok(Response { head: ResponseHead { status, headers }, body })
    }
}

fn operate(operation: &str, path: &str, query: &Query) -> io::Result<Vec<u8>> {
    match operation {
        "/read" => fs::read(path),
        "/list" => list(path),
        "/kind" => {
            let kind = fs::symlink_metadata(path)?.file_type();
            let kinds = [(kind.is_file(), "file"), (kind.is_dir(), "folder"), (kind.is_symlink(), "link")];
            let name = kinds.iter().find(|(is, _)| *is).map_or("other", |(_, name)| name);
            Ok(name.into())
        }
        "/target" => Ok(fs::read_link(path)?.to_string_lossy().into_owned().into_bytes()),
        "/hold" => {
            let wanted = query.number("n", 1);
            let held: Vec<File> = (0..wanted).map_while(|_| File::open(path).ok()).collect();
            Ok(held.len().to_string().into_bytes())
        }
        "/write" => Ok(write(path).into_bytes()),
        "/calls" => {
            fs::read(path)?;
            Ok(CALLS.load(Ordering::Relaxed).to_string().into_bytes())
        }
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn list(path: &str) -> io::Result<Vec<u8>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join("\n").into_bytes())
}

/// Tries every way of writing. Each line is a way, and how it failed.
fn write(path: &str) -> String {
    let beside = format!("{path}-beside");
    let attempts: [(&str, io::Result<()>); 8] = [
        ("write", fs::write(path, "x")),
        ("append", OpenOptions::new().append(true).open(path).map(drop)),
        ("create", File::create_new(&beside).map(drop)),
        ("folder", fs::create_dir(&beside)),
        ("remove", fs::remove_file(path)),
        ("rename", fs::rename(path, &beside)),
        ("link", fs::hard_link(path, &beside)),
        ("truncate", OpenOptions::new().write(true).truncate(true).open(path).map(drop)),
    ];
    let lines = attempts.iter().map(|(name, done)| match done {
        Ok(()) => format!("{name} done"),
        Err(error) => format!("{name} {:?}", error.kind()),
    });
    lines.collect::<Vec<_>>().join("\n")
}
