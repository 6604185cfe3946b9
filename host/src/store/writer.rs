//! The one thread that writes: owns the tenants' queues and decides which writes share the next transaction.
//!
//! A transaction costs a sync of the disk, so all waiting writes are put into one transaction, up to a bound, and
//! answered together when it is on disk. Tenants take turns, one write each, and a tenant's queue is bounded: a
//! tenant that writes much waits for its own writes. The work of a write is opaque here.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::{io, thread};

use redb::WriteTransaction;
use tokio::sync::oneshot;

use super::database::Database;
use super::error::{Effect, MAX_WAITING, MAX_WAITING_BYTES, StoreError};
use crate::tenant::TenantName;

/// The bounds of a transaction. It ends with the write that reaches one of them, so that no tenant waits long.
const BATCH_WRITES: usize = 256;
const BATCH_BYTES: usize = 8 << 20;

/// The writer's thread and the queue in front of it.
pub(super) struct Writer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    turns: TenantQueues<Box<dyn Job>>,
    ended: bool,
}

impl Writer {
    pub(super) fn start(database: Arc<Database>) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let waiting = Arc::clone(&queue);
        let thread =
            thread::Builder::new().name("store-writer".into()).spawn(move || run(&waiting, &database))?;
        Ok(Self { queue, thread: Some(thread) })
    }

    pub(super) async fn write<R: Send + 'static>(
        &self,
        tenant: &TenantName,
        cost_bytes: usize,
        work: impl FnOnce(&WriteTransaction) -> Result<(Effect, R), redb::Error> + Send + 'static,
    ) -> Result<R, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Pending { work: Some(work), result: None, reply });
        self.queue.lock().turns.push(tenant, cost_bytes, job)?;
        self.queue.arrived.notify_one();
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(StoreError::unavailable(redb::Error::DatabaseClosed)),
        }
    }

    /// Waits until everything in the queue is written, and ends the thread.
    pub(super) fn finish(&mut self) {
        self.queue.lock().ended = true;
        self.queue.arrived.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writes of the next transaction; none when all is written and the queue is closed.
    fn next(&self) -> Option<Vec<Box<dyn Job>>> {
        let mut waiting = self.lock();
        loop {
            let batch = waiting.turns.take(BATCH_WRITES, BATCH_BYTES);
            if !batch.is_empty() {
                return Some(batch);
            }
            if waiting.ended {
                return None;
            }
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn run(queue: &Queue, database: &Database) {
    while let Some(mut batch) = queue.next() {
        let committed = database.write(|transaction| {
            let mut effect = Effect::Unchanged;
            for job in &mut batch {
                if job.run(transaction)? == Effect::Changed {
                    effect = Effect::Changed;
                }
            }
            Ok(effect)
        });
        for job in batch {
            job.answer(committed.clone());
        }
    }
}

/// A [`Pending`] write with its types hidden, so that one queue holds them all.
trait Job: Send {
    fn run(&mut self, transaction: &WriteTransaction) -> Result<Effect, redb::Error>;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Pending<W, R> {
    work: Option<W>,
    result: Option<R>,
    reply: oneshot::Sender<Result<R, StoreError>>,
}

impl<W, R> Job for Pending<W, R>
where
    W: FnOnce(&WriteTransaction) -> Result<(Effect, R), redb::Error> + Send,
    R: Send,
{
    fn run(&mut self, transaction: &WriteTransaction) -> Result<Effect, redb::Error> {
        match self.work.take() {
            // The caller is gone: the write is left out.
            Some(work) if !self.reply.is_closed() => {
                let (effect, result) = work(transaction)?;
                self.result = Some(result);
                Ok(effect)
            }
            _ => Ok(Effect::Unchanged),
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (committed, self.result) {
            (Ok(()), Some(result)) => Ok(result),
            (Ok(()), None) => Err(StoreError::unavailable(redb::Error::DatabaseClosed)),
            (Err(error), _) => Err(error),
        };
        let _ = self.reply.send(answer);
    }
}

/// The tenants' turns: one queue for each tenant, and the tenants with waiting writes in the order of their turns.
struct TenantQueues<T> {
    queues: HashMap<TenantName, TenantQueue<T>>,
    order: VecDeque<TenantName>,
}

struct TenantQueue<T> {
    items: VecDeque<(usize, T)>,
    bytes: usize,
}

impl<T> Default for TenantQueues<T> {
    fn default() -> Self {
        Self { queues: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> TenantQueues<T> {
    fn push(&mut self, tenant: &TenantName, bytes: usize, item: T) -> Result<(), StoreError> {
        let queue = self.queues.entry(tenant.clone()).or_insert_with(|| {
            self.order.push_back(tenant.clone());
            TenantQueue { items: VecDeque::new(), bytes: 0 }
        });
        let bytes_after = queue.bytes.saturating_add(bytes);
        // A tenant with an empty queue is never refused: so no write is too large for ever.
        if !queue.items.is_empty() && (queue.items.len() >= MAX_WAITING || bytes_after > MAX_WAITING_BYTES) {
            return Err(StoreError::Busy { waiting: queue.items.len(), waiting_bytes: queue.bytes });
        }
        queue.bytes = bytes_after;
        queue.items.push_back((bytes, item));
        Ok(())
    }

    /// Takes one item of each tenant in turn, until `items` or `bytes` are reached or nothing is left.
    fn take(&mut self, items: usize, bytes: usize) -> Vec<T> {
        let mut taken = Vec::new();
        let mut taken_bytes = 0_usize;
        while taken.len() < items && taken_bytes < bytes {
            let Some(tenant) = self.order.pop_front() else { break };
            let Some(queue) = self.queues.get_mut(&tenant) else { continue };
            if let Some((size, item)) = queue.items.pop_front() {
                queue.bytes = queue.bytes.saturating_sub(size);
                taken_bytes = taken_bytes.saturating_add(size);
                taken.push(item);
            }
            if queue.items.is_empty() {
                self.queues.remove(&tenant);
            } else {
                self.order.push_back(tenant);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantName {
        TenantName::parse(name).unwrap()
    }

    fn turns(waiting: &[(&str, usize, u32)]) -> TenantQueues<u32> {
        let mut turns = TenantQueues::default();
        for (name, bytes, item) in waiting {
            turns.push(&tenant(name), *bytes, *item).unwrap();
        }
        turns
    }

    #[test]
    fn tenants_take_turns_however_much_one_of_them_writes() {
        let mut turns = turns(&[
            ("busy", 1, 10),
            ("busy", 1, 11),
            ("busy", 1, 12),
            ("calm", 1, 20),
            ("busy", 1, 13),
            ("third", 1, 30),
        ]);
        assert_eq!(turns.take(4, 100), [10, 20, 30, 11]);
        turns.push(&tenant("calm"), 1, 21).unwrap();
        assert_eq!(turns.take(100, 100), [12, 21, 13]);
        assert!(turns.take(100, 100).is_empty());
        assert!(turns.queues.is_empty() && turns.order.is_empty());
    }

    #[test]
    fn a_large_write_ends_the_transaction_and_the_next_one_begins_with_another_tenant() {
        let mut turns = turns(&[("large", 90, 10), ("large", 90, 11), ("small", 1, 20), ("tiny", 1, 30)]);
        assert_eq!(turns.take(100, 50), [10]);
        assert_eq!(turns.take(100, 50), [20, 30, 11]);
    }

    #[test]
    fn a_full_queue_refuses_its_own_tenant_alone() {
        let mut turns = TenantQueues::default();
        for item in 0..MAX_WAITING {
            turns.push(&tenant("busy"), 1, item).unwrap();
        }
        assert!(matches!(turns.push(&tenant("busy"), 1, 0), Err(StoreError::Busy { waiting: 1024, .. })));
        turns.push(&tenant("calm"), 1, 0).unwrap();
        turns.push(&tenant("large"), MAX_WAITING_BYTES, 0).unwrap();
        assert!(matches!(turns.push(&tenant("large"), 1, 0), Err(StoreError::Busy { .. })));
        turns.take(3, usize::MAX);
        turns.push(&tenant("busy"), 1, 0).unwrap();
    }
}
