//! The table of hostile guests: each does one kind of harm, beside a quiet tenant's callers, and comes to what was
//! promised. The guests are in `tests/guests/hostile`; `docs/hostile.md` lists them.

mod case;
mod cut;
mod load;
mod quiet;
mod table;

use std::ops::RangeFrom;
use std::time::{Duration, Instant};

use anyhow::{Error, Result, ensure};
use jackfield_tests::{Answer, Host, Options, alone};
use serde_json::Value;
use tempfile::TempDir;

use case::Case;
use quiet::Quiet;
use table::Row;

/// What a call may use beyond its limit: a guest is looked at once a millisecond, and the end of its call, which gives
/// its memory back, is billed as well. That end takes 0.2 ms as a rule, and 6 ms on a machine that is slow with memory.
const BEYOND_LIMIT_MS: f64 = 10.0;

/// The thread's clock leaves out other processes, but the tick comes from a thread that may have to wait for a core.
/// So of several calls the best counts: what goes wrong as such does so each time.
const ATTEMPTS: usize = 8;

/// What the process may keep of a whole run: pages of pool slots that stay resident, buffers, the log that the test
/// itself keeps.
const KEPT_BYTES: u64 = 128 << 20;

/// Few slots, so that one that is lost is missed.
const CONCURRENCY: &str = "concurrency = 8";

fn cases() -> Vec<Case> {
    let guests = hostile_guests::all().unwrap_or_else(|error| panic!("{error:#}"));
    guests.iter().flat_map(Case::of).collect()
}

#[test]
fn every_hostile_guest_comes_to_what_was_promised_and_the_quiet_tenant_never_notices() {
    let name = "hostile::every_hostile_guest_comes_to_what_was_promised_and_the_quiet_tenant_never_notices";
    alone(name, async || {
        let cases = cases();
        assert!(cases.len() >= 40);
        let folder = TempDir::new().unwrap();
        let mean = quiet::site()
            .tenant("mean", ["*.mean"])
            .with("quota.grants = { keyvalue = true, limiter = true, http = ['http://granted.test'] }");
        let site = cases.iter().fold(mean, |site, case| case.add_to(site, folder.path()));
        let options = Options { host: CONCURRENCY.into(), ..Options::default() };
        let host = Host::start_with(&site, options).await;

        // The first calls of all have the process make what it keeps for good. A lean call has ended when it is
        // answered.
        for case in cases.iter().filter(|case| case.name.ends_with("-lean")).step_by(4) {
            drop(ask(&host, case, "at-first").await);
        }
        let before = resident_bytes();
        let quiet = Quiet::begin(&host);
        let (mut rows, mut ids) = (Vec::new(), 0..);
        for case in &cases {
            rows.push(run(&host, case, &mut ids).await);
        }
        let seen = quiet.end().await;
        until_nothing_is_held(&host).await;
        let after = resident_bytes();

        println!("{}", table::with_figures(&rows));
        println!("{}", seen.told());
        println!("resident memory: {} MiB before, {} MiB after", before >> 20, after >> 20);
        let broken: Vec<_> = rows.iter().filter_map(|row| row.broken.as_deref()).collect();
        assert!(broken.is_empty(), "{} promises were broken\n{}", broken.len(), broken.join("\n"));
        assert!(seen.is_unharmed(), "{}", seen.told());
        assert!(after < before + KEPT_BYTES, "{before} bytes were resident before, {after} after");
    });
}

#[test]
fn the_committed_table_is_the_one_that_is_run() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/hostile.md");
    let expected = snapbox::Data::read_from(&file, Some(snapbox::data::DataFormat::Text)).raw();
    let text = table::document(&cases());
    snapbox::Assert::new().action_env(snapbox::assert::DEFAULT_ACTION_ENV).eq(text, expected);
}

async fn ask(host: &Host, case: &Case, id: &str) -> Result<Answer> {
    let request = host.request("GET", &case.path).header("host", case.host_name());
    request.header("x-request-id", id).try_send().await
}

/// Calls a guest as often as it takes, and looks at what comes of each call.
async fn run(host: &Host, case: &Case, ids: &mut RangeFrom<u32>) -> Row {
    let (mut cpu_ms, mut wall) = (f64::INFINITY, Duration::ZERO);
    let kept = attempt(host, case, ids, &mut cpu_ms, &mut wall).await;
    let broken = kept.err().map(|why| format!("{}: {why:#}\n{}", case.name, lines_of(host, case)));
    Row { case: case.clone(), cpu_ms, wall, broken }
}

async fn attempt(
    host: &Host,
    case: &Case,
    ids: &mut RangeFrom<u32>,
    cpu_ms: &mut f64,
    wall: &mut Duration,
) -> Result<()> {
    let begin = Account::of(host, case);
    let mut calls = 0.0;
    for _ in 0..ATTEMPTS {
        let before = Account::of(host, case);
        for _ in 0..case.calls {
            let began = Instant::now();
            let id = format!("hostile-{}", ids.next().expect("numbers do not end"));
            let answer = ask(host, case, &id).await;
            *wall = began.elapsed().max(*wall);
            match answer {
                Ok(answer) => check(host, case, &id, &answer).await?,
                Err(broken_off) => check_broken_off(host, case, &id, broken_off).await?,
            }
            calls += 1.0;
        }
        // A call may end after its answer.
        host.wait_until(&format!("the calls of {} to end", case.name), async || {
            Account::of(host, case).calls >= begin.calls + calls
        })
        .await;
        let spent = Account::of(host, case).cpu_seconds - before.cpu_seconds;
        *cpu_ms = cpu_ms.min(spent * 1000.0 / f64::from(case.calls));
        if *cpu_ms <= most_ms(case) {
            break;
        }
    }
    let counted = Account::of(host, case).counted - begin.counted;
    ensure!(counted == calls, "{counted} of {calls} calls were counted as `{}`", case.promise.counted);
    ensure!(*cpu_ms <= most_ms(case), "it used {cpu_ms:.1} ms of {:.0}", case.cpu_ms());
    Ok(())
}

/// What a call may use.
fn most_ms(case: &Case) -> f64 {
    case.cpu_ms() + BEYOND_LIMIT_MS
}

/// A guest that sets its answer's head and then fails is as a rule answered for by the host. If a tick of the clock came
/// between, its head was sent, and its body has to break off, for the same reason.
async fn check_broken_off(host: &Host, case: &Case, id: &str, broken_off: Error) -> Result<()> {
    let line = host.access_line(id).await;
    let problem = case.promise.problem.as_deref();
    ensure!(problem.is_some() && line["problem"].as_str() == problem, "{broken_off:#}; the log says {line}");
    ensure!(line["status"] == 200 && line["blame"] == "plugin", "{broken_off:#}; the log says {line}");
    Ok(())
}

async fn check(host: &Host, case: &Case, id: &str, answer: &Answer) -> Result<()> {
    let promise = &case.promise;
    let told = format!("{} {:?}\n{}", answer.status, answer.headers, answer.text());
    ensure!(answer.status == promise.status, "it was answered {told}");
    if let Some(problem) = &promise.problem {
        ensure!(
            answer.json()["type"] == format!("urn:jackfield:problem:{problem}"),
            "it was answered {told}"
        );
        for word in ["secret", "wasm", "evil"] {
            ensure!(!told.contains(word), "the caller is told of `{word}`: {told}");
        }
        let why = |line: &Value| line["message"] == "request failed" && line["request-id"] == id;
        let why = host.wait_for_log(&format!("why {} failed", case.name), why).await;
        ensure!(why["blame"] == "plugin" && why["problem"] == problem.as_str(), "the log says {why}");
    }
    for name in ["evil", "connection", "set-cookie"] {
        ensure!(answer.header(name).is_none(), "`{name}` reached the caller: {told}");
    }
    let ids = answer.header_all("x-request-id");
    ensure!(ids == [id], "its id is {ids:?}");
    if let Some(words) = &promise.says {
        ensure!(answer.text().contains(words), "`{words}` is not said: {told}");
    }
    if let Some(words) = &promise.logged {
        let is_said = |line: &Value| line["request-id"] == id && line.to_string().contains(words.as_str());
        host.wait_for_log(&format!("`{words}` of {}", case.name), is_said).await;
    }
    Ok(())
}

/// What the metrics have of one plugin.
struct Account {
    cpu_seconds: f64,
    calls: f64,
    counted: f64,
}

impl Account {
    fn of(host: &Host, case: &Case) -> Self {
        let (plugin, outcome) =
            (format!(r#"plugin="{}""#, case.name), format!(r#"outcome="{}""#, case.promise.counted));
        let mut account = Self { cpu_seconds: 0.0, calls: 0.0, counted: 0.0 };
        for line in host.metrics().lines().filter(|line| line.contains(&plugin)) {
            let value = line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or(0.0);
            if line.starts_with("jackfield_call_cpu_seconds_sum{") {
                account.cpu_seconds = value;
            } else if line.starts_with("jackfield_calls_total{") {
                account.calls += value;
                if line.contains(&outcome) {
                    account.counted = value;
                }
            }
        }
        account
    }
}

/// Everything that was logged of a guest's plugin.
fn lines_of(host: &Host, case: &Case) -> String {
    let lines = host.log().into_iter().filter(|line| line["plugin"] == *case.name);
    lines.map(|line| format!("{line}\n")).collect()
}

/// Permits, slots, requests: each comes back.
async fn until_nothing_is_held(host: &Host) {
    let gauges = ["calls_in_flight", "calls_waiting", "requests_in_flight", "tenant_requests_in_flight"];
    let is_held = |line: &&str| {
        gauges.iter().any(|gauge| line.strip_prefix("jackfield_").is_some_and(|line| line.starts_with(gauge)))
            && !line.ends_with(" 0")
    };
    host.wait_until("nothing is held", async || host.metrics().lines().find(is_held).is_none()).await;
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a process can read of itself");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("it is a number");
    kib << 10
}
