//! What callers are told: the RateLimit fields of draft-ietf-httpapi-ratelimit-headers-11, and the
//! filter's own two answers.

use crate::bindings::jackfield::plugin::limiter::Decision;
use crate::bindings::jackfield::plugin::types::{Header, Response, ResponseHead};
use crate::policy::Policy;

/// `RateLimit-Policy` and `RateLimit`, in requests: what a request costs is the site's own affair.
pub(crate) fn fields(policy: &Policy, decision: &Decision) -> Vec<Header> {
    let Policy { requests, window_ms, cost, .. } = *policy;
    // The draft wants `Retry-After` no earlier than the window `t` ends (§6), and `t` to be the time in
    // which no more than `r` can be used: after a refusal that is the wait, not the rest of the window.
    let effective_ms = if decision.allowed { decision.reset_ms } else { decision.retry_after_ms };
    // `cost` is at least 1, `Policy` sees to it.
    let (quota, left) = (requests / cost, decision.remaining / cost);
    vec![
        field("ratelimit-policy", format!("\"default\";q={quota};w={}", seconds(window_ms))),
        field("ratelimit", format!("\"default\";r={left};t={}", seconds(effective_ms))),
    ]
}

/// The answer to a request over the limit.
pub(crate) fn too_many(policy: &Policy, decision: &Decision, request_id: &str) -> Response {
    let wait = seconds(decision.retry_after_ms).max(1);
    let mut headers = fields(policy, decision);
    headers.push(field("retry-after", wait.to_string()));
    let members = format!(
        r#""type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Quota exceeded","status":429,"detail":"Too many requests: try again in {wait} s.","violated-policies":["default"]"#
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

    const POLICY: Policy = Policy { requests: 100, window_ms: 60_000, key: KeyBy::Client, cost: 1 };

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
        for (policy, decision, quota, limit) in [
            (POLICY, decision(99, 60_000, 0), r#""default";q=100;w=60"#, r#""default";r=99;t=60"#),
            (POLICY, decision(50, 29_001, 0), r#""default";q=100;w=60"#, r#""default";r=50;t=30"#),
            (
                Policy { window_ms: 500, ..POLICY },
                decision(1, 1, 0),
                r#""default";q=100;w=1"#,
                r#""default";r=1;t=1"#,
            ),
            (
                Policy { cost: 5, ..POLICY },
                decision(9, 1000, 0),
                r#""default";q=20;w=60"#,
                r#""default";r=1;t=1"#,
            ),
        ] {
            let headers = fields(&policy, &decision);
            assert_eq!(value(&headers, "ratelimit-policy"), quota);
            assert_eq!(value(&headers, "ratelimit"), limit);
        }
    }

    #[test]
    fn a_refused_request_learns_when_to_come_back() {
        for (retry_ms, seconds) in [(1, "1"), (1000, "1"), (1001, "2"), (59_500, "60")] {
            let answer = too_many(&POLICY, &decision(0, 400, retry_ms), "id");
            assert_eq!(answer.head.status, 429);
            assert_eq!(value(&answer.head.headers, "retry-after"), seconds);
            assert_eq!(value(&answer.head.headers, "ratelimit"), format!(r#""default";r=0;t={seconds}"#));
            assert_eq!(value(&answer.head.headers, "ratelimit-policy"), r#""default";q=100;w=60"#);
            assert_eq!(value(&answer.head.headers, "content-type"), "application/problem+json");
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
