//! The book of instances that wait for a call: how many of them a host may have, the memory that they may hold
//! together, and the order and time in which they go.
//!
//! Waiting instances have slots of their own. If they were evicted only when slots become short, a call would wait
//! until another plugin's instance is gone.
//!
//! Owns no instance: each is kept by its plugin (`instances.rs`), which is told which of its instances to let go. The
//! pool has a slot for each place of the book, beside the slots of calls. So a waiting instance is never in the way
//! of a call: every instance is counted by the permit of a call, by its place here, or as going.
//!
//! An owner asks for a place and leaves it while it holds the lock of its instances, never the other way round.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The most instances that go for one that comes: it pays for their end with its own time.
const MOST_FOR_ONE: usize = 8;

/// The most instances that go at once because they have waited too long.
const MOST_AT_ONCE: usize = 32;

/// The number of a place. A later place has the greater number.
pub(super) type Ticket = u64;

/// The places of one host, for instances that their owners keep.
pub(super) struct Idle<O> {
    most: usize,
    most_bytes: u64,
    book: Mutex<Book<O>>,
    bell: Notify,
}

struct Book<O> {
    places: BTreeMap<Ticket, IdlePosition<O>>,
    next: Ticket,
    bytes: u64,
    /// The number of instances that have no place any more, and are still there.
    going: usize,
    /// The next time at which overdue instances are looked for. None if nobody looks before the bell.
    looks_at: Option<Instant>,
}

struct IdlePosition<O> {
    owner: Weak<O>,
    bytes: u64,
    until: Instant,
}

/// Instances that have to go. They are counted until this is dropped.
#[must_use = "their owners are to let them go before this is dropped"]
pub(super) struct Evictions<'a, O> {
    idle: &'a Idle<O>,
    pub(super) who: Vec<(Arc<O>, Ticket)>,
    counted: usize,
}

impl<O> Idle<O> {
    pub(super) fn new(most: usize, most_bytes: u64) -> Self {
        let book = Book { places: BTreeMap::new(), next: 0, bytes: 0, going: 0, looks_at: None };
        Self { most, most_bytes, book: Mutex::new(book), bell: Notify::new() }
    }

    /// A place for an instance of a call that ends, and the instances that have to go for it before the call's permit
    /// does: those that have waited longest. None if there is no room for the instance.
    pub(super) fn enter(
        &self,
        owner: &Arc<O>,
        bytes: u64,
        until: Instant,
    ) -> Option<(Ticket, Evictions<'_, O>)> {
        let mut book = self.book();
        let mut oldest = Vec::new();
        let bytes_left = self.most_bytes.checked_sub(bytes)?;
        let mut bytes_kept = book.bytes;
        for (ticket, place) in book.places.iter().take(MOST_FOR_ONE) {
            if bytes_kept <= bytes_left && book.has_place(self.most, oldest.len()) {
                break;
            }
            bytes_kept = bytes_kept.saturating_sub(place.bytes);
            oldest.push(*ticket);
        }
        if bytes_kept > bytes_left || !book.has_place(self.most, oldest.len()) {
            return None;
        }
        let who = book.remove_all(oldest);
        // The permit of the call that ends counts one of the leaving instances, since the instance that stays has a
        // place.
        let counted = who.len().saturating_sub(1);
        book.going = book.going.saturating_add(counted);
        let ticket = book.next;
        book.next = book.next.saturating_add(1);
        book.bytes = book.bytes.saturating_add(bytes);
        book.places.insert(ticket, IdlePosition { owner: Arc::downgrade(owner), bytes, until });
        if book.looks_at.is_none_or(|at| until < at) {
            book.looks_at = Some(until);
            self.bell.notify_one();
        }
        Some((ticket, Evictions { idle: self, who, counted }))
    }

    /// Gives up a place whose instance a call takes: the call's permit counts the instance from now on.
    pub(super) fn leave(&self, ticket: Ticket) {
        self.book().remove(ticket);
    }

    /// The instances of these places have to go, except those that are going already.
    pub(super) fn dismiss(&self, tickets: impl IntoIterator<Item = Ticket>) -> Evictions<'_, O> {
        self.going(&mut self.book(), tickets)
    }

    /// Instances whose time is over, as soon as there are any.
    pub(super) async fn overdue(&self) -> Evictions<'_, O> {
        loop {
            let looks_at = {
                let mut book = self.book();
                let now = Instant::now();
                let overdue = book.places.iter().filter(|(_, place)| place.until <= now);
                let tickets: Vec<_> = overdue.map(|(ticket, _)| *ticket).take(MOST_AT_ONCE).collect();
                if !tickets.is_empty() {
                    return self.going(&mut book, tickets);
                }
                book.looks_at = book.places.values().map(|place| place.until).min();
                book.looks_at
            };
            match looks_at {
                None => self.bell.notified().await,
                Some(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.bell.notified() => {}
                },
            }
        }
    }

    fn going<'a>(
        &'a self,
        book: &mut Book<O>,
        tickets: impl IntoIterator<Item = Ticket>,
    ) -> Evictions<'a, O> {
        let who = book.remove_all(tickets);
        book.going = book.going.saturating_add(who.len());
        Evictions { idle: self, counted: who.len(), who }
    }

    fn book(&self) -> MutexGuard<'_, Book<O>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<O> Book<O> {
    /// True if there is a place for one more instance once `leaving` of them go.
    fn has_place(&self, most: usize, leaving: usize) -> bool {
        let counted = self.places.len().saturating_add(self.going);
        if leaving == 0 { counted < most } else { counted <= most }
    }

    fn remove(&mut self, ticket: Ticket) -> Option<IdlePosition<O>> {
        let place = self.places.remove(&ticket)?;
        self.bytes = self.bytes.saturating_sub(place.bytes);
        Some(place)
    }

    /// Removes places, with their owners. An owner lets go of all its instances before it goes itself: the owners
    /// here are alive, and stay so until their instances are gone.
    fn remove_all(&mut self, tickets: impl IntoIterator<Item = Ticket>) -> Vec<(Arc<O>, Ticket)> {
        let removed =
            tickets.into_iter().filter_map(|ticket| Some((self.remove(ticket)?.owner.upgrade()?, ticket)));
        removed.collect()
    }
}

impl<O> Drop for Evictions<'_, O> {
    fn drop(&mut self) {
        let mut book = self.idle.book();
        book.going = book.going.saturating_sub(self.counted);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::time::Duration;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// An owner that outlives every test.
    static OWNER: LazyLock<Arc<()>> = LazyLock::new(Arc::default);

    fn enter(idle: &Idle<()>, bytes: u64) -> Option<(Ticket, Vec<Ticket>)> {
        let (ticket, leaving) = idle.enter(&OWNER, bytes, Instant::now() + MINUTE)?;
        Some((ticket, leaving.who.iter().map(|(_, ticket)| *ticket).collect()))
    }

    #[test]
    fn whoever_waited_longest_goes_for_whoever_comes() {
        let idle = Idle::new(2, 100);
        assert_eq!(enter(&idle, 1), Some((0, vec![])));
        assert_eq!(enter(&idle, 1), Some((1, vec![])));
        assert_eq!(enter(&idle, 1), Some((2, vec![0])));
        idle.leave(1);
        assert_eq!(enter(&idle, 1), Some((3, vec![])));
        assert_eq!(enter(&idle, 1), Some((4, vec![2])));
    }

    #[test]
    fn the_memory_of_all_has_a_bound() {
        let idle = Idle::new(100, 100);
        assert_eq!(enter(&idle, 101), None);
        for ticket in 0..20 {
            assert_eq!(enter(&idle, 5), Some((ticket, vec![])));
        }
        assert_eq!(enter(&idle, 15), Some((20, vec![0, 1, 2])));
        // More instances would have to go than may go for one.
        assert_eq!(enter(&idle, 100), None);
        assert_eq!(enter(&idle, 1), Some((21, vec![3])));
    }

    #[test]
    fn who_goes_is_counted_until_it_is_gone() {
        let idle: Idle<()> = Idle::new(2, 100);
        let (first, second) = (enter(&idle, 1).unwrap().0, enter(&idle, 1).unwrap().0);
        let leaving = idle.dismiss([first, second]);
        assert!(idle.dismiss([first]).who.is_empty(), "it goes once");
        assert_eq!(enter(&idle, 1), None);
        drop(leaving);
        assert!(enter(&idle, 1).is_some());
        assert_eq!(enter(&Idle::new(0, 100), 1), None);
    }

    #[tokio::test]
    async fn those_whose_time_is_over_are_named_when_it_is() {
        let idle = Idle::new(9, 100);
        let enter = |until: Instant| idle.enter(&OWNER, 1, until).unwrap().0;
        let who =
            |leaving: &Evictions<'_, ()>| leaving.who.iter().map(|(_, ticket)| *ticket).collect::<Vec<_>>();
        enter(Instant::now() + MINUTE);
        let soon = enter(Instant::now());
        assert_eq!(who(&idle.overdue().await), [soon]);
        // One instance comes while the look-out sleeps, and has less time than those there.
        let (named, sooner) = tokio::join!(idle.overdue(), async {
            tokio::task::yield_now().await;
            enter(Instant::now() + Duration::from_millis(1))
        });
        assert_eq!(who(&named), [sooner]);
        assert_eq!(idle.book().going, 1);
        drop(named);
        assert_eq!(idle.book().going, 0);
    }
}
