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

/// Linear memories that one component may have, and as many tables. Components of one core module have one of
/// each; those that a linker composed have a few.
pub const MEMORIES_PER_COMPONENT: u32 = 4;

/// Tables that one component may have.
pub const TABLES_PER_COMPONENT: u32 = MEMORIES_PER_COMPONENT;

/// Core instances of one component: an interpreter that links its libraries as modules has dozens.
pub const CORE_INSTANCES_PER_COMPONENT: u32 = 64;

/// Elements of one table. The pool commits what a table uses, not this.
pub const TABLE_ELEMENTS: usize = 100_000;

/// Linear memory of all instances together that wait for their next call.
pub(super) const IDLE_MEMORY_BYTES: u64 = 1 << 30;

/// What the operator decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSettings {
    /// Instances that can live at once: `[host] concurrency`.
    pub slots: u32,
    /// Instances that may wait for their next call, beside them. As many as fit are had.
    pub idle: u32,
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
    /// Of calls and of instances that wait, together.
    pub(super) slots: u32,
    /// Those of instances that wait.
    pub(super) idle: u32,
    pub(super) memories: u32,
    pub(super) reservation_bytes: u64,
    pub(super) guard_bytes: u64,
    pub(super) max_memory_bytes: usize,
}

impl PoolSettings {
    /// Lays out the pool: the full reservation of a memory where those of all calls fit, else an equal share of
    /// the space, which costs guests explicit bounds checks, but never less than a memory may grow to.
    /// Instances that wait get what is left, and take no call's slot or reservation.
    pub(super) fn layout(self) -> Result<PoolLayout, PoolError> {
        let calls = self.slots.max(1);
        let least_bytes = self.memory_bytes.saturating_add(GUARD_BYTES);
        let full_bytes = FULL_RESERVATION_BYTES.saturating_add(GUARD_BYTES).max(least_bytes);
        let most = slots_of(least_bytes);
        if u64::from(calls) > most {
            return Err(PoolError::AddressSpace { slots: self.slots, memory_bytes: self.memory_bytes, most });
        }
        let is_full = u64::from(calls) <= slots_of(full_bytes);
        let most = slots_of(if is_full { full_bytes } else { least_bytes });
        let room = u32::try_from(most.saturating_sub(u64::from(calls))).unwrap_or(u32::MAX);
        let idle = self.idle.min(room);
        let slots = calls.saturating_add(idle);
        let memories = slots.saturating_mul(MEMORIES_PER_COMPONENT);
        let share_bytes = ADDRESS_SPACE_BYTES.checked_div(u64::from(memories)).unwrap_or(0);
        let reservation_bytes = FULL_RESERVATION_BYTES.min(share_bytes.saturating_sub(GUARD_BYTES));
        Ok(PoolLayout {
            slots,
            idle,
            memories,
            reservation_bytes: reservation_bytes.max(self.memory_bytes),
            guard_bytes: GUARD_BYTES,
            max_memory_bytes: usize::try_from(self.memory_bytes).unwrap_or(usize::MAX),
        })
    }
}

/// How many slots fit whose memories take so much each.
fn slots_of(memory_bytes: u64) -> u64 {
    let slot_bytes = memory_bytes.saturating_mul(u64::from(MEMORIES_PER_COMPONENT));
    ADDRESS_SPACE_BYTES.checked_div(slot_bytes).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_default_pool_reserves_whole_memories() {
        let layout = PoolSettings { slots: 1000, idle: 250, memory_bytes: 1024 * MIB }.layout().unwrap();
        assert_eq!(layout.reservation_bytes, FULL_RESERVATION_BYTES);
        assert_eq!((layout.slots, layout.idle, layout.memories), (1250, 250, 5000));
    }

    #[test]
    fn a_pool_that_cannot_fit_is_refused_with_the_number_that_would() {
        let error =
            PoolSettings { slots: 20_000, idle: 5000, memory_bytes: 4096 * MIB }.layout().unwrap_err();
        let PoolError::AddressSpace { most, .. } = error.clone();
        let slots = u32::try_from(most).unwrap();
        let layout = PoolSettings { slots, idle: 5000, memory_bytes: 4096 * MIB }.layout();
        assert_eq!(layout.unwrap().idle, 0, "{error}");
    }

    proptest! {
        #[test]
        fn every_layout_fits_the_address_space(
            slots in 1u32..=20_000,
            idle in 0u32..=20_000,
            mib in 1u64..=4096,
        ) {
            let settings = PoolSettings { slots, idle, memory_bytes: mib * MIB };
            let alone = PoolSettings { idle: 0, ..settings }.layout();
            prop_assert_eq!(alone.is_ok(), settings.layout().is_ok());
            if let (Ok(layout), Ok(alone)) = (settings.layout(), alone) {
                let each = layout.reservation_bytes + layout.guard_bytes;
                prop_assert!(each * u64::from(layout.memories) <= ADDRESS_SPACE_BYTES);
                prop_assert!(layout.reservation_bytes >= mib * MIB);
                prop_assert!(layout.slots == slots + layout.idle && layout.idle <= idle);
                let is_full = |layout: PoolLayout| layout.reservation_bytes >= FULL_RESERVATION_BYTES;
                prop_assert!(is_full(layout) || !is_full(alone));
            }
        }
    }
}
