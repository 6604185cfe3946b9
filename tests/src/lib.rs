//! The harness of the suite: a real host on a real socket with real components, in a few words.
//!
//! ```no_run
//! # async fn test() {
//! use jackfield_tests::{Host, Site};
//!
//! let host = Host::start(&Site::shop().plugin("hello", "guest_hello.wasm").route("/")).await;
//! host.get("/").await.expect(200);
//! # }
//! ```
//!
//! A component is named by its file name alone and copied into the test's own folder, where a test may
//! replace it. Tests run on tokio's multi-threaded runtime. A failed expectation prints the site file,
//! the answer and what the host logged, so that nobody need run it again to learn more.

mod admin;
mod alone;
mod answer;
mod browser;
mod command;
mod host;
mod request;
mod site;
mod together;

pub use admin::{Admin, AdminRequest, WITH_ADMIN, text};
pub use alone::alone;
pub use answer::Answer;
pub use browser::{Browser, bytes_of_base64};
pub use command::{Process, jackfield, program};
pub use host::{Host, Options, raw, setup, site_folder};
pub use request::RequestBuilder;
pub use site::Site;
pub use together::together;

use std::path::PathBuf;
use std::time::Duration;

/// The longest that anything in a test is waited for. Reached only by what has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The file of a built component: `guest_hello.wasm`.
///
/// # Panics
/// If it was not built.
pub fn guest(file: &str) -> PathBuf {
    let path = target_folder().join("wasm32-wasip2/plugin").join(file);
    assert!(path.exists(), "{} is not there: `cargo xtask test` builds it", path.display());
    path
}

/// The bytes of `guest_hello.wasm` in a version that says `version-2`, and so on: another component, as if
/// its author had built it anew. `number` is one digit.
///
/// # Panics
/// If it was not built.
pub fn hello_version(number: u8) -> Vec<u8> {
    let mut bytes = std::fs::read(guest("guest_hello.wasm")).expect("the guest can be read");
    let marker = b"version-1";
    let at =
        bytes.windows(marker.len()).position(|window| window == marker).expect("the guest says its version");
    bytes[at + marker.len() - 1] = b'0' + number;
    bytes
}

/// Replaces `file` as editors and `cargo build` do: by a new file under the old name.
///
/// # Panics
/// If it cannot be written.
pub fn replace(file: &std::path::Path, bytes: &[u8]) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, bytes).expect("a test can write to its folder");
    std::fs::rename(&beside, file).expect("a test can rename in its folder");
}

fn target_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a file");
    // target/debug/deps/suite-…
    let target = test.ancestors().nth(3).expect("a test stands three folders deep");
    target.to_owned()
}
