//! `cargo plugin rate-limit`, then `curl -i http://127.0.0.1:8080/api/books` until it says 429.
//!
//! So many requests in so much time, then 429. This file is the plug: it reads the policy, asks the
//! host's limiter, and lets the request pass or answers it. Nothing is kept in the instance, for each
//! call has a new one; the counting is the host's.

mod answer;
mod key;
mod policy;

use answer::Quota;
use bindings::exports::jackfield::plugin::request_filter::{Forward, Guest, RequestHead, Verdict};
use bindings::jackfield::plugin::{context, limiter, types::HeaderChange};
use bindings::wasi::{config0_2_0_rc_1::store as config, logging::logging};
use policy::Policy;

/// Generated from `wit/`: unsafe where it hands memory to the host, and undocumented.
#[allow(unsafe_code, missing_docs)]
mod bindings {
    #[cfg(target_family = "wasm")]
    use super::RateLimit;

    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package jackfield:rate-limit;
            world plugin {
                include jackfield:plugin/request-filter-plugin@0.1.0;
                import wasi:config/store@0.2.0-rc.1;
                import wasi:logging/logging@0.1.0-draft;
            }
        ",
        generate_all,
    });
    // Only for a host: native linkers take no `:` in a name, and the tests call Rust functions.
    #[cfg(target_family = "wasm")]
    export!(RateLimit);
}

/// The plug.
pub struct RateLimit;

impl Guest for RateLimit {
    fn on_request(request: RequestHead) -> Verdict {
        decide(&request).unwrap_or_else(|reason| {
            // The reason is for the operator's log; a caller learns nothing of the configuration.
            logging::log(logging::Level::Error, "rate-limit", &reason);
            Verdict::Respond(answer::broken(&context::request_id()))
        })
    }
}

/// Count the request and say what becomes of it, or why that cannot be said.
fn decide(request: &RequestHead) -> Result<Verdict, String> {
    let pairs = config::get_all().map_err(|_| "config cannot be read: the host gave an error")?;
    let policy = Policy::read(&pairs, context::plugin())?;
    let key = key::of(&policy.key, &request.headers, context::client_address().as_deref());
    let refused = |error: limiter::Error| format!("the limiter refuses the policy: {}", error.message());
    let decision = limiter::take(&key, policy.requests, policy.window_ms, policy.cost).map_err(refused)?;
    if !decision.allowed {
        return Ok(Verdict::Respond(answer::too_many(&policy, &decision, &context::request_id())));
    }
    let wait_ms = || {
        let next = limiter::peek(&key, policy.requests, policy.window_ms, policy.cost)?;
        Ok(next.retry_after_ms)
    };
    let quota = Quota::after(&policy, &decision, wait_ms).map_err(refused)?;
    // `next` is enough to have the fields on whatever answer comes back: no response filter is needed. They are lists
    // that other filters, and the plugin itself, may have said something in: `set` would wipe that out.
    let fields = answer::fields(&policy, &quota);
    Ok(Verdict::Next(Forward {
        request_headers: Vec::new(),
        response_headers: fields.into_iter().map(HeaderChange::Append).collect(),
    }))
}
