//! What is printed of the counts, and whether they grew.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, bail};

use super::dump::Counts;
use super::history::Entry;

/// The growth of instructions that is taken for noise, in percent.
const TOLERANCE_PERCENT: f64 = 2.0;

/// The growth of allocations that is taken for noise: the requests of a round have a few more than as many times those of
/// one, and half of one is none.
const TOLERANCE_ALLOCATIONS: f64 = 0.5;

/// All counts beside those of before, as Markdown.
pub(super) fn table(counts: &[(&str, Counts)], before: &[Entry]) -> String {
    let mut table = "| a request of | instructions | before | change | allocations | before |\n\
        |---|---|---|---|---|---|\n"
        .to_owned();
    for (row, now) in counts {
        let last = before.iter().find(|entry| entry.row == *row).map(|entry| entry.counts);
        let dash = || "-".to_owned();
        let (instructions, change, allocations) = last.map_or_else(
            || (dash(), dash(), dash()),
            |last| {
                let change = format!("{:+.1} %", growth_percent(now, &last));
                (format!("{:.0}", last.instructions), change, format!("{:.1}", last.allocations))
            },
        );
        let Counts { instructions: now_instructions, allocations: now_allocations } = now;
        // Writing to a string does not fail.
        let _written = writeln!(
            table,
            "| {row} | {now_instructions:.0} | {instructions} | {change} | {now_allocations:.1} | {allocations} |"
        );
    }
    if let Some(Entry { date, commit, builder, .. }) = before.first() {
        let _written = write!(table, "\nbefore: {commit} of {date}, {builder}");
    }
    table
}

/// # Errors
/// If a row has more than before, beyond the tolerance.
pub(super) fn ensure_not_grown(counts: &[(&str, Counts)], before: &[Entry], data: &Path) -> Result<()> {
    let mut grown = Vec::new();
    for (row, now) in counts {
        let Some(last) = before.iter().find(|entry| entry.row == *row).map(|entry| entry.counts) else {
            continue;
        };
        let percent = growth_percent(now, &last);
        if percent > TOLERANCE_PERCENT {
            grown.push(format!("{row}: {percent:.1} % more instructions"));
        }
        let allocations = now.allocations - last.allocations;
        if allocations > TOLERANCE_ALLOCATIONS {
            grown.push(format!("{row}: {allocations:.1} more allocations"));
        }
    }
    if grown.is_empty() {
        return Ok(());
    }
    bail!(
        "a request costs more than before:\n  {}\n  up to {TOLERANCE_PERCENT} % and {TOLERANCE_ALLOCATIONS} allocations are \
         noise\n  `callgrind_annotate` shows the functions in {}\n  if it is worth that, `cargo xtask counts --save` makes \
         these the counts to compare with",
        grown.join("\n  "),
        data.join("*.callgrind").display()
    );
}

fn growth_percent(now: &Counts, before: &Counts) -> f64 {
    (now.instructions / before.instructions - 1.0) * 100.0
}
