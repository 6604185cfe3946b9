//! The table, printed with a run's figures, and committed without them.

use std::fmt::Write as _;
use std::time::Duration;

use super::case::Case;
use super::{cut, load};

/// What came of one guest.
pub(super) struct Row {
    pub(super) case: Case,
    pub(super) cpu_ms: f64,
    pub(super) wall: Duration,
    /// How its promise was broken, if it was.
    pub(super) broken: Option<String>,
}

/// A run's rows for a person at a terminal.
pub(super) fn with_figures(rows: &[Row]) -> String {
    let mut text =
        format!("{:<40} {:<44} {:<6} {:>8} {:>8}\n", "guest", "promised", "got", "CPU ms", "wall ms");
    for Row { case, cpu_ms, wall, broken } in rows {
        let (promised, wall_ms) = (case.promised(), wall.as_secs_f64() * 1000.0);
        let got = if broken.is_none() { "that" } else { "BROKEN" };
        let _ = writeln!(text, "{:<40} {promised:<44} {got:<6} {cpu_ms:>8.2} {wall_ms:>8.1}", case.name);
    }
    text
}

/// `docs/hostile.md`.
pub(super) fn document(cases: &[Case]) -> String {
    let mut text = INTRODUCTION.to_owned();
    for family in hostile_guests::FAMILIES {
        let _ = write!(text, "\n## {family}\n\n| guest | does | promised |\n|---|---|---|\n");
        let mut of_family = cases.iter().filter(|case| case.family == family).peekable();
        while let Some(case) = of_family.next() {
            // Both forms of one text stand in one row.
            let name = match case.name.strip_suffix("-lean") {
                Some(name)
                    if of_family.peek().is_some_and(|next| next.name.strip_suffix("-http") == Some(name)) =>
                {
                    of_family.next();
                    format!("{name}` (both forms)")
                }
                _ => format!("{}`", case.name),
            };
            let name = name.strip_prefix(&format!("{family}-")).unwrap_or(&name);
            let _ = writeln!(text, "| `{name} | {} | {} |", case.does, case.promised());
        }
    }
    text + &cut::section() + &load::section()
}

const INTRODUCTION: &str = "\
# Hostile guests

Each does one kind of harm. The suite runs each beside a quiet tenant that is called every 20 ms, and looks at: the
answer's status and problem; how the metrics count the call; that the log says why, and blames the plugin; that the call
used no more CPU than its limit and 10 ms. After all of them no permit, slot or request is held, the process has its
memory back but for 128 MiB, and not one call of the quiet tenant has failed.

`cargo xtask test -- hostile:: -- --nocapture` prints the table with what each used. This page is made of the same files
by `SNAPSHOTS=overwrite cargo test --workspace --test suite -- hostile::the_committed_table`: `tests/guests/hostile` has
one a guest. *Both forms*: the same WebAssembly as a `jackfield:plugin/handler` and as a `wasi:http/incoming-handler`.
Unless its file says otherwise a guest has `cpu = \"500ms\"` (`\"10ms\"` if it is to exceed that), `wall = \"10s\"`, `stream = \"300ms\"`, `memory = \"16MiB\"`,
`request-body = \"64KiB\"`, `response-body = \"1MiB\"`.
";
