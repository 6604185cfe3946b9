//! The address space that this process may still reserve.
//!
//! Owns the questions to the system: `RLIMIT_AS`, and the space in use. An address space that is smaller than usual
//! (39 bits on some machines) shows only when a reservation fails: then half is tried (`engine.rs`).

use std::fmt;

use super::artifact::Size;
use super::process_limits::{ADDRESS_SPACE, ProcessLimits};

/// The file where a process of Linux reads the number of its mapped pages.
const OWN_SIZE: &str = "/proc/self/statm";

/// The address space that a pool may reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressSpace {
    pub(super) bytes: u64,
    limited_by: Bound,
}

/// The bound that keeps the space from being larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// The width of an address.
    Width,
    /// `RLIMIT_AS`, in bytes.
    Limit(u64),
    /// The system refused more.
    Tried,
}

impl AddressSpace {
    /// A quarter of the 47 bits that a process has on x86-64, so that stacks, code and everything else fit beside it.
    pub(super) const WHOLE: Self = Self { bytes: 1 << 45, limited_by: Bound::Width };

    #[cfg(test)]
    pub(super) fn of_bytes(bytes: u64) -> Self {
        Self { bytes, limited_by: Bound::Width }
    }

    /// The space that this process may reserve now.
    pub(super) fn of_this_process() -> Self {
        match ProcessLimits::of_this().soft(ADDRESS_SPACE) {
            Some(limit_bytes) => Self::below(limit_bytes, used_bytes()),
            None => Self::WHOLE,
        }
    }

    /// The space below a limit. A quarter of the rest is left for stacks, code and the heap.
    fn below(limit_bytes: u64, used_bytes: u64) -> Self {
        let free_bytes = limit_bytes.saturating_sub(used_bytes);
        let bytes = free_bytes.saturating_sub(free_bytes.wrapping_shr(2));
        if bytes < Self::WHOLE.bytes {
            Self { bytes, limited_by: Bound::Limit(limit_bytes) }
        } else {
            Self::WHOLE
        }
    }

    /// The space to try after this one was refused.
    pub(super) fn half(self) -> Self {
        Self { bytes: self.bytes.wrapping_shr(1), limited_by: Bound::Tried }
    }
}

impl fmt::Display for AddressSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Four digits are enough.
        let fraction = if self.bytes >= 16 << 30 { (1_u64 << 30) - 1 } else { (1 << 20) - 1 };
        let size = Size(self.bytes & !fraction);
        match self.limited_by {
            Bound::Width => write!(f, "{size}"),
            Bound::Limit(limit_bytes) => {
                let limit = Size(limit_bytes & !((1 << 10) - 1));
                write!(f, "{size}, three quarters of what RLIMIT_AS (`ulimit -v`) of {limit} leaves")
            }
            Bound::Tried => write!(f, "{size}, for the system refuses twice as much"),
        }
    }
}

/// The bytes that are mapped already. Zero where the system does not tell.
fn used_bytes() -> u64 {
    let told = std::fs::read_to_string(OWN_SIZE).unwrap_or_default();
    let pages = told.split_whitespace().next().and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    pages.saturating_mul(u64::try_from(rustix::param::page_size()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_what_a_limit_leaves_is_for_the_rest() {
        let gib = 1 << 30;
        let space = AddressSpace::below(17 * gib, gib);
        assert_eq!(space.bytes, 12 * gib);
        assert!(space.to_string().starts_with("12GiB, three quarters of what RLIMIT_AS"), "{space}");
        assert_eq!(AddressSpace::below(gib, 2 * gib).bytes, 0);
        assert_eq!(AddressSpace::below(u64::MAX, gib), AddressSpace::WHOLE);
    }

    #[test]
    fn a_process_knows_what_it_has_mapped() {
        assert!(!cfg!(target_os = "linux") || used_bytes() > 1 << 20);
    }
}
