//! A row of the page, and the sections that rows stand in.

use std::fmt;
use std::time::Duration;

use crate::config::{written_size, written_time};

/// One limit or bound.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name in the site file, or what a reader would look for.
    pub name: &'static str,
    /// What it counts.
    pub of: &'static str,
    /// How much of that there may be: of a limit, unless the site file says otherwise.
    pub most: Amount,
    /// What becomes of whoever wants more.
    pub over: &'static str,
    /// Status and problem type that the caller gets then; empty if that is for the plugin to decide.
    pub answer: &'static str,
    /// The file below `host/src` in which it is held.
    pub held_in: &'static str,
    /// Tests that break it: `module::name` of the suite, or `room::name` of one beside the code.
    pub broken_by: &'static [&'static str],
}

/// How much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    /// Bytes.
    Bytes(u64),
    /// Time.
    Time(Duration),
    /// So many.
    Count(u64),
    /// What a number alone does not say.
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
    /// What they have in common.
    pub title: &'static str,
    /// What holds for all of them.
    pub about: &'static str,
    /// What the column of amounts is called.
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
