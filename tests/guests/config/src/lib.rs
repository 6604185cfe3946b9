//! `cargo plugin guest-config`, then `curl 'http://127.0.0.1:8080/?key=a'`.
//!
//! Answers what both versions of `wasi:config` say, a line each: `rc.1 get`, `rc.1 get-all`, and the
//! same of `draft`.

use bindings::exports::jackfield::plugin::handler::{Guest, Request, Response};
use bindings::jackfield::plugin::types::ResponseHead;
use bindings::wasi::config0_2_0_draft_2024_09_27::store as draft;
use bindings::wasi::config0_2_0_rc_1::store as rc1;
use guest_support::Query;

/// Generated from `wit/`: unsafe where it hands memory to the host, and undocumented.
#[allow(unsafe_code, missing_docs)]
mod bindings {
    #[cfg(target_family = "wasm")]
    use super::Config;

    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package guest:config;
            world plugin {
                include jackfield:plugin/handler-plugin@0.1.0;
                import wasi:config/store@0.2.0-rc.1;
                import wasi:config/store@0.2.0-draft-2024-09-27;
            }
        ",
        generate_all,
    });
    #[cfg(target_family = "wasm")]
    export!(Config);
}

/// The plug.
pub struct Config;

impl Guest for Config {
    fn handle(request: Request) -> Result<Response, String> {
        let key = Query::parse(request.head.query.as_deref()).text("key").unwrap_or_default();
        let body = format!(
            "rc.1 get {:?}\nrc.1 get-all {:?}\ndraft get {:?}\ndraft get-all {:?}\n",
            rc1::get(&key),
            rc1::get_all(),
            draft::get(&key),
            draft::get_all(),
        );
        let headers = vec![("content-type".to_owned(), b"text/plain".to_vec())];
        Ok(Response { head: ResponseHead { status: 200, headers }, body: body.into_bytes() })
    }
}
