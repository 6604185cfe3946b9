//! The reference of limits, `docs/limits.md`: every limit and every fixed bound, with the value in the code.
//!
//! Owns the words about them, and the form of the page. A value is never written here: it is read from the defaults
//! and constants that the host enforces. `limits` has the limits that can be set, `bounds` the fixed ones. A limit
//! without a row does not compile; the suite finds a row without a test that breaks it.

mod bounds;
mod limits;
mod row;

pub use row::{Amount, Row, Section};

/// The sections of the page, in their order.
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
