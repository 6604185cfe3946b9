//! What callers are told: the RateLimit fields of draft-ietf-httpapi-ratelimit-headers-11, and the
//! filter's own two answers.

use crate::bindings::jackfield::plugin::limiter::Decision;
use crate::bindings::jackfield::plugin::types::{Header, Response, ResponseHead};
use crate::policy::Policy;

/// What a decision comes to, in what a caller counts: requests and whole seconds.
pub(crate) struct Quota {
    /// Requests that may still be made.
    left: u32,
    /// Until when the window lasts in which they may be; if there are none, until there may be another.
    seconds: u32,
}

impl Quota {
    /// What is left after `decision`. If that is nothing, `wait_ms` is asked how long the next request has to wait.
    ///
    /// # Errors
    /// What `wait_ms` gives.
    pub(crate) fn after<E>(
        policy: &Policy,
        decision: &Decision,
        wait_ms: impl FnOnce() -> Result<u32, E>,
    ) -> Result<Self, E> {
        // `cost` is at least 1, `Policy` sees to it.
        let left = decision.remaining / policy.cost;
        let effective_ms = if left > 0 { decision.reset_ms } else { wait_ms()? };
        Ok(Self { left, seconds: seconds(effective_ms).max(1) })
    }
}

/// `RateLimit-Policy` and `RateLimit`, an item of each: both are lists, to which every filter of a route adds its own.
/// In requests: what a request costs is the site's own affair.
pub(crate) fn fields(policy: &Policy, quota: &Quota) -> Vec<Header> {
    let Policy { name, requests, window_ms, cost, .. } = policy;
    let Quota { left, seconds: time } = quota;
    vec![
        field("ratelimit-policy", format!("\"{name}\";q={};w={}", requests / cost, seconds(*window_ms))),
        field("ratelimit", format!("\"{name}\";r={left};t={time}")),
    ]
}

/// The answer to a request over the limit.
pub(crate) fn too_many(policy: &Policy, decision: &Decision, request_id: &str) -> Response {
    // Less than a request's cost may be left. The draft wants `Retry-After` no earlier than `t` ends (§6).
    let quota = Quota { left: 0, seconds: seconds(decision.retry_after_ms).max(1) };
    let (name, wait) = (&policy.name, quota.seconds);
    let mut headers = fields(policy, &quota);
    headers.push(field("retry-after", wait.to_string()));
    let members = format!(
        r#""type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Quota exceeded","status":429,"detail":"Too many requests: try again in {wait} s.","violated-policies":["{name}"]"#
    );
    problem(429, headers, &members, request_id)
}

/// The answer when there is no valid policy. Closed, not open: a limit that a typing error can switch
/// off protects nobody.
pub(crate) fn broken(request_id: &str) -> Response {
    let members = r#""type":"about:blank","title":"Internal Server Error","status":500,"detail":"The rate limit of this route is not set up correctly.""#;
    problem(500, Vec::new(), members, request_id)
}

/// A problem document (RFC 9457).
fn problem(status: u16, mut headers: Vec<Header>, members: &str, request_id: &str) -> Response {
    headers.push(field("content-type", "application/problem+json".to_owned()));
    let mut body = format!("{{{members},\"request-id\":\"");
    for character in request_id.chars() {
        // A request id is visible ASCII: these two are all that JSON wants escaped in it.
        if matches!(character, '"' | '\\') {
            body.push('\\');
        }
        body.push(character);
    }
    body.push_str("\"}\n");
    Response { head: ResponseHead { status, headers }, body: body.into_bytes() }
}

fn field(name: &str, value: String) -> Header {
    (name.to_owned(), value.into_bytes())
}

/// Whole seconds, rounded up: a caller who waits so long has waited long enough.
fn seconds(ms: u32) -> u32 {
    ms.div_ceil(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::KeyBy;

    fn policy(requests: u32, window_ms: u32, cost: u32) -> Policy {
        Policy { name: "burst".to_owned(), requests, window_ms, key: KeyBy::Client, cost }
    }

    fn decision(remaining: u32, reset_ms: u32, retry_after_ms: u32) -> Decision {
        Decision { allowed: retry_after_ms == 0, remaining, reset_ms, retry_after_ms }
    }

    fn value(headers: &[Header], name: &str) -> String {
        let values: Vec<_> = headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect();
        assert_eq!(values.len(), 1, "one {name}");
        String::from_utf8(values.concat()).unwrap()
    }

    #[test]
    fn an_allowed_request_learns_what_is_left_and_until_when() {
        for (policy, decision, wait_ms, quota, limit) in [
            (policy(100, 60_000, 1), decision(99, 60_000, 0), None, "q=100;w=60", "r=99;t=60"),
            (policy(100, 60_000, 1), decision(50, 29_001, 0), None, "q=100;w=60", "r=50;t=30"),
            (policy(100, 500, 1), decision(1, 1, 0), None, "q=100;w=1", "r=1;t=1"),
            (policy(100, 60_000, 5), decision(9, 1000, 0), None, "q=20;w=60", "r=1;t=1"),
            // Nothing is left: not when the window ends, but when another request may be made.
            (policy(4, 3000, 1), decision(0, 3000, 0), Some(3750), "q=4;w=3", "r=0;t=4"),
            (policy(4, 3000, 2), decision(1, 2000, 0), Some(100), "q=2;w=3", "r=0;t=1"),
            (policy(4, 3000, 1), decision(0, 3000, 0), Some(0), "q=4;w=3", "r=0;t=1"),
        ] {
            let left = Quota::after(&policy, &decision, || wait_ms.ok_or("nobody has to wait")).unwrap();
            let headers = fields(&policy, &left);
            assert_eq!(value(&headers, "ratelimit-policy"), format!("\"burst\";{quota}"));
            assert_eq!(value(&headers, "ratelimit"), format!("\"burst\";{limit}"));
        }
    }

    #[test]
    fn a_refused_request_learns_when_to_come_back() {
        for (retry_ms, seconds) in [(1, "1"), (1000, "1"), (1001, "2"), (59_500, "60")] {
            let answer = too_many(&policy(100, 60_000, 1), &decision(0, 400, retry_ms), "id");
            assert_eq!(answer.head.status, 429);
            let headers = &answer.head.headers;
            assert_eq!(value(headers, "retry-after"), seconds);
            assert_eq!(value(headers, "ratelimit"), format!(r#""burst";r=0;t={seconds}"#));
            assert_eq!(value(headers, "ratelimit-policy"), r#""burst";q=100;w=60"#);
            assert_eq!(value(headers, "content-type"), "application/problem+json");
            let body = String::from_utf8(answer.body).unwrap();
            assert!(body.contains(r#""violated-policies":["burst"]"#), "{body}");
        }
    }

    #[test]
    fn a_request_id_cannot_break_out_of_the_document() {
        let answer = broken(r#"a"b\c"#);
        assert_eq!(answer.head.status, 500);
        let body = String::from_utf8(answer.body).unwrap();
        assert!(body.ends_with("\"request-id\":\"a\\\"b\\\\c\"}\n"), "{body}");
    }
}
