//! The store's promises hold for reads that are answered from memory as for those that are not: beside writes, and when
//! the disk fails.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tokio::task::JoinSet;

use super::contract_tests::{books, eventually, look_alikes, new_store, store_on, tenant};
use super::memory_disk::{MemoryDisk, Trouble};
use super::recent::MAX_RECENT_VALUE_BYTES;
use super::*;

/// The answer of a read that does not wait for another thread.
fn at_once<R>(read: impl Future<Output = Result<R, EntryError>>) -> R {
    match pin!(read).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.unwrap(),
        Poll::Pending => panic!("it is not answered at once"),
    }
}

fn value(text: &str) -> Option<Vec<u8>> {
    Some(text.as_bytes().to_vec())
}

#[tokio::test]
async fn what_was_read_is_answered_at_once_until_it_is_changed() {
    let entries = books(&new_store());
    let both = ["k".to_owned(), "other".to_owned()];
    assert_eq!(entries.get("k").await.unwrap(), None);
    assert_eq!(at_once(entries.get("k")), None);
    assert!(!at_once(entries.exists("k")));
    assert!(!entries.exists("other").await.unwrap());
    assert_eq!(at_once(entries.get_many(&both)), vec![None, None]);

    for text in ["1", ""] {
        entries.set("k", text.into()).await.unwrap();
        assert!(entries.exists("k").await.unwrap());
        assert!(at_once(entries.exists("k")));
        assert_eq!(at_once(entries.get("k")), value(text));
        assert_eq!(at_once(entries.get_many(&both)), vec![value(text), None]);
    }
    entries.compare_and_swap("k", value(""), b"2".into()).await.unwrap();
    assert_eq!(entries.get_many(&both).await.unwrap(), vec![value("2"), None]);
    assert_eq!(at_once(entries.get("k")), value("2"));
    entries.increment("k", 3).await.unwrap();
    assert_eq!(entries.get("k").await.unwrap(), value("5"));
    entries.delete_many(&both).await.unwrap();
    assert_eq!(entries.get("k").await.unwrap(), None);
    assert_eq!(at_once(entries.get("k")), None);

    // What changes nothing lets nothing be forgotten.
    entries.delete("k").await.unwrap();
    entries.compare_and_swap("k", value("x"), b"y".into()).await.unwrap();
    entries.set("new", vec![]).await.unwrap();
    assert_eq!(at_once(entries.get("k")), None);
}

#[tokio::test]
async fn tenants_and_plugins_never_see_what_is_kept_of_each_other() {
    let store = new_store();
    let all = look_alikes().map(|(name, space)| store.entries(&tenant(name), &space, Arc::default()));
    for (index, entries) in all.iter().enumerate() {
        assert_eq!(entries.get("k").await.unwrap(), None);
        entries.set("k", vec![index as u8]).await.unwrap();
        assert_eq!(entries.get("k").await.unwrap(), Some(vec![index as u8]));
    }
    for (index, entries) in all.iter().enumerate() {
        assert_eq!(at_once(entries.get("k")), Some(vec![index as u8]));
    }
}

#[tokio::test]
async fn a_long_value_is_read_from_the_disk_each_time() {
    let store = new_store();
    let entries = books(&store);
    for (length, is_kept) in [(MAX_RECENT_VALUE_BYTES, true), (MAX_RECENT_VALUE_BYTES + 1, false)] {
        let long = Some(vec![1; length]);
        entries.set("k", vec![1; length]).await.unwrap();
        assert_eq!(entries.get("k").await.unwrap(), long);
        let kept = store.recent().find(b"shop\0books\0k").unwrap();
        assert_eq!(kept.into_value(), is_kept.then(|| long.as_deref().map(Arc::from)));
        assert!(at_once(entries.exists("k")));
        assert_eq!(entries.get("k").await.unwrap(), long);
    }
    // What is kept may be more than one call may take.
    let keys: Vec<_> = (0..129).map(|index| index.to_string()).collect();
    for key in &keys {
        entries.set(key, vec![1; MAX_RECENT_VALUE_BYTES]).await.unwrap();
        entries.get(key).await.unwrap();
    }
    assert_eq!(at_once(entries.get_many(&keys[..128])).len(), 128);
    assert!(matches!(entries.get_many(&keys).await, Err(EntryError::BatchTooLarge { .. })));
}

#[tokio::test]
async fn a_change_that_failed_is_read_as_the_disk_has_it() {
    let mut kept = 0;
    for sync in 0..4 {
        let disk = MemoryDisk::default();
        let store = store_on(&disk);
        let entries = books(&store);
        entries.set("k", b"old".into()).await.unwrap();
        assert_eq!(entries.get("k").await.unwrap(), value("old"));
        assert_eq!(entries.get("none").await.unwrap(), None);
        disk.freeze_at(sync);
        let mut changed = entries.set_many(vec![("k".into(), b"new".into()), ("none".into(), vec![])]).await;
        if changed.is_ok() {
            assert!(sync >= 2, "a commit has two syncs");
            changed = entries.set("k", b"newer".into()).await;
        }
        assert!(matches!(changed, Err(EntryError::Store(StoreError::Unavailable { .. }))), "sync {sync}");
        assert!(entries.get("k").await.is_err(), "sync {sync}: nobody knows what the disk has");
        assert!(entries.exists("none").await.is_err());

        disk.set_trouble(None);
        let first = eventually("a read", async || entries.get("k").await).await;
        let all = ["k".to_owned(), "none".to_owned()];
        let together = entries.get_many(&all).await.unwrap();
        assert_eq!(together[0], first);
        store.recent().forget();
        assert_eq!(entries.get_many(&all).await.unwrap(), together.clone(), "sync {sync}");
        assert_eq!(together[0] == value("old"), together[1].is_none(), "sync {sync}: half of a change");
        kept += u32::from(sync < 2 && first == value("new"));
    }
    assert_eq!(kept, 1, "one of two commits that failed was made all the same");
}

#[tokio::test]
async fn nothing_of_a_database_that_failed_is_kept_for_the_next() {
    let (first, second) = (MemoryDisk::default(), MemoryDisk::default());
    books(&store_on(&second)).set("k", b"of the copy".into()).await.unwrap();
    let (disk, copy) = (first.clone(), second.clone());
    // Somebody puts back a copy while the disk is away.
    let factory = move || if disk.is_dead() { copy.backend() } else { disk.backend() };
    let store = Store::with_backend(factory).unwrap();
    let entries = books(&store);
    entries.set("k", b"1".into()).await.unwrap();
    entries.get("k").await.unwrap();
    first.set_trouble(Some(Trouble::Dead));
    assert_eq!(at_once(entries.get("k")), value("1"));
    entries.set("other", vec![]).await.unwrap_err();
    assert_eq!(eventually("a read", async || entries.get("k").await).await, value("of the copy"));
}

/// A pair of keys that hold one number, which grows.
struct Pair {
    asked: AtomicU64,
    acknowledged: AtomicU64,
    seen: AtomicU64,
}

impl Pair {
    const fn new() -> Self {
        Self { asked: AtomicU64::new(0), acknowledged: AtomicU64::new(0), seen: AtomicU64::new(0) }
    }

    async fn write(&self, entries: &Entries, keys: [String; 2], done: &AtomicBool) {
        while !done.load(SeqCst) {
            let number = self.asked.fetch_add(1, SeqCst) + 1;
            let pairs = keys.iter().map(|key| (key.clone(), number.to_string().into_bytes()));
            match entries.set_many(pairs.collect()).await {
                Ok(()) => self.acknowledged.store(number, SeqCst),
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }

    /// Reads in one of three ways. Returns true if the store answered.
    async fn read(&self, entries: &Entries, keys: &[String; 2], way: u64) -> bool {
        let least = self.acknowledged.load(SeqCst).max(self.seen.load(SeqCst));
        let number = |value: Option<Vec<u8>>| {
            value.map_or(0, |text| String::from_utf8(text).unwrap().parse::<u64>().unwrap())
        };
        let read = match way % 3 {
            0 => entries.get(&keys[0]).await.map(number),
            1 => entries.get(&keys[1]).await.map(number),
            _ => entries.get_many(keys).await.map(|values| {
                let [a, b] = values.try_into().unwrap();
                assert_eq!(a, b, "half of a change");
                number(a)
            }),
        };
        let Ok(read) = read else { return false };
        assert!(read >= least, "{} holds {read} after {least} was acknowledged or read", keys[0]);
        assert!(read <= self.asked.load(SeqCst), "nobody wrote {read}");
        self.seen.fetch_max(read, SeqCst);
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_read_finds_less_than_was_acknowledged_or_read_before() {
    let disk = MemoryDisk::default();
    let store = store_on(&disk);
    let pairs = Arc::new([const { Pair::new() }; 3]);
    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let keys = |index: usize| [format!("{index} a"), format!("{index} b")];
    for index in 0..3 {
        let (entries, pairs, done) = (books(&store), Arc::clone(&pairs), Arc::clone(&done));
        tasks.spawn(async move { pairs[index].write(&entries, keys(index), &done).await });
    }
    for reader in 0..6_u64 {
        let (entries, pairs, done) = (books(&store), Arc::clone(&pairs), Arc::clone(&done));
        let answered = Arc::clone(&answered);
        tasks.spawn(async move {
            for way in reader.. {
                if done.load(SeqCst) {
                    break;
                }
                let index = (way / 3) as usize % 3;
                let read = pairs[index].read(&entries, &keys(index), way).await;
                answered.fetch_add(u64::from(read), SeqCst);
                // A read that is answered at once gives no other task a turn.
                tokio::task::yield_now().await;
            }
        });
    }
    let deadline = Instant::now() + Duration::from_secs(4);
    // Most writes are made before the disk fails: after that they are tried once a second.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for sync in 0.. {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if Instant::now() > deadline {
            break;
        }
        disk.freeze_at(sync % 2);
        while !disk.is_dead() {
            assert!(Instant::now() < deadline + Duration::from_secs(20), "the power did not fail");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        disk.set_trouble(None);
    }
    done.store(true, SeqCst);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let written: u64 = pairs.iter().map(|pair| pair.acknowledged.load(SeqCst)).sum();
    println!("{written} writes, {} reads, {} openings", answered.load(SeqCst), disk.opened());
    assert!(written > 10 && answered.load(SeqCst) > written && disk.opened() > 1);
}

#[derive(Debug, Clone)]
enum Step {
    Set(Vec<(u8, u8)>),
    Delete(Vec<u8>),
    Swap(u8, Option<u8>, u8),
    /// As the failure of a disk has it.
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    let (key, length) = (0..5_u8, 0..4_u8);
    let pair = (key.clone(), length.clone());
    prop_oneof![
        4 => proptest::collection::vec(pair, 1..4).prop_map(Step::Set),
        2 => proptest::collection::vec(key.clone(), 1..3).prop_map(Step::Delete),
        2 => (key, proptest::option::of(length.clone()), length)
            .prop_map(|(key, old, new)| Step::Swap(key, old, new)),
        1 => Just(Step::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_read_finds_the_same_whether_it_is_answered_from_memory_or_not(
        steps in proptest::collection::vec((step(), any::<u8>()), 1..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let result: Result<(), TestCaseError> = runtime.block_on(async {
            let store = new_store();
            let entries = books(&store);
            let mut model = BTreeMap::<u8, Vec<u8>>::new();
            let value = |length: u8| vec![length; usize::from(length)];
            for (step, read) in steps {
                match step {
                    Step::Set(pairs) => {
                        model.extend(pairs.iter().map(|(key, length)| (*key, value(*length))));
                        let pairs = pairs.iter().map(|(key, length)| (key.to_string(), value(*length)));
                        entries.set_many(pairs.collect()).await.unwrap();
                    }
                    Step::Delete(keys) => {
                        model.retain(|key, _| !keys.contains(key));
                        let keys: Vec<_> = keys.iter().map(u8::to_string).collect();
                        entries.delete_many(&keys).await.unwrap();
                    }
                    Step::Swap(key, old, new) => {
                        let (old, present) = (old.map(value), model.get(&key).cloned());
                        let name = key.to_string();
                        let swap = entries.compare_and_swap(&name, old.clone(), value(new)).await.unwrap();
                        if old == present {
                            model.insert(key, value(new));
                            prop_assert_eq!(swap, Swap::Done);
                        } else {
                            prop_assert_eq!(swap, Swap::Changed(present));
                        }
                    }
                    Step::Forget => store.recent().forget(),
                }
                // Some keys are read, and some again.
                for key in (0..5).filter(|key| read & (1 << key) != 0).chain(0..5).take(5) {
                    let found = model.get(&key).cloned();
                    prop_assert_eq!(entries.exists(&key.to_string()).await.unwrap(), found.is_some());
                    prop_assert_eq!(entries.get(&key.to_string()).await.unwrap(), found);
                }
                if read & (1 << 7) != 0 {
                    let keys: Vec<_> = (0..5_u8).map(|key| key.to_string()).collect();
                    let found: Vec<_> = (0..5).map(|key| model.get(&key).cloned()).collect();
                    prop_assert_eq!(entries.get_many(&keys).await.unwrap(), found);
                }
            }
            Ok(())
        });
        result?;
    }
}
