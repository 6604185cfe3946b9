//! The linear memories and tables of one instance, counted against the limits `memory` and `tables`.

use rustix::io::Errno;

use super::pool::RESTORED_MEMORY_BYTES;
use super::refusal::of_system;

/// The factors and the size by which an instance has outgrown its use: its memory is `GROWTH` times that at the end
/// of its first call, and at least `SMALL_BYTES`; or it has grown to this share of `memory`.
const GROWTH: u64 = 4;
const SMALL_BYTES: u64 = 1 << 20;
const SHARE_OF_LIMIT: u64 = 2;

/// The least and the most room for a memory to grow in. The scan for written pages takes 0.13 µs for each 64 KiB of it.
const LEAST_ROOM_BYTES: u64 = 1 << 20;
const MOST_ROOM_BYTES: u64 = 8 << 20;

/// The unit by which memories grow.
const PAGE_BYTES: u64 = 64 << 10;

/// The account of the linear memories of one instance, counted together against `memory`, and of its tables.
pub(super) struct MemoryAccount {
    limit_bytes: u64,
    used_bytes: u64,
    /// The bytes before the memory got its room.
    first_bytes: u64,
    refused: bool,
    /// The system's error when it refused a growth that the limit allowed.
    denied: Option<Errno>,
    pub(super) tables: TableAccount,
}

impl MemoryAccount {
    pub(super) fn new(limit_bytes: u64, table_elements: usize) -> Self {
        Self {
            limit_bytes,
            used_bytes: 0,
            first_bytes: 0,
            refused: false,
            denied: None,
            tables: TableAccount::new(table_elements),
        }
    }

    /// True if a memory was refused growth: the likely cause of a trap that follows.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }

    /// The system's error, if it denied growth: the likely cause of a trap that follows.
    pub(super) fn denied(&self) -> Option<Errno> {
        self.denied
    }

    /// True if a memory or a table was refused growth, by its limit or by the system. That stays so.
    pub(super) fn was_short(&self) -> bool {
        self.refused || self.denied.is_some() || self.tables.refused()
    }

    /// The bytes of all memories.
    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// The pages of room that an instance which is put back gets for its memory to grow in: half of what the memory has,
    /// within bounds, but no more than its limit allows, or a memory may have that is put back.
    pub(super) fn take_room(&mut self) -> u32 {
        let wanted = self.used_bytes.checked_div(2).unwrap_or(0).clamp(LEAST_ROOM_BYTES, MOST_ROOM_BYTES);
        let most_bytes = self.limit_bytes.min(RESTORED_MEMORY_BYTES);
        let room = wanted.min(most_bytes.saturating_sub(self.used_bytes));
        self.first_bytes = self.used_bytes;
        u32::try_from(room.checked_div(PAGE_BYTES).unwrap_or(0)).unwrap_or(0)
    }

    /// The bytes of all memories of an instance that was put back, without the room.
    pub(super) fn first_bytes(&self) -> u64 {
        self.first_bytes
    }

    /// True if an instance that had `first_bytes` after its first call has grown too much since to be kept.
    pub(super) fn has_outgrown(&self, first_bytes: u64) -> bool {
        let most = first_bytes.saturating_mul(GROWTH).max(SMALL_BYTES);
        let share = self.limit_bytes.checked_div(SHARE_OF_LIMIT).unwrap_or(0);
        self.was_short() || (self.used_bytes > first_bytes && self.used_bytes > most.min(share))
    }
}

impl wasmtime::ResourceLimiter for MemoryAccount {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // wasmtime asks first and compares with the memory's own maximum after: a growth that will not happen is not
        // counted.
        if maximum.is_some_and(|most| desired > most) {
            return Ok(false);
        }
        let grown = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let wanted = self.used_bytes.saturating_add(grown);
        let allowed = wanted <= self.limit_bytes;
        if allowed {
            self.used_bytes = wanted;
        } else {
            self.refused = true;
        }
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.tables.grow(current, desired, maximum))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.denied = self.denied.or_else(|| of_system(&error));
        Ok(())
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.denied = self.denied.or_else(|| of_system(&error));
        Ok(())
    }
}

/// The tables of one instance, counted together. A growth beyond the limit is refused as WebAssembly has it, by −1.
#[derive(Debug)]
pub(super) struct TableAccount {
    limit_elements: usize,
    used_elements: usize,
    refused: bool,
}

impl TableAccount {
    pub(super) fn new(limit_elements: usize) -> Self {
        Self { limit_elements, used_elements: 0, refused: false }
    }

    /// Counts a table's growth, and returns true, if it may grow so.
    pub(super) fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        // As with memories, a growth beyond the table's own maximum will not happen, and is not counted.
        if maximum.is_some_and(|most| desired > most) {
            return false;
        }
        let wanted = self.used_elements.saturating_add(desired.saturating_sub(current));
        let allowed = wanted <= self.limit_elements;
        if allowed {
            self.used_elements = wanted;
        } else {
            self.refused = true;
        }
        allowed
    }

    /// True if a table was refused growth: the likely cause of a trap that follows.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::ResourceLimiter;

    #[test]
    fn all_memories_of_an_instance_share_one_limit() {
        let mut account = MemoryAccount::new(100, 0);
        assert!(account.memory_growing(0, 60, None).unwrap());
        assert!(!account.memory_growing(0, 50, None).unwrap());
        assert!(account.refused());
        assert!(account.memory_growing(60, 100, None).unwrap());
    }

    #[test]
    fn an_instance_outgrows_its_first_call_or_its_limit() {
        let mib = |mib: f64| (mib * f64::from(1 << 20)) as u64;
        for (limit, first, used, outgrown) in [
            (128.0, 1.0, 4.0, false),
            (128.0, 1.0, 4.1, true),
            (128.0, 0.1, 1.0, false),
            (128.0, 0.1, 1.1, true),
            (128.0, 40.0, 64.0, false),
            (128.0, 40.0, 64.1, true),
            // Memory that the instance has needed from its first call on is no growth.
            (128.0, 100.0, 100.0, false),
            (128.0, 100.0, 100.1, true),
        ] {
            let account = MemoryAccount { used_bytes: mib(used), ..MemoryAccount::new(mib(limit), 0) };
            assert_eq!(account.has_outgrown(mib(first)), outgrown, "{limit} {first} {used}");
        }
        assert!(MemoryAccount { refused: true, ..MemoryAccount::new(9, 0) }.has_outgrown(1));
    }

    #[test]
    fn a_growth_above_the_memorys_own_maximum_is_not_counted() {
        let mut account = MemoryAccount::new(100, 0);
        assert!(!account.memory_growing(0, 60, Some(50)).unwrap());
        assert!(!account.refused());
        assert!(account.memory_growing(0, 100, None).unwrap());
    }

    #[test]
    fn all_tables_of_an_instance_share_one_limit() {
        let mut account = TableAccount::new(100);
        assert!(account.grow(0, 60, None));
        assert!(!account.grow(0, 50, Some(40)), "its own maximum forbids it");
        assert!(!account.refused());
        assert!(!account.grow(0, 50, None));
        assert!(account.refused());
        assert!(account.grow(60, 100, None));
    }
}
