//! A row of the table of limits, and the units that limits are counted in.

use std::time::Duration;

/// A limit: its name, its bounds, and the words about it.
#[derive(Debug, Clone)]
pub struct Row {
    /// The name in the site file, in metrics and in problem types.
    pub name: &'static str,
    /// The name as a page of Markdown writes it.
    pub name_as_code: &'static str,
    /// The unit that the limit is counted in.
    pub unit: Unit,
    /// The least value, in the smallest part of the unit.
    pub least: u64,
    /// The greatest value, in the smallest part of the unit.
    pub most: u64,
    /// The key's explanation to an author of a site file.
    pub key: &'static str,
    /// The subject of the limit, as `docs/limits.md` has it: so many bytes, or so much time, of this.
    pub of: &'static str,
    /// The consequence for a plugin that wants more.
    pub over: &'static str,
    /// The status and problem type that the caller gets over the limit; empty if the plugin decides on the answer.
    pub answer: &'static str,
    /// The file below `host/src` in which the limit is held.
    pub held_in: &'static str,
    /// The tests that break the limit: `module::name` of the suite, or `room::name` of a test beside the code.
    pub broken_by: &'static [&'static str],
}

/// The unit of a limit. A document has the limit as a number of the unit's smallest parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Time, in nanoseconds.
    Time,
    /// Bytes.
    Bytes,
    /// Things that are counted one by one.
    Count,
}

/// The type of a limit's value.
pub trait Quantity: Copy {
    /// The unit of values of this type.
    const UNIT: Unit;

    /// The value of this many smallest parts of the unit, or the nearest value that there is.
    fn from_parts(parts: u64) -> Self;

    /// The number of the unit's smallest parts, or the nearest that there is.
    fn parts(self) -> u64;
}

impl Quantity for Duration {
    const UNIT: Unit = Unit::Time;

    fn from_parts(parts: u64) -> Self {
        Self::from_nanos(parts)
    }

    fn parts(self) -> u64 {
        u64::try_from(self.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Quantity for u64 {
    const UNIT: Unit = Unit::Bytes;

    fn from_parts(parts: u64) -> Self {
        parts
    }

    fn parts(self) -> u64 {
        self
    }
}

impl Quantity for usize {
    const UNIT: Unit = Unit::Count;

    fn from_parts(parts: u64) -> Self {
        Self::try_from(parts).unwrap_or(Self::MAX)
    }

    fn parts(self) -> u64 {
        u64::try_from(self).unwrap_or(u64::MAX)
    }
}

impl Quantity for u32 {
    const UNIT: Unit = Unit::Count;

    fn from_parts(parts: u64) -> Self {
        Self::try_from(parts).unwrap_or(Self::MAX)
    }

    fn parts(self) -> u64 {
        self.into()
    }
}
