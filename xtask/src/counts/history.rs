//! The counts of before: `docs/counts.csv`, a line for each row and each time that they were saved.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::dump::Counts;
use crate::cargo::{cannot_start, workspace_root};

const HEAD: &str = "date,commit,builder,profile,row,instructions,allocations";

/// The build that was counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// What the tests run.
    Dev,
    /// What ships.
    Release,
}

impl Profile {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }
}

/// What makes the code that is counted: another one makes other counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Builder(String);

impl Builder {
    /// This machine's, with the compiler that says this of its version.
    pub(super) fn this(rustc: &str) -> Result<Self> {
        let library = said_by(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
        // A comma would be two fields of the file.
        let all = format!("{} {} {}", rustc.trim(), processor(), library.trim());
        Ok(Self(all.replace(',', ";")))
    }
}

/// The processor's maker, family and model: the C library chooses its copy loops by them.
fn processor() -> String {
    let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |key: &str| {
        let line = told.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key));
        line.and_then(|line| line.split(':').nth(1)).map_or("unknown", str::trim).to_owned()
    };
    [value("vendor_id"), value("cpu family"), value("model")].join("/")
}

impl fmt::Display for Builder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Day of the commit.
    pub(super) date: String,
    /// Followed by `+` if files were changed since.
    pub(super) commit: String,
    pub(super) builder: Builder,
    profile: String,
    pub(super) row: String,
    pub(super) counts: Counts,
}

impl Entry {
    /// The entries of counts that were made just now.
    pub(super) fn now(
        profile: Profile,
        builder: &Builder,
        counts: &[(&'static str, Counts)],
    ) -> Result<Vec<Self>> {
        let git =
            |arguments: &[&str]| said_by(Command::new("git").arg("-C").arg(workspace_root()).args(arguments));
        let head = git(&["log", "-1", "--date=short", "--format=%cd %h"])?;
        let (date, commit) = head.trim().split_once(' ').context("`git log` says no date and commit")?;
        let changed = if git(&["status", "--porcelain"])?.is_empty() { "" } else { "+" };
        let entry = |(row, counts): &(&str, Counts)| Self {
            date: date.to_owned(),
            commit: format!("{commit}{changed}"),
            builder: builder.clone(),
            profile: profile.name().to_owned(),
            row: (*row).to_owned(),
            counts: *counts,
        };
        Ok(counts.iter().map(entry).collect())
    }

    fn read(line: &str) -> Result<Self> {
        let fields: Vec<&str> = line.split(',').collect();
        let [date, commit, builder, profile, row, instructions, allocations] = fields[..] else {
            bail!("it has {} fields instead of those of `{HEAD}`", fields.len());
        };
        Ok(Self {
            date: date.to_owned(),
            commit: commit.to_owned(),
            builder: Builder(builder.to_owned()),
            profile: profile.to_owned(),
            row: row.to_owned(),
            counts: Counts {
                instructions: instructions.parse().context("its instructions are no number")?,
                allocations: allocations.parse().context("its allocations are no number")?,
            },
        })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, commit, builder, profile, row, counts } = self;
        let Counts { instructions, allocations } = counts;
        write!(out, "{date},{commit},{builder},{profile},{row},{instructions:.0},{allocations:.1}")
    }
}

/// All entries, the oldest first.
#[derive(Debug, PartialEq)]
pub(super) struct History(Vec<Entry>);

impl History {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(&text).with_context(|| format!("{} cannot be read", file.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        ensure!(lines.next() == Some(HEAD), "its first line is not `{HEAD}`");
        let entry = |line: &str| Entry::read(line).with_context(|| format!("the line `{line}`"));
        Ok(Self(lines.map(entry).collect::<Result<_>>()?))
    }

    pub(super) fn write(&self, file: &Path) -> Result<()> {
        fs::write(file, self.to_string()).with_context(|| format!("cannot write {}", file.display()))
    }

    pub(super) fn add(&mut self, entries: Vec<Entry>) {
        self.0.extend(entries);
    }

    /// The last entry of each row in this build.
    pub(super) fn last(&self, profile: Profile) -> Vec<Entry> {
        let mut last: Vec<Entry> = Vec::new();
        for entry in self.0.iter().rev().filter(|entry| entry.profile == profile.name()) {
            if last.iter().all(|later| later.row != entry.row) {
                last.push(entry.clone());
            }
        }
        last
    }
}

impl fmt::Display for History {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{HEAD}")?;
        self.0.iter().try_for_each(|entry| writeln!(out, "{entry}"))
    }
}

/// The standard output of a program that succeeds.
fn said_by(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| cannot_start("asking", command))?;
    let failed = || crate::cargo::command_line(command);
    ensure!(
        output.status.success(),
        "`{}` failed: {}",
        failed(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{HEAD, History, Profile};

    fn history(lines: &[&str]) -> String {
        lines.iter().fold(format!("{HEAD}\n"), |text, line| text + line + "\n")
    }

    #[test]
    fn a_history_is_written_as_it_was_read() {
        let text = history(&[
            "2026-11-30,7c9cb4a,rustc 1.97.0 (2d8144b78 2026-07-07) x86_64 glibc 2.36,dev,lean-reused,62487,52.0",
        ]);
        assert_eq!(History::parse(&text).unwrap().to_string(), text);
    }

    #[test]
    fn the_last_entry_of_a_row_is_compared_with() {
        let text = history(&[
            "2026-11-01,a,r,dev,lean,1,1",
            "2026-11-02,b,r,dev,http,2,2",
            "2026-11-02,b,r,dev,lean,3,3",
            "2026-11-03,c,r,release,lean,4,4",
        ]);
        let history = History::parse(&text).unwrap();
        let mut last: Vec<(String, f64)> = history
            .last(Profile::Dev)
            .into_iter()
            .map(|entry| (entry.row, entry.counts.instructions))
            .collect();
        last.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(last, [("http".to_owned(), 2.0), ("lean".to_owned(), 3.0)]);
        assert_eq!(history.last(Profile::Release).len(), 1);
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        for (text, said) in [
            ("date,commit\n".to_owned(), "its first line"),
            (history(&["2026-11-01,a,r,dev,lean,1"]), "6 fields"),
            (history(&["2026-11-01,a,r,dev,lean,many,1"]), "the line `2026-11-01,a,r,dev,lean,many,1`"),
        ] {
            let error = format!("{:#}", History::parse(&text).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }
}
