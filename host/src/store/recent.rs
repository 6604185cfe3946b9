//! Recently read entries: owns the part of the table of entries that is kept in memory, so that a read of it is answered
//! on its caller's own turn, with no thread that may block. Leaves reading and writing to `keyvalue`.
//!
//! A kept entry is the one that the database would answer with, in whatever order threads run:
//!
//! * The writer tells the keys of a transaction before it commits ([`Recent::change`]): from then on they are not kept.
//!   Nor is anything that is read of them before the transaction has ended ([`Recent::settle`]), however it ended.
//! * A reader takes the [`Moment`] before it reads the database. If a transaction has ended since, what it read may be
//!   older than that, and is not kept.
//! * When the database fails, all is forgotten ([`Recent::forget`]): the one that is opened next decides, for example,
//!   whether a commit that failed was made.
//!
//! The memory is shared by tenants. While it is full, the tenant that has the most of it loses its least used entries.
//! So however much one tenant reads, another that has no more than an equal share keeps it.

use std::collections::hash_map::{Entry, HashMap, RandomState};
use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;
use std::iter;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tenant::TenantName;

/// The most bytes that are kept: keys, values, and 256 bytes beside for each entry.
pub const MAX_RECENT_BYTES: usize = 32 << 20;

/// The longest value that is kept. Of a longer one it is kept that it exists.
pub(super) const MAX_RECENT_VALUE_BYTES: usize = 64 << 10;

/// The memory of an entry beside its key and value: its places in a map and a queue that have as much room again, and
/// two allocations.
const ENTRY_BYTES: usize = 256;

/// The number of locks under which entries are kept, a power of two. One is beside [`Recent::others`].
const SHARDS: usize = 16;
const SHARD_MASK: u64 = SHARDS as u64 - 1;
const SHARD_BYTES: usize = MAX_RECENT_BYTES / SHARDS;

/// The most entries that one eviction spares because they were used. It bounds the time under the lock.
const SPARED: usize = 64;

/// Entries by full key, as `keyvalue` stores them.
pub(super) struct Recent {
    hasher: RandomState,
    first: Mutex<Shard>,
    others: [Mutex<Shard>; SHARDS - 1],
    /// Grows, under the lock of each shard that it is about, when a transaction or a database has ended and before
    /// anything can be kept of what comes next.
    ended: AtomicU64,
}

/// A time between two ends of transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(u64);

/// The content of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// The key has no value.
    Missing,
    Value(Arc<[u8]>),
    /// A value that is too long to be kept.
    Long,
}

#[derive(Default)]
struct Shard {
    kept: Kept,
    /// The keys of the transaction that is under way.
    changing: HashSet<Box<[u8]>>,
}

#[derive(Default)]
struct Kept {
    slots: HashMap<Arc<[u8]>, Slot>,
    shares: HashMap<TenantName, Share>,
    bytes: usize,
}

struct Slot {
    /// None since a change: the slot keeps its place in the queue until the key is read again, or evicted.
    content: Option<Content>,
    used: bool,
}

/// The part of one tenant.
#[derive(Default)]
struct Share {
    /// The keys of all its slots, in the order in which they are evicted.
    queue: VecDeque<Arc<[u8]>>,
    bytes: usize,
}

impl Recent {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            first: Mutex::default(),
            others: Default::default(),
            ended: AtomicU64::new(0),
        }
    }

    /// The present moment. It is taken before the database is read.
    pub(super) fn moment(&self) -> Moment {
        Moment(self.ended.load(Ordering::Acquire))
    }

    /// The content of `key`, if it is kept.
    pub(super) fn find(&self, key: &[u8]) -> Option<Content> {
        let mut shard = self.shard(key);
        let slot = shard.kept.slots.get_mut(key)?;
        slot.used = true;
        slot.content.clone()
    }

    /// The values of all `keys` at one moment, if all are kept.
    pub(super) fn find_values<'a>(
        &self,
        keys: impl Iterator<Item = &'a Arc<[u8]>>,
    ) -> Option<Vec<Option<Arc<[u8]>>>> {
        let moment = self.moment();
        let values = keys.map(|key| self.find(key)?.into_value()).collect::<Option<_>>()?;
        (self.moment() == moment).then_some(values)
    }

    /// Keeps the `content` of a key of `tenant`, read from the database after `moment`, unless it may be outdated.
    pub(super) fn keep(&self, moment: Moment, tenant: &TenantName, key: Arc<[u8]>, content: Content) {
        let mut shard = self.shard(&key);
        if self.moment() == moment && !shard.changing.contains(&*key) {
            shard.kept.put(tenant, key, content);
        }
    }

    /// Says that the transaction under way changes a key of `tenant`. For the writer, before it commits.
    pub(super) fn change(&self, tenant: &TenantName, key: &[u8]) {
        let mut shard = self.shard(key);
        shard.kept.outdate(tenant, key);
        shard.changing.insert(key.into());
    }

    /// Says that the transaction under way has ended. For the writer, before it answers.
    pub(super) fn settle(&self) {
        for mut shard in self.shards() {
            if !shard.changing.is_empty() {
                self.ended.fetch_add(1, Ordering::Release);
                shard.changing = HashSet::new();
            }
        }
    }

    /// Forgets everything that was read of a database that is closed by now.
    pub(super) fn forget(&self) {
        for mut shard in self.shards() {
            self.ended.fetch_add(1, Ordering::Release);
            let forgotten = mem::take(&mut shard.kept);
            drop(shard);
            drop(forgotten);
        }
    }

    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        let number = usize::try_from(self.hasher.hash_one(key) & SHARD_MASK);
        let other = number.ok().and_then(|number| self.others.get(number));
        lock(other.unwrap_or(&self.first))
    }

    fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        iter::once(&self.first).chain(&self.others).map(lock)
    }
}

impl Content {
    pub(super) fn of(value: Option<&[u8]>) -> Self {
        match value {
            None => Self::Missing,
            Some(value) if value.len() <= MAX_RECENT_VALUE_BYTES => Self::Value(value.into()),
            Some(_) => Self::Long,
        }
    }

    pub(super) fn exists(&self) -> bool {
        !matches!(self, Self::Missing)
    }

    /// The value, if it is kept.
    pub(super) fn into_value(self) -> Option<Option<Arc<[u8]>>> {
        match self {
            Self::Missing => Some(None),
            Self::Value(value) => Some(Some(value)),
            Self::Long => None,
        }
    }

    /// The bytes of a slot for `key`.
    fn slot_bytes(this: Option<&Self>, key: &[u8]) -> usize {
        let value_bytes = if let Some(Self::Value(value)) = this { value.len() } else { 0 };
        ENTRY_BYTES.saturating_add(key.len()).saturating_add(value_bytes)
    }
}

impl Kept {
    fn put(&mut self, tenant: &TenantName, key: Arc<[u8]>, content: Content) {
        let bytes = Content::slot_bytes(Some(&content), &key);
        while self.bytes.saturating_add(bytes) > SHARD_BYTES
            && let Some(owner) = self.owner_of_too_much(tenant)
        {
            self.evict(&owner);
        }
        let share = self.shares.entry(tenant.clone()).or_default();
        let freed = match self.slots.entry(Arc::clone(&key)) {
            Entry::Occupied(mut slot) => {
                let replaced = slot.get_mut().content.replace(content);
                Content::slot_bytes(replaced.as_ref(), &key)
            }
            Entry::Vacant(place) => {
                place.insert(Slot { content: Some(content), used: false });
                share.queue.push_back(key);
                0
            }
        };
        share.bytes = share.bytes.saturating_add(bytes).saturating_sub(freed);
        self.bytes = self.bytes.saturating_add(bytes).saturating_sub(freed);
    }

    fn outdate(&mut self, tenant: &TenantName, key: &[u8]) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let Some(Content::Value(value)) = slot.content.take() else { return };
        self.bytes = self.bytes.saturating_sub(value.len());
        if let Some(share) = self.shares.get_mut(tenant) {
            share.bytes = share.bytes.saturating_sub(value.len());
        }
    }

    /// The tenant that loses an entry before one of `reader` is kept: itself, if it has more than an equal share, so that
    /// it is at its own expense in time as well; else the tenant that has the most.
    fn owner_of_too_much(&self, reader: &TenantName) -> Option<TenantName> {
        let equal = self.bytes.checked_div(self.shares.len())?;
        if self.shares.get(reader).is_some_and(|share| share.bytes > equal) {
            return Some(reader.clone());
        }
        self.shares.iter().max_by_key(|(_, share)| share.bytes).map(|(tenant, _)| tenant.clone())
    }

    /// Evicts the entry that is first in the queue of `tenant`. One that was used since it came there goes to the end.
    fn evict(&mut self, tenant: &TenantName) {
        let Some(share) = self.shares.get_mut(tenant) else { return };
        for may_be_spared in (0..=SPARED).map(|spared| spared < SPARED) {
            let Some(key) = share.queue.pop_front() else { break };
            if let Some(slot) = self.slots.get_mut(&key)
                && slot.used
                && may_be_spared
            {
                slot.used = false;
                share.queue.push_back(key);
                continue;
            }
            if let Some(slot) = self.slots.remove(&key) {
                let freed = Content::slot_bytes(slot.content.as_ref(), &key);
                share.bytes = share.bytes.saturating_sub(freed);
                self.bytes = self.bytes.saturating_sub(freed);
            }
            break;
        }
        // What had room for many small entries does not keep it when they have made room for a few large ones.
        if self.slots.len() < self.slots.capacity() / 4 {
            self.slots.shrink_to(self.slots.capacity() / 2);
        }
        if share.queue.len() < share.queue.capacity() / 4 {
            share.queue.shrink_to(share.queue.capacity() / 2);
        }
        if share.queue.is_empty() {
            self.shares.remove(tenant);
        }
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantName {
        TenantName::parse(name).unwrap()
    }

    fn full_key(tenant: &TenantName, key: usize) -> Vec<u8> {
        format!("{tenant}\0books\0{key}").into_bytes()
    }

    fn read(recent: &Recent, tenant: &TenantName, key: usize, value: Option<&[u8]>) {
        recent.keep(recent.moment(), tenant, full_key(tenant, key).into(), Content::of(value));
    }

    fn is_kept(recent: &Recent, tenant: &TenantName, key: usize) -> bool {
        recent.find(&full_key(tenant, key)).is_some()
    }

    /// The bytes of all entries, counted anew.
    fn counted(recent: &Recent) -> usize {
        let mut bytes = 0;
        for shard in recent.shards() {
            let Kept { slots, shares, .. } = &shard.kept;
            let slot_bytes =
                |key: &Arc<[u8]>| Content::slot_bytes(slots.get(key).unwrap().content.as_ref(), key);
            for share in shares.values() {
                assert_eq!(share.bytes, share.queue.iter().map(slot_bytes).sum::<usize>());
                assert!(!share.queue.is_empty());
            }
            assert_eq!(shares.values().map(|share| share.queue.len()).sum::<usize>(), slots.len());
            assert_eq!(shares.values().map(|share| share.bytes).sum::<usize>(), shard.kept.bytes);
            bytes += shard.kept.bytes;
        }
        bytes
    }

    #[test]
    fn what_is_kept_has_a_most_however_much_is_read() {
        let recent = Recent::new();
        let tenants = ["a", "b", "c"].map(tenant);
        let value = vec![7; MAX_RECENT_VALUE_BYTES + 1];
        let mut most = 0;
        let mut state = 1_u64;
        for step in 0..200_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let tenant = &tenants[step % 3];
            let key = state as usize % 100_000;
            match state >> 60 {
                0 => {
                    recent.change(tenant, &full_key(tenant, key));
                    recent.settle();
                }
                1..8 => read(&recent, tenant, key, None),
                8..15 => read(&recent, tenant, key, Some(&value[..(state >> 32) as usize % 100])),
                _ => read(&recent, tenant, key, Some(&value[..(state >> 32) as usize % value.len()])),
            }
            assert!(!is_kept(&recent, tenant, key) || state >> 60 != 0);
            if step % 1000 == 0 {
                most = most.max(counted(&recent));
            }
        }
        assert!(most <= MAX_RECENT_BYTES, "{most}");
        assert!(most > MAX_RECENT_BYTES / 10 * 9, "{most}");
        read(&recent, &tenants[0], 0, Some(&value));
        assert_eq!(recent.find(&full_key(&tenants[0], 0)), Some(Content::Long));
        recent.forget();
        assert_eq!(counted(&recent), 0);
    }

    #[test]
    fn a_tenant_that_reads_much_pushes_out_nobody_elses_entries() {
        let recent = Recent::new();
        let (calm, busy, third) = (tenant("calm"), tenant("busy"), tenant("third"));
        (0..10_000).for_each(|key| read(&recent, &calm, key, Some(b"value")));
        let large = vec![0; MAX_RECENT_VALUE_BYTES];
        for key in 0..2000 {
            read(&recent, &busy, key, Some(&large));
            assert!(is_kept(&recent, &busy, key));
        }
        (0..200_000).for_each(|key| read(&recent, &busy, key, None));
        assert!((0..10_000).all(|key| is_kept(&recent, &calm, key)));
        // Who comes later has room, too.
        (0..10_000).for_each(|key| read(&recent, &third, key, None));
        assert!((0..10_000).all(|key| is_kept(&recent, &calm, key) && is_kept(&recent, &third, key)));
        assert!(counted(&recent) > MAX_RECENT_BYTES / 10 * 9);
    }

    #[test]
    fn what_is_used_stays_while_its_tenant_reads_all_it_has() {
        let recent = Recent::new();
        let shop = tenant("shop");
        for key in 0..200_000 {
            read(&recent, &shop, key, None);
            assert!(is_kept(&recent, &shop, key % 100), "{key}");
        }
        assert!(!is_kept(&recent, &shop, 1000));
    }

    #[test]
    fn values_that_were_not_there_at_one_moment_are_not_given_together() {
        let recent = Recent::new();
        let shop = tenant("shop");
        let keys: Vec<Arc<[u8]>> = (0..2).map(|key| full_key(&shop, key).into()).collect();
        let write = |value: &[u8]| {
            (0..2).for_each(|key| recent.change(&shop, &full_key(&shop, key)));
            recent.settle();
            (0..2).for_each(|key| read(&recent, &shop, key, Some(value)));
        };
        write(b"old");
        let found = recent.find_values(keys.iter());
        assert_eq!(found, Some(vec![Some((*b"old").into()), Some((*b"old").into())]));
        // Both are written when the first has been found.
        let found = recent.find_values(keys.iter().enumerate().map(|(index, key)| {
            if index == 1 {
                write(b"new");
            }
            key
        }));
        assert_eq!(found, None);
    }

    #[test]
    fn what_may_be_outdated_is_not_kept() {
        let recent = Recent::new();
        let shop = tenant("shop");
        let key = full_key(&shop, 1);
        let keep = |moment| recent.keep(moment, &shop, key.clone().into(), Content::Missing);

        let before = recent.moment();
        read(&recent, &shop, 1, None);
        recent.change(&shop, &key);
        assert_eq!(recent.find(&key), None);
        let during = recent.moment();
        keep(before);
        keep(during);
        assert_eq!(recent.find(&key), None);
        // Other keys are kept meanwhile.
        read(&recent, &shop, 2, None);
        assert!(is_kept(&recent, &shop, 2));

        recent.settle();
        keep(before);
        keep(during);
        assert_eq!(recent.find(&key), None);
        let after = recent.moment();
        // A transaction that has changed nothing hinders nobody.
        recent.settle();
        keep(after);
        assert_eq!(recent.find(&key), Some(Content::Missing));

        // The database fails while a transaction is under way.
        recent.change(&shop, &full_key(&shop, 3));
        recent.forget();
        keep(after);
        assert!(!is_kept(&recent, &shop, 1) && !is_kept(&recent, &shop, 2));
        read(&recent, &shop, 3, None);
        assert!(!is_kept(&recent, &shop, 3));
        recent.settle();
        read(&recent, &shop, 3, None);
        assert!(is_kept(&recent, &shop, 3));
    }
}
