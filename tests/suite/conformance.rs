//! What HTTP demands, clause by clause, over raw sockets: tables of what is sent and what must come. The same bytes go
//! to a plain hyper server; `docs/conformance.md` compares the two.

mod case;
mod conversation;
mod exchange;
mod floods;
mod frames;
mod h1;
mod h2;
mod plain;
mod report;
mod smuggling;

use jackfield_tests::{Host, Site};

use case::Case;
use exchange::Outcome;
use plain::Plain;
use report::{Did, Part, Row};

/// Echoes on every host.
fn site() -> Site {
    Site::shop()
        .plugin("echo", "guest_misbehave.wasm")
        .route("/{*all}")
        .route("/echo/get-alone")
        .with("methods = ['GET']")
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_is_served_as_its_clauses_demand() {
    let host = Host::start(&site()).await;
    let cases = h1::cases();
    expect_all(&cases, &exchange::run(host.address(), &cases).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hidden_request_is_ever_answered() {
    let host = Host::start(&site()).await;
    let cases = smuggling::cases();
    expect_all(&cases, &exchange::run(host.address(), &cases).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_served_as_its_clauses_demand() {
    let host = Host::start(&site()).await;
    let cases = h2::cases();
    let mut differences = Vec::new();
    for (case, outcome) in cases.iter().zip(conversation::run(host.address(), &cases).await) {
        if let Some(difference) = outcome.difference(case) {
            differences.push(format!("{}, {}: {difference}", case.clause, case.what));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {}:\n{}",
        differences.len(),
        cases.len(),
        differences.join("\n\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_committed_comparison_is_what_both_servers_do() {
    let site = site();
    let (host, plain) = tokio::join!(Host::start(&site), Plain::start());
    let mut parts = Vec::new();
    for (title, about, cases) in
        [("HTTP/1", HTTP_1, h1::cases()), ("Request smuggling", SMUGGLING, smuggling::cases())]
    {
        let (ours, theirs) =
            tokio::join!(exchange::run(host.address(), &cases), exchange::run(plain.address, &cases));
        let did =
            |case: &Case, outcome: Outcome| Did { told: outcome.told(), is_as_demanded: outcome.meets(case) };
        let rows = cases.iter().zip(ours).zip(theirs).map(|((case, ours), theirs)| Row {
            clause: case.clause,
            what: case.what,
            must: case.must().into(),
            jackfield: did(case, ours),
            plain: did(case, theirs),
        });
        parts.push(Part { title, about, rows: rows.collect() });
    }
    let cases = h2::cases();
    let (ours, theirs) =
        tokio::join!(conversation::run(host.address(), &cases), conversation::run(plain.address, &cases));
    let did = |case: &conversation::Case, outcome: conversation::Outcome| Did {
        told: outcome.told(),
        is_as_demanded: outcome.meets(case),
    };
    let rows = cases.iter().zip(ours).zip(theirs).map(|((case, ours), theirs)| Row {
        clause: case.clause,
        what: case.what,
        must: case.must(),
        jackfield: did(case, ours),
        plain: did(case, theirs),
    });
    parts.push(Part { title: "HTTP/2", about: HTTP_2, rows: rows.collect() });

    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md");
    let expected = snapbox::Data::read_from(&file, Some(snapbox::data::DataFormat::Text)).raw();
    snapbox::Assert::new()
        .action_env(snapbox::assert::DEFAULT_ACTION_ENV)
        .eq(report::document(&parts), expected);
}

const HTTP_1: &str =
    "Behind each request stands another, whose answer shows that the connection is kept and read rightly.";

const SMUGGLING: &str = "\
Each form hides a request, which only one of two readings shows. Some of the readings are allowed: whoever answers the hidden
request is right then, and a server in front of it that reads otherwise has let it through. So the only answer that is safe
is none, and that is what is demanded here.";

const HTTP_2: &str = "\
Each is sent behind a client's preface and SETTINGS, unless it says otherwise, and a request stands behind it.";

#[track_caller]
fn expect_all(cases: &[Case], outcomes: &[Outcome]) {
    let mut differences = Vec::new();
    for (case, outcome) in cases.iter().zip(outcomes) {
        if let Some(difference) = outcome.difference(&case.expected) {
            let sent = case.sent.get(..300).unwrap_or(&case.sent).escape_ascii();
            differences.push(format!("{}, {}: {difference}\nto {sent}", case.clause, case.what));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {}:\n{}",
        differences.len(),
        cases.len(),
        differences.join("\n\n")
    );
}
