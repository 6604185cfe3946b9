//! Guests that fail when their head is sent: whatever they do, and however the body is framed, nobody takes what came
//! for the whole.

use std::fmt::Write as _;

use hostile_guests::{CUTS, Cut};
use jackfield_tests::{Host, Site, together};

use crate::streaming::client::{BOTH, Caller, Version};

/// A body in chunks, and one whose length is stated. Over HTTP/2 both are frames.
const FRAMINGS: [Option<u32>; 2] = [None, Some(1000)];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_plugin_does_after_its_head_half_its_body_is_never_taken_for_the_whole() {
    let site = CUTS.iter().fold(Site::default().tenant("mean", ["*"]), |site, cut| plugin(site, cut.then));
    let host = Host::start(&site).await;
    let attempts = CUTS.into_iter().flat_map(|cut| {
        BOTH.into_iter().flat_map(move |version| FRAMINGS.map(|length| (cut, version, length)))
    });
    together(attempts.map(|(cut, version, length)| expect_cut(&host, cut, version, length))).await;
    for Cut { then, counted, .. } in CUTS {
        let series = format!(
            r#"jackfield_calls_total{{tenant="mean",plugin="{then}",plug="handler",outcome="{counted}"}}"#
        );
        host.wait_until(&format!("the calls of `{then}` to be counted as `{counted}`"), async || {
            host.metric(&series) == 4.0
        })
        .await;
    }
    super::until_nothing_is_held(&host).await;
}

fn plugin(site: Site, then: &str) -> Site {
    // What takes its time has time; what is to be cut has little.
    let cpu = if then == "loop" { "10ms" } else { "2s" };
    let stream = if then == "sleep" { "300ms" } else { "20s" };
    site.plugin(then, "guest_http.wasm")
        .limits(format!("cpu = '{cpu}', stream = '{stream}', memory = '16MiB'"))
        .route("/after-head")
        .with(format!("headers = {{ x-then = '{then}' }}"))
}

async fn expect_cut(host: &Host, cut: Cut, version: Version, length: Option<u32>) {
    let Cut { then, problem, .. } = cut;
    let what = format!("{then}, {version:?}, {length:?}");
    let caller = Caller::connect(host, version).await;
    let nothing = http_body_util::Full::default();
    let mut answer = caller.send("GET", &cut.path(length), &[("x-then", then)], nothing).await;
    assert_eq!(answer.status(), 200, "{what}");
    let stated = answer.header("content-length").map(|stated| stated.parse().unwrap());
    assert_eq!(stated, length, "{what}");
    let id = answer.request_id();
    assert_eq!(answer.expect_broken(&what).await, "half of it\n".len(), "{what}");
    let line = host.access_line(&id).await;
    assert_eq!((&line["problem"], &line["blame"]), (&problem.into(), &"plugin".into()), "{what}: {line}");
    let why = |line: &serde_json::Value| line["message"] == "request failed" && line["request-id"] == *id;
    host.wait_for_log(&format!("why it was cut: {what}"), why).await;
}

/// Its section of `docs/hostile.md`.
pub(super) fn section() -> String {
    let mut text = "\n## cut after the head\n\nThe head and a part of the body are sent, and then it goes wrong. Each in \
                    HTTP/1.1 in chunks and with a stated\nlength, and in HTTP/2: the caller sees that the body broke off, \
                    the log says why.\n\n| guest | does | logged, counted |\n|---|---|---|\n"
        .to_owned();
    for Cut { then, does, problem, counted } in CUTS {
        let _ = writeln!(text, "| `{then}` | {does} | `{problem}`, `{counted}` |");
    }
    text
}
