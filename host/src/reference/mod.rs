//! `docs/limits.md`, made of what holds: every limit and every fixed bound, with the value that the code has.
//!
//! Owns how the page looks, and the words about bounds and quotas; a plugin's limits have theirs in their own table. A value
//! is never written here: it is read from the defaults and constants by which calls are held. `limits` has those that
//! somebody may change, `bounds` the others. A row without a test that breaks it is found by the suite.

mod bounds;
mod limits;
mod row;

pub use row::{Amount, Row, Section};

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
