//! The limits of one plugin: one table, one row a limit.
//!
//! Owns each limit's name, unit, default, bounds and words. All code that knows the limits by name follows from
//! `table.rs`: [`Limits`] with its fields, the keys of the site file and their schema, the [`Ceilings`], the form in
//! a document, the rows of `docs/limits.md`, and the outcomes of calls in metrics. It does not hold anybody to a
//! limit: that is for the code that a row's `held_in` names.

mod ceilings;
mod derive;
mod form;
mod intake;
mod reuse;
mod row;
mod table;

pub use ceilings::Ceilings;
pub use intake::IntakeLimits;
pub use reuse::Reuse;
pub use row::{Quantity, Row, Unit};
pub use table::{Limit, Limits, MAX_TABLE_ELEMENTS, PerLimit};
