//! How many slots the pool has, and how large each is.
//!
//! Slots are address space, reserved once at start: pure arithmetic, so that a setting which does not
//! fit the machine is refused with figures instead of failing inside an `mmap`.

/// Address space that memories may reserve: a quarter of the 47 bits a process has on x86-64, so that
/// stacks, code and everything else fit beside it.
const ADDRESS_SPACE_BYTES: u64 = 1 << 45;

/// What wasmtime reserves for a 32-bit memory when it can, so that bounds checks need no instruction.
const FULL_RESERVATION_BYTES: u64 = 4 << 30;

/// Unmapped bytes after each memory: wasmtime's default, enough for every offset that its code folds
/// into an access without a check.
const GUARD_BYTES: u64 = 32 << 20;

/// Linear memories and tables that one component may have. Components of one core module have one of
/// each; those that a linker composed have a few.
pub(super) const MEMORIES_PER_COMPONENT: u32 = 4;

/// Core instances of one component: an interpreter that links its libraries as modules has dozens.
pub(super) const CORE_INSTANCES_PER_COMPONENT: u32 = 64;

/// Elements of one table. The pool commits what a table uses, not this.
pub(super) const TABLE_ELEMENTS: usize = 100_000;

/// What the operator decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSettings {
    /// Instances that can live at once: `[host] concurrency`.
    pub slots: u32,
    /// The most linear memory that any plugin may be given: the ceiling of `memory`.
    pub memory_bytes: u64,
}

/// Why the settings do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// More address space than a process has.
    #[error(
        "{slots} slots ([host] concurrency) of {memory_bytes} bytes ([host.limits] memory) need more \
         address space than a process has; lower either, to at most {most} slots at this memory"
    )]
    AddressSpace {
        /// As asked for.
        slots: u32,
        /// As asked for.
        memory_bytes: u64,
        /// How many slots would fit.
        most: u64,
    },
}

/// The pool as it will be laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PoolLayout {
    pub(super) memories: u32,
    pub(super) reservation_bytes: u64,
    pub(super) guard_bytes: u64,
    pub(super) max_memory_bytes: usize,
}

impl PoolSettings {
    /// Lays out the pool: the full reservation of a memory where all of them fit, else an equal share of
    /// the space, which costs guests explicit bounds checks, but never less than a memory may grow to.
    pub(super) fn layout(self) -> Result<PoolLayout, PoolError> {
        let memories = self.slots.max(1).saturating_mul(MEMORIES_PER_COMPONENT);
        let least_bytes = self.memory_bytes.saturating_add(GUARD_BYTES);
        let share_bytes = ADDRESS_SPACE_BYTES.checked_div(u64::from(memories)).unwrap_or(0);
        if share_bytes < least_bytes {
            let most = ADDRESS_SPACE_BYTES
                .checked_div(least_bytes.saturating_mul(u64::from(MEMORIES_PER_COMPONENT)))
                .unwrap_or(0);
            return Err(PoolError::AddressSpace { slots: self.slots, memory_bytes: self.memory_bytes, most });
        }
        let reservation_bytes = FULL_RESERVATION_BYTES.min(share_bytes.saturating_sub(GUARD_BYTES));
        Ok(PoolLayout {
            memories,
            reservation_bytes: reservation_bytes.max(self.memory_bytes),
            guard_bytes: GUARD_BYTES,
            max_memory_bytes: usize::try_from(self.memory_bytes).unwrap_or(usize::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_default_pool_reserves_whole_memories() {
        let layout = PoolSettings { slots: 1000, memory_bytes: 1024 * MIB }.layout().unwrap();
        assert_eq!(layout.reservation_bytes, FULL_RESERVATION_BYTES);
        assert_eq!(layout.memories, 4000);
    }

    #[test]
    fn a_pool_that_cannot_fit_is_refused_with_the_number_that_would() {
        let error = PoolSettings { slots: 20_000, memory_bytes: 4096 * MIB }.layout().unwrap_err();
        let PoolError::AddressSpace { most, .. } = error.clone();
        let slots = u32::try_from(most).unwrap();
        assert!(PoolSettings { slots, memory_bytes: 4096 * MIB }.layout().is_ok(), "{error}");
    }

    proptest! {
        #[test]
        fn every_layout_fits_the_address_space(slots in 1u32..=20_000, mib in 1u64..=4096) {
            if let Ok(layout) = (PoolSettings { slots, memory_bytes: mib * MIB }).layout() {
                let each = layout.reservation_bytes + layout.guard_bytes;
                prop_assert!(each * u64::from(layout.memories) <= ADDRESS_SPACE_BYTES);
                prop_assert!(layout.reservation_bytes >= mib * MIB);
            }
        }
    }
}
