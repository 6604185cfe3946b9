//! `docs/limits.md`, made of what holds: every limit and every fixed bound, with the value that the code has.
//!
//! Owns how the page looks, and the words about bounds and quotas; a plugin's limits have theirs in their own table. A value
//! is never written here: it is read from the defaults and constants by which calls are held. `limits` has those that
//! somebody may change, `bounds` the others. A row without a test that breaks it is found by the suite.

mod bounds;
mod limits;

use std::fmt;
use std::time::Duration;

use crate::config::{written_size, written_time};

/// One limit or bound.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name in the site file, or what a reader would look for.
    pub name: &'static str,
    /// The things that it counts.
    pub of: &'static str,
    /// The amount of that that there may be: of a limit, unless the site file says otherwise.
    pub most: Amount,
    /// The consequence for whoever wants more.
    pub over: &'static str,
    /// Status and problem type that the caller gets then; empty if that is for the plugin to decide.
    pub answer: &'static str,
    /// The file below `host/src` in which it is held.
    pub held_in: &'static str,
    /// Tests that break it: `module::name` of the suite, or `room::name` of one beside the code.
    pub broken_by: &'static [&'static str],
}

/// An amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    /// Bytes.
    Bytes(u64),
    /// Time.
    Time(Duration),
    /// A number of things.
    Count(u64),
    /// An amount that a number alone does not say.
    Text(String),
}

impl Amount {
    fn count(count: impl TryInto<u64>) -> Self {
        Self::Count(count.try_into().unwrap_or(u64::MAX))
    }

    fn bytes(bytes: impl TryInto<u64>) -> Self {
        Self::Bytes(bytes.try_into().unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => f.write_str(&written_size(*bytes)),
            Self::Time(time) => f.write_str(&written_time(*time)),
            Self::Count(count) => count.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Rows that belong together.
#[derive(Debug, Clone)]
pub struct Section {
    /// The heading: the rows' common subject.
    pub title: &'static str,
    /// The sentences that hold for all of them.
    pub about: &'static str,
    /// The heading of the column of amounts.
    pub most: &'static str,
    /// The rows.
    pub rows: Vec<Row>,
}

/// Everything that the page has, in its order.
pub fn sections() -> Vec<Section> {
    [limits::sections(), bounds::sections()].concat()
}

const BEGINNING: &str = "\
# Limits

What a plugin, a tenant and a host are held to, and by which test of this repository each is broken. This page is made
of the code (`host/src/reference/`): names and values are those that hold. `SNAPSHOTS=overwrite cargo test --workspace
--test suite -- reference::` writes it anew.

Whatever a plugin is refused or ended for, its caller is told no more than the answer named here; the log has the
limit, its value and the reason under the request's id. The metric `jackfield_calls_total` has the limit's name as its
`outcome` where a call was ended for it.

Sizes, durations and rates are as the site file writes them.
";

/// The text of `docs/limits.md`.
pub fn page() -> String {
    sections().iter().fold(BEGINNING.to_owned(), |page, section| page + &section.to_string())
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, about, most, rows } = self;
        write!(f, "\n## {title}\n\n{about}\n\n")?;
        writeln!(f, "| name | of | {most} | over it | the caller gets | held in | broken by |")?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        rows.iter().try_for_each(|row| write!(f, "{row}"))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, of, most, over, answer, held_in, broken_by } = self;
        let tests: Vec<_> = broken_by.iter().map(|test| format!("`{test}`")).collect();
        writeln!(f, "| {name} | {of} | {most} | {over} | {answer} | `{held_in}` | {} |", tests.join(", "))
    }
}
