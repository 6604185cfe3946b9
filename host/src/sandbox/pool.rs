//! The layout of the pool: the number of its slots, and their size.
//!
//! Slots are address space, reserved once at start: pure arithmetic, so that settings which do not fit the machine
//! are refused with figures, and do not fail inside an `mmap`. The address space that there is, is `space.rs`'s.
//!
//! A component may have 4 memories, so `slots × 4 × (reservation + guard)` must fit 2⁴⁵ bytes, a quarter of the
//! addresses of a process, or three quarters of what `RLIMIT_AS` leaves. 1000 slots with full reservations take
//! 4000 × 4.03 GiB, about 15.7 TiB.

use super::artifact::Size;
use super::space::AddressSpace;

/// The bytes that wasmtime reserves for a 32-bit memory if it can, so that bounds checks need no instruction.
const FULL_RESERVATION_BYTES: u64 = 4 << 30;

/// The unmapped bytes after each memory: wasmtime's default, enough for every offset that its code folds into an
/// access without a check; and, if that left no room for the memories, one page of WebAssembly.
const GUARDS_BYTES: [u64; 2] = [32 << 20, PAGE_BYTES];

const MEBIBYTE: u64 = 1 << 20;

/// The unit by which memories grow.
const PAGE_BYTES: u64 = 64 << 10;

/// The address space of a slot beside its memories: a stack of 2 MiB with its guard page, and tables, whose elements
/// are two pointers at most.
const BESIDE_MEMORIES_BYTES: u64 = 9 << 20;

/// The slots beside those of calls and of waiting instances: one, in which a component is tried out before it is
/// published.
const TRIAL_SLOTS: u32 = 1;

/// The most linear memories of one component, and as many tables. Components of one core module have one of each;
/// those that a linker composed have a few.
pub const MEMORIES_PER_COMPONENT: u32 = 4;

/// The most tables of one component.
pub const TABLES_PER_COMPONENT: u32 = MEMORIES_PER_COMPONENT;

/// The most core instances of one component: an interpreter that links its libraries as modules has dozens.
pub const CORE_INSTANCES_PER_COMPONENT: u32 = 64;

/// The most linear memory of all waiting instances together.
pub(super) const IDLE_MEMORY_BYTES: u64 = 1 << 30;

/// The written bytes of one memory that a freed slot keeps for the next instance, so that small guests cost no page
/// faults. Of a large memory the kernel names pages that were never touched, too: each of them that is kept costs a fault
/// and a copy.
pub(super) const KEPT_MEMORY_BYTES: u64 = 512 << 10;

/// The largest memory whose pages a new instance reads (`rewrite/pages.rs`).
pub(super) const SMALL_MEMORY_BYTES: u64 = 2 << 20;

/// The largest memory of an instance that is put back to its start: a scan of 64 MiB takes some 0.1 ms.
pub const RESTORED_MEMORY_BYTES: u64 = 64 << 20;

/// The settings of the pool, which the operator decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSettings {
    /// The instances that can live at once: `[host] concurrency`.
    pub slots: u32,
    /// The reused instances that may wait for their next call, beside those in calls, and as many that were put back to
    /// their start. The pool has as many of them as fit.
    pub idle: u32,
    /// The most linear memory of any plugin: the ceiling of `memory`.
    pub memory_bytes: u64,
}

/// The reason why the settings do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The settings take more address space than the process may have.
    #[error(
        "{slots} slots (`concurrency` of [host], and some beside it) of {} (`memory` of [host.limits]) need {} of \
         address space at the least; for them there are {space}. {}",
        Size(*memory_bytes),
        Size(*least_bytes),
        would_fit(*most_slots, *most_memory_bytes)
    )]
    AddressSpace {
        /// The number of slots that was asked for.
        slots: u32,
        /// The memory that was asked for, in whole pages.
        memory_bytes: u64,
        /// The least address space that the settings take.
        least_bytes: u64,
        /// The address space that there is.
        space: AddressSpace,
        /// The number of slots that would fit.
        most_slots: u64,
        /// The largest memory that would fit.
        most_memory_bytes: u64,
    },
}

fn would_fit(most_slots: u64, most_memory_bytes: u64) -> String {
    let slots = (most_slots > 0).then(|| format!("so many slots of such a memory fit: {most_slots}"));
    let memory = (most_memory_bytes > 0)
        .then(|| format!("such a memory fits with so many slots: {}", Size(most_memory_bytes)));
    let fits: Vec<_> = [slots, memory].into_iter().flatten().collect();
    if fits.is_empty() {
        "Not even one slot fits".into()
    } else {
        format!("Lower either; {}", fits.join("; "))
    }
}

/// The pool's layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PoolLayout {
    /// The number of all slots.
    pub(super) slots: u32,
    /// The number of slots for waiting instances.
    pub(super) idle: u32,
    pub(super) memories: u32,
    pub(super) reservation_bytes: u64,
    pub(super) guard_bytes: u64,
    pub(super) max_memory_bytes: usize,
}

impl PoolSettings {
    /// Lays out the pool in this space. A memory has its full reservation if those of all calls fit; else it has an
    /// equal share of the space, which costs guests explicit bounds checks, but never less than the memory may grow
    /// to. Waiting instances get the space that is left, and take no call's slot or reservation.
    pub(super) fn layout(self, space: AddressSpace) -> Result<PoolLayout, PoolError> {
        let calls = self.slots.max(1).saturating_add(TRIAL_SLOTS);
        let memory_bytes = round_up(self.memory_bytes);
        let fits = |each_bytes: u64, guard_bytes: u64| {
            u64::from(calls) <= slots_of(space, each_bytes.saturating_add(guard_bytes), guard_bytes)
        };
        let guard_bytes = GUARDS_BYTES.into_iter().find(|guard_bytes| fits(memory_bytes, *guard_bytes));
        let guard_bytes = guard_bytes.ok_or_else(|| self.too_much(calls, memory_bytes, space))?;
        let full_bytes = FULL_RESERVATION_BYTES.max(memory_bytes);
        let least_bytes = if fits(full_bytes, guard_bytes) { full_bytes } else { memory_bytes };
        let most = slots_of(space, least_bytes.saturating_add(guard_bytes), guard_bytes);
        let room = u32::try_from(most.saturating_sub(u64::from(calls))).unwrap_or(u32::MAX);
        let idle = self.idle.min(room);
        let slots = calls.saturating_add(idle);
        let share_bytes = memory_of(space, slots, guard_bytes);
        Ok(PoolLayout {
            slots,
            idle,
            memories: slots.saturating_mul(MEMORIES_PER_COMPONENT),
            reservation_bytes: FULL_RESERVATION_BYTES.min(share_bytes).max(memory_bytes),
            guard_bytes,
            max_memory_bytes: usize::try_from(self.memory_bytes).unwrap_or(usize::MAX),
        })
    }

    fn too_much(self, calls: u32, memory_bytes: u64, space: AddressSpace) -> PoolError {
        let each_bytes = memory_bytes.saturating_add(PAGE_BYTES);
        PoolError::AddressSpace {
            slots: self.slots,
            memory_bytes,
            least_bytes: whole_gibibytes(slot_bytes(each_bytes).saturating_mul(calls.into())),
            space,
            most_slots: slots_of(space, each_bytes, PAGE_BYTES).saturating_sub(TRIAL_SLOTS.into()),
            most_memory_bytes: memory_of(space, calls, PAGE_BYTES) & !(MEBIBYTE - 1),
        }
    }
}

fn round_up(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(PAGE_BYTES).unwrap_or(u64::MAX)
}

/// The next whole gibibyte, which is easily read.
fn whole_gibibytes(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(1 << 30).unwrap_or(u64::MAX)
}

/// The size of a slot whose memories take `memory_bytes` each.
fn slot_bytes(memory_bytes: u64) -> u64 {
    memory_bytes.saturating_mul(MEMORIES_PER_COMPONENT.into()).saturating_add(BESIDE_MEMORIES_BYTES)
}

/// The number of slots that fit if their memories take `memory_bytes` each, guard included. Before the first memory
/// there is a guard, too.
fn slots_of(space: AddressSpace, memory_bytes: u64, guard_bytes: u64) -> u64 {
    space.bytes.saturating_sub(guard_bytes).checked_div(slot_bytes(memory_bytes)).unwrap_or(0)
}

/// The largest memory of that many slots, beside the guards, in whole pages.
fn memory_of(space: AddressSpace, slots: u32, guard_bytes: u64) -> u64 {
    let slot_bytes = space.bytes.saturating_sub(guard_bytes).checked_div(slots.into()).unwrap_or(0);
    let memories_bytes = slot_bytes.saturating_sub(BESIDE_MEMORIES_BYTES);
    let each_bytes = memories_bytes.checked_div(MEMORIES_PER_COMPONENT.into()).unwrap_or(0);
    each_bytes.saturating_sub(guard_bytes) & !(PAGE_BYTES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = MEBIBYTE;

    fn layout(slots: u32, idle: u32, memory_bytes: u64, space_bytes: u64) -> Result<PoolLayout, PoolError> {
        PoolSettings { slots, idle, memory_bytes }.layout(AddressSpace::of_bytes(space_bytes))
    }

    fn whole(slots: u32, idle: u32, memory_bytes: u64) -> Result<PoolLayout, PoolError> {
        layout(slots, idle, memory_bytes, AddressSpace::WHOLE.bytes)
    }

    #[test]
    fn the_default_pool_reserves_whole_memories() {
        let layout = whole(1000, 250, 1024 * MIB).unwrap();
        assert_eq!((layout.reservation_bytes, layout.guard_bytes), (FULL_RESERVATION_BYTES, 32 * MIB));
        assert_eq!((layout.slots, layout.idle, layout.memories), (1251, 250, 5004));
    }

    #[test]
    fn a_pool_that_cannot_fit_is_refused_with_the_number_that_would() {
        let PoolError::AddressSpace { most_slots, .. } = whole(20_000, 5000, 4096 * MIB).unwrap_err();
        let fits = whole(u32::try_from(most_slots).unwrap(), 5000, 4096 * MIB);
        assert_eq!(fits.unwrap().idle, 0);
    }

    #[test]
    fn where_there_is_little_space_memories_reserve_what_they_may_grow_to_and_have_small_guards() {
        let gib = 1024 * MIB;
        let few = layout(6, 1, 64 * MIB, 8 * gib).unwrap();
        assert_eq!((few.idle, few.guard_bytes), (1, 32 * MIB));
        assert!(few.reservation_bytes >= 64 * MIB && few.reservation_bytes < 256 * MIB, "{few:?}");
        let fewer = layout(20, 5, 64 * MIB, 6 * gib).unwrap();
        assert_eq!((fewer.guard_bytes, fewer.reservation_bytes / MIB), (PAGE_BYTES, 64));
    }

    #[test]
    fn what_does_not_fit_names_both_keys_and_what_would() {
        let said = layout(1063, 250, 4096 * MIB, 8 << 30).unwrap_err().to_string();
        for part in ["1063 slots", "`concurrency` of [host]", "4GiB (`memory` of [host.limits])", "8GiB"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(said.ends_with("Not even one slot fits"), "{said}");
        let said = layout(100, 25, 64 * MIB, 16 << 30).unwrap_err().to_string();
        assert!(
            said.ends_with(
                "Lower either; so many slots of such a memory fit: 60; such a memory fits with so many slots: 38MiB"
            ),
            "{said}"
        );
    }

    fn total_bytes(layout: &PoolLayout) -> u64 {
        let each_bytes = layout.reservation_bytes + layout.guard_bytes;
        slot_bytes(each_bytes) * u64::from(layout.slots) + layout.guard_bytes
    }

    proptest! {
        #[test]
        fn every_layout_fits_the_address_space(
            slots in 1u32..=20_000,
            idle in 0u32..=20_000,
            mib in 1u64..=4096,
            bits in 30u32..=45,
        ) {
            let space_bytes = 1 << bits;
            let (with_idle, alone) =
                (layout(slots, idle, mib * MIB, space_bytes), layout(slots, 0, mib * MIB, space_bytes));
            prop_assert_eq!(alone.is_ok(), with_idle.is_ok());
            if let (Ok(layout), Ok(alone)) = (with_idle, alone) {
                prop_assert!(total_bytes(&layout) <= space_bytes, "{layout:?}");
                prop_assert!(layout.reservation_bytes >= mib * MIB);
                prop_assert!(layout.slots == slots + TRIAL_SLOTS + layout.idle && layout.idle <= idle);
                let is_full = |layout: PoolLayout| layout.reservation_bytes >= FULL_RESERVATION_BYTES;
                prop_assert!(is_full(layout) || !is_full(alone));
                prop_assert!(layout.guard_bytes == alone.guard_bytes);
            }
        }

        #[test]
        fn what_is_said_to_fit_does(slots in 1u32..=20_000, mib in 1u64..=4096, bits in 30u32..=45) {
            let space_bytes = 1 << bits;
            if let Err(PoolError::AddressSpace { most_slots, most_memory_bytes, .. }) =
                layout(slots, 0, mib * MIB, space_bytes)
            {
                let fewer = u32::try_from(most_slots).unwrap();
                prop_assert!(fewer < slots && (fewer == 0 || layout(fewer, 0, mib * MIB, space_bytes).is_ok()));
                prop_assert!(most_memory_bytes < mib * MIB);
                prop_assert!(most_memory_bytes == 0 || layout(slots, 0, most_memory_bytes, space_bytes).is_ok());
            }
        }
    }
}
