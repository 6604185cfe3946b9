//! What callgrind counted: the format is in valgrind's manual, "Callgrind Format Specification".

use anyhow::{Context, Result, ensure};

/// The functions by which Rust's code asks for memory, the last part of their names. Those of mimalloc stand behind them.
const ALLOCATORS: [&str; 3] = ["__rust_alloc", "__rust_alloc_zeroed", "__rust_realloc"];

/// Instructions in user mode, and calls of the allocator that ask for memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Counts {
    pub(super) instructions: f64,
    pub(super) allocations: f64,
}

impl Counts {
    /// The counts in the text of a dump.
    pub(super) fn read(dump: &str) -> Result<Self> {
        let mut instructions = None;
        let mut allocations = 0;
        let (mut allocators, mut calls_allocator) = (Vec::new(), false);
        for line in dump.lines() {
            if let Some(total) = line.strip_prefix("totals:") {
                instructions = Some(number(total)?);
            } else if let Some(function) = line.strip_prefix("fn=") {
                // A name stands where its number is used first, as a caller or as one who is called.
                is_allocator(function, &mut allocators);
            } else if let Some(function) = line.strip_prefix("cfn=") {
                calls_allocator = is_allocator(function, &mut allocators);
            } else if let Some(calls) = line.strip_prefix("calls=")
                && calls_allocator
            {
                allocations += number(calls)?;
            }
        }
        let instructions = instructions.context("no line `totals:` in callgrind's data")?;
        ensure!(allocations > 0, "no call of {} in callgrind's data", ALLOCATORS.join(", "));
        Ok(Self { instructions: instructions as f64, allocations: allocations as f64 })
    }

    /// Of one request of these.
    pub(super) fn each(self, requests: u32) -> Self {
        let requests = f64::from(requests);
        Self { instructions: self.instructions / requests, allocations: self.allocations / requests }
    }

    /// The least of both.
    pub(super) fn least(self, other: Self) -> Self {
        Self {
            instructions: self.instructions.min(other.instructions),
            allocations: self.allocations.min(other.allocations),
        }
    }
}

/// Whether a function is one of the [`ALLOCATORS`]: `(12) __rustc::__rust_alloc` where it stands first, then `(12)`.
fn is_allocator<'a>(function: &'a str, allocators: &mut Vec<&'a str>) -> bool {
    let (number, name) = function.split_once(' ').unwrap_or((function, ""));
    if ALLOCATORS.contains(&name.rsplit("::").next().unwrap_or_default()) {
        allocators.push(number);
    }
    allocators.contains(&number)
}

/// The first of the numbers.
fn number(numbers: &str) -> Result<u64> {
    let first = numbers.split_ascii_whitespace().next().unwrap_or_default();
    first.parse().with_context(|| format!("`{numbers}` in callgrind's data does not begin with a number"))
}

#[cfg(test)]
mod tests {
    use super::Counts;

    const DUMP: &str = "# callgrind format\nevents: Ir\nsummary: 0\n\nfn=(1) serve\n0 10\n\
        cfn=(2) __rustc::__rust_alloc\ncalls=3 658 \n0 226\ncfn=(3) __rustc::__rust_dealloc\ncalls=40 1 \n0 9\n\n\
        fn=(2)\n0 12\ncfn=(5) mi_malloc_aligned\ncalls=3 0 \n0 226\n\n\
        fn=(7) __rustc::__rust_realloc\n0 1\n\nfn=(3)\n0 4\n\
        cfn=(7)\ncalls=5 0 \n0 1\ncfn=(2)\ncalls=20 0 \n0 1\n\ntotals: 1200\n";

    #[test]
    fn calls_of_the_allocator_are_counted_by_whoever_made_them() {
        assert_eq!(Counts::read(DUMP).unwrap(), Counts { instructions: 1200.0, allocations: 28.0 });
    }

    #[test]
    fn a_dump_without_what_is_counted_is_refused() {
        let cut = DUMP.split_once("totals").unwrap().0;
        for (dump, missing) in
            [(cut, "totals:"), ("totals: 12\n", "__rust_alloc"), ("totals: many\n", "does not begin")]
        {
            let error = format!("{:#}", Counts::read(dump).unwrap_err());
            assert!(error.contains(missing), "{error}");
        }
    }

    #[test]
    fn the_least_is_of_each_count_alone() {
        let counts = |instructions, allocations| Counts { instructions, allocations };
        assert_eq!(counts(1000.0, 40.0).each(10).least(counts(120.0, 3.0)), counts(100.0, 3.0));
    }
}
