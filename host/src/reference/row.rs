//! A row of the page, and the sections of rows.

use std::fmt;
use std::time::Duration;

use crate::config::{written_size, written_time};

/// One limit or bound.
#[derive(Debug, Clone)]
pub struct Row {
    /// The row's name in the site file, or a term that a reader would look for.
    pub name: &'static str,
    /// The thing that is counted.
    pub of: &'static str,
    /// The greatest amount: for a limit, its default.
    pub most: Amount,
    /// The consequence of exceeding the amount.
    pub over: &'static str,
    /// The status and problem type that the caller then gets; empty if the plugin decides.
    pub answer: &'static str,
    /// The file below `host/src` that enforces the row.
    pub held_in: &'static str,
    /// The tests that break the limit: `module::name` of the suite, or `room::name` of a test beside the code.
    pub broken_by: &'static [&'static str],
}

/// The amount of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    /// Bytes.
    Bytes(u64),
    /// Time.
    Time(Duration),
    /// A number.
    Count(u64),
    /// Text, where a number alone is not enough.
    Text(String),
}

impl Amount {
    pub(super) fn count(count: impl TryInto<u64>) -> Self {
        Self::Count(count.try_into().unwrap_or(u64::MAX))
    }

    pub(super) fn bytes(bytes: impl TryInto<u64>) -> Self {
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
    /// The common subject of the rows.
    pub title: &'static str,
    /// A text that holds for all rows.
    pub about: &'static str,
    /// The heading of the column of amounts.
    pub most: &'static str,
    /// The rows.
    pub rows: Vec<Row>,
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
