//! The store's promises to a plugin, which hold on every backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::memory_disk::{MemoryDisk, Trouble};
use super::*;
use crate::tenant::{PluginName, Storage};

pub(super) fn tenant(name: &str) -> TenantName {
    TenantName::parse(name).unwrap()
}

pub(super) fn plugin(name: &str) -> Space {
    Space::Plugin(PluginName::parse(name).unwrap())
}

pub(super) fn store_on(disk: &MemoryDisk) -> Store {
    let disk = disk.clone();
    Store::with_backend(move || disk.backend()).unwrap()
}

pub(super) fn new_store() -> Store {
    store_on(&MemoryDisk::default())
}

pub(super) fn books(store: &Store) -> Entries {
    store.entries(&tenant("shop"), &plugin("books"), Arc::default())
}

fn with_quota(store: &Store, bytes: u64, keys: u64) -> (Entries, Arc<StorageQuota>) {
    let quota = Arc::new(StorageQuota::new(Storage { bytes, keys }));
    (store.entries(&tenant("shop"), &plugin("books"), Arc::clone(&quota)), quota)
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Tries until it works: the disk is healthy again, and the store must notice by itself.
pub(super) async fn eventually<R>(what: &str, mut attempt: impl AsyncFnMut() -> Result<R, EntryError>) -> R {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < deadline, "{what}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Gives the writer a job that lasts until it is released, so that later writes gather in the queue.
async fn keep_the_writer_busy(store: &Store) -> (JoinHandle<Result<(), StoreError>>, Sender<()>) {
    let (release, released) = channel();
    let (begin, begun) = oneshot::channel();
    let store = store.clone();
    let blocker = tokio::spawn(async move {
        let work = move |_: &WriteTransaction| {
            begin.send(()).unwrap();
            released.recv().unwrap();
            Ok((Effect::Unchanged, ()))
        };
        store.write(&tenant("other"), 1, work).await
    });
    begun.await.unwrap();
    (blocker, release)
}

#[tokio::test]
async fn a_value_is_there_until_it_is_replaced_or_deleted() {
    let entries = books(&new_store());
    assert_eq!(entries.get("isbn").await.unwrap(), None);
    assert!(!entries.exists("isbn").await.unwrap());
    for value in [&b"first"[..], b"", b"\0\xFF"] {
        entries.set("isbn", value.into()).await.unwrap();
        assert_eq!(entries.get("isbn").await.unwrap().as_deref(), Some(value));
        assert!(entries.exists("isbn").await.unwrap());
    }
    entries.delete("isbn").await.unwrap();
    entries.delete("isbn").await.unwrap();
    assert_eq!(entries.get("isbn").await.unwrap(), None);
}

/// Spaces whose names would run into one another if they were only put side by side.
pub(super) fn look_alikes() -> [(&'static str, Space); 6] {
    [
        ("a", plugin("b")),
        ("a", plugin("b-c")),
        ("a", Space::Shared),
        ("a-b", Space::Shared),
        ("a-b", plugin("c")),
        ("ab", plugin("a")),
    ]
}

#[tokio::test]
async fn tenants_and_plugins_never_see_each_other() {
    let store = new_store();
    let spaces = look_alikes();
    let open = |index: usize| store.entries(&tenant(spaces[index].0), &spaces[index].1, Arc::default());
    for index in 0..spaces.len() {
        for key in ["k", "b", "c-k", "\u{10FFFF}"] {
            open(index).set(key, vec![index as u8]).await.unwrap();
        }
    }
    for index in 0..spaces.len() {
        let page = open(index).list_after(None).await.unwrap();
        assert_eq!(page, Page { keys: strings(&["b", "c-k", "k", "\u{10FFFF}"]), next: None });
        for key in page.keys {
            assert_eq!(open(index).get(&key).await.unwrap(), Some(vec![index as u8]));
        }
    }
}

#[tokio::test]
async fn what_is_too_long_is_refused_with_its_length() {
    let entries = books(&new_store());
    let key = "k".repeat(MAX_KEY_BYTES);
    entries.set(&key, vec![1; MAX_VALUE_BYTES]).await.unwrap();
    assert_eq!(entries.get(&key).await.unwrap().unwrap().len(), MAX_VALUE_BYTES);

    let long = "k".repeat(MAX_KEY_BYTES + 1);
    assert!(matches!(entries.get("").await, Err(EntryError::EmptyKey)));
    assert!(matches!(entries.set(&long, vec![]).await, Err(EntryError::KeyTooLong { bytes: 1025 })));
    assert!(matches!(entries.list_after(Some(&long)).await, Err(EntryError::KeyTooLong { .. })));
    let value = vec![0; MAX_VALUE_BYTES + 1];
    assert!(matches!(entries.set("k", value.clone()).await, Err(EntryError::ValueTooLong { .. })));
    assert!(matches!(
        entries.compare_and_swap("k", None, value).await,
        Err(EntryError::ValueTooLong { bytes: 1_048_577 })
    ));

    let many: Vec<String> = (0..=MAX_BATCH_ENTRIES).map(|index| index.to_string()).collect();
    assert!(matches!(entries.get_many(&many).await, Err(EntryError::TooManyEntries { entries: 1001 })));
    assert!(matches!(entries.delete_many(&many).await, Err(EntryError::TooManyEntries { .. })));
    let large = || (0..9).map(|index| (index.to_string(), vec![0; MAX_VALUE_BYTES])).collect::<Vec<_>>();
    assert!(matches!(entries.set_many(large()).await, Err(EntryError::BatchTooLarge { .. })));
    assert_eq!(entries.list_after(None).await.unwrap().keys, [key]);

    for (key, value) in large() {
        entries.set(&key, value).await.unwrap();
    }
    assert!(matches!(entries.get_many(&many[..9]).await, Err(EntryError::BatchTooLarge { .. })));
    assert_eq!(entries.get_many(&many[..8]).await.unwrap().len(), 8);
}

#[tokio::test]
async fn keys_are_listed_in_byte_order_page_by_page() {
    let entries = books(&new_store());
    assert_eq!(entries.list_after(None).await.unwrap(), Page { keys: vec![], next: None });
    assert_eq!(entries.list_from(0).await.unwrap(), Page { keys: vec![], next: None });
    let mut keys: Vec<String> = (0..2500).map(|index| format!("{:04}", index * 7 % 2500)).collect();
    for some in keys.chunks(500) {
        entries.set_many(some.iter().map(|key| (key.clone(), vec![])).collect()).await.unwrap();
    }
    keys.sort_unstable();

    let mut listed = Vec::new();
    let mut cursor = None;
    loop {
        let page = entries.list_after(cursor.as_deref()).await.unwrap();
        assert!(page.keys.len() <= MAX_PAGE_KEYS);
        listed.extend(page.keys);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(listed, keys);

    for skip in [0, 1, 999, 1499, 1500, 1501, 2499, 2500, u64::MAX] {
        let page = entries.list_from(skip).await.unwrap();
        let rest = keys.get(skip as usize..).unwrap_or_default();
        assert_eq!(page.keys, rest[..rest.len().min(1000)], "from {skip}");
        assert_eq!(page.next, (rest.len() > 1000).then(|| skip + 1000), "from {skip}");
    }
    // The key of a cursor may be gone by now.
    entries.delete("1234").await.unwrap();
    assert_eq!(entries.list_after(Some("1234")).await.unwrap().keys[0], "1235");
    assert_eq!(entries.list_after(Some("2499")).await.unwrap(), Page { keys: vec![], next: None });
}

#[tokio::test]
async fn a_batch_is_made_whole_and_read_in_its_order() {
    let entries = books(&new_store());
    let pairs = [("b", "2"), ("a", "1"), ("b", "3")];
    entries
        .set_many(pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect())
        .await
        .unwrap();
    let found = entries.get_many(&strings(&["b", "none", "a", "b"])).await.unwrap();
    assert_eq!(found, [Some(b"3".to_vec()), None, Some(b"1".to_vec()), Some(b"3".to_vec())]);

    let refused = vec![("c".into(), vec![]), (String::new(), vec![])];
    assert!(matches!(entries.set_many(refused).await, Err(EntryError::EmptyKey)));
    assert!(!entries.exists("c").await.unwrap());
    entries.set_many(vec![]).await.unwrap();
    assert_eq!(entries.get_many(&[]).await.unwrap(), Vec::<Option<Vec<u8>>>::new());
    entries.delete_many(&strings(&["a", "none", "b"])).await.unwrap();
    assert_eq!(entries.list_after(None).await.unwrap().keys, Vec::<String>::new());
}

#[tokio::test]
async fn a_counter_counts_and_says_when_it_cannot() {
    let entries = books(&new_store());
    for (delta, sum) in [(5, 5), (-7, -2), (i64::MAX, i64::MAX - 2), (2, i64::MAX)] {
        assert_eq!(entries.increment("n", delta).await.unwrap(), sum);
    }
    assert!(matches!(entries.increment("n", 1).await, Err(EntryError::Overflow { .. })));
    assert_eq!(entries.get("n").await.unwrap().unwrap(), i64::MAX.to_string().into_bytes());
    assert_eq!(entries.increment_unsigned("n", 1).await.unwrap(), 1 << 63);
    assert!(matches!(entries.increment("n", -1).await, Err(EntryError::NotANumber { .. })));
    assert_eq!(entries.increment_unsigned("n", u64::MAX - (1 << 63)).await.unwrap(), u64::MAX);
    assert!(matches!(entries.increment_unsigned("n", 1).await, Err(EntryError::Overflow { .. })));

    for text in ["", "ten", "1.5", " 1", "99999999999999999999"] {
        entries.set("text", text.into()).await.unwrap();
        assert!(matches!(entries.increment("text", 1).await, Err(EntryError::NotANumber { .. })), "{text}");
        assert_eq!(entries.get("text").await.unwrap().unwrap(), text.as_bytes());
    }
    entries.set("text", "-1".into()).await.unwrap();
    assert!(matches!(entries.increment_unsigned("text", 1).await, Err(EntryError::NotANumber { .. })));
}

#[tokio::test]
async fn a_swap_happens_only_where_nobody_was_quicker() {
    let entries = books(&new_store());
    let value = |text: &str| Some(text.as_bytes().to_vec());
    for (expected, new, swap) in [
        (value("x"), "1", Swap::Changed(None)),
        (None, "1", Swap::Done),
        (None, "2", Swap::Changed(value("1"))),
        (value(""), "2", Swap::Changed(value("1"))),
        (value("1"), "2", Swap::Done),
    ] {
        assert_eq!(entries.compare_and_swap("k", expected, new.into()).await.unwrap(), swap);
    }
    assert_eq!(entries.get("k").await.unwrap(), value("2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_count_by_swapping_none_is_lost() {
    let entries = books(&new_store());
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let entries = entries.clone();
        tasks.spawn(async move {
            let mut expected = entries.get("n").await.unwrap();
            loop {
                let number: u64 =
                    expected.as_deref().map_or(0, |text| std::str::from_utf8(text).unwrap().parse().unwrap());
                let next = (number + 1).to_string().into_bytes();
                match entries.compare_and_swap("n", expected, next).await.unwrap() {
                    Swap::Done => break,
                    Swap::Changed(present) => expected = present,
                }
            }
            entries.increment("m", 1).await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(entries.get("n").await.unwrap().unwrap(), b"50");
    assert_eq!(entries.get("m").await.unwrap().unwrap(), b"50");
}

#[tokio::test]
async fn the_quota_holds_for_all_spaces_of_a_tenant_and_a_refused_write_leaves_nothing() {
    let store = new_store();
    let (entries, quota) = with_quota(&store, 10, 3);
    let shared = store.entries(&tenant("shop"), &Space::Shared, Arc::clone(&quota));
    let usage = async || store.usage(&tenant("shop")).await.unwrap();
    assert_eq!(usage().await, Usage { bytes: 0, keys: 0 });
    entries.set("a", b"1234".into()).await.unwrap();
    shared.set("b", b"123".into()).await.unwrap();
    assert_eq!(usage().await, Usage { bytes: 9, keys: 2 });

    assert!(matches!(
        entries.set("a", b"123456".into()).await,
        Err(EntryError::QuotaBytes { needed: 11, allowed: 10 })
    ));
    let two = vec![("c".into(), vec![]), ("d".into(), vec![])];
    assert!(matches!(shared.set_many(two).await, Err(EntryError::QuotaBytes { .. })));
    assert!(matches!(shared.increment("cc", 1).await, Err(EntryError::QuotaBytes { needed: 12, .. })));
    assert!(matches!(
        shared.compare_and_swap("c", None, vec![0; 9]).await,
        Err(EntryError::QuotaBytes { .. })
    ));
    assert_eq!(usage().await, Usage { bytes: 9, keys: 2 });
    assert_eq!(entries.get("a").await.unwrap().unwrap(), b"1234");

    // The quota changes in place; entries above it stay, and may shrink but not grow.
    quota.set(Storage { bytes: 5, keys: 1 });
    assert!(matches!(entries.set("c", vec![]).await, Err(EntryError::QuotaBytes { .. })));
    entries.set("a", b"123".into()).await.unwrap();
    entries.set("a", b"1".into()).await.unwrap();
    entries.set("a", vec![]).await.unwrap();
    assert!(matches!(entries.set("cccc", vec![]).await, Err(EntryError::QuotaBytes { .. })));
    quota.set(Storage { bytes: 100, keys: 2 });
    assert!(matches!(entries.set("c", vec![]).await, Err(EntryError::QuotaKeys { needed: 3, allowed: 2 })));
    shared.delete("b").await.unwrap();
    entries.set("c", vec![]).await.unwrap();
    assert_eq!(usage().await, Usage { bytes: 2, keys: 2 });
    entries.delete_many(&strings(&["a", "c"])).await.unwrap();
    assert_eq!(usage().await, Usage::default());
}

#[tokio::test]
async fn writes_that_share_a_transaction_stand_and_fall_alone() {
    let disk = MemoryDisk::default();
    let store = store_on(&disk);
    let (entries, _) = with_quota(&store, 1000, 50);
    let (blocker, release) = keep_the_writer_busy(&store).await;
    let syncs = disk.syncs();
    let queued = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for index in 0..200_u32 {
        let (entries, queued) = (entries.clone(), Arc::clone(&queued));
        tasks.spawn(async move {
            queued.fetch_add(1, Ordering::Relaxed);
            match index % 4 {
                0 => entries.set(&format!("key {index}"), vec![1]).await.is_ok(),
                1 => entries.set("large", vec![0; 2000]).await.is_ok(),
                2 => entries.compare_and_swap("none", Some(vec![]), vec![]).await.unwrap() == Swap::Done,
                _ => entries.increment("n", 1).await.is_ok(),
            }
        });
    }
    while queued.load(Ordering::Relaxed) < 200 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    blocker.await.unwrap().unwrap();
    let mut done = 0;
    while let Some(ok) = tasks.join_next().await {
        done += u64::from(ok.unwrap());
    }
    assert_eq!(done, 99, "49 keys beside the counter, and 50 increments");
    assert_eq!(entries.get("n").await.unwrap().unwrap(), b"50");
    assert_eq!(store.usage(&tenant("shop")).await.unwrap().keys, 50);
    assert_eq!(disk.syncs() - syncs, 2, "one transaction, synced in two phases");
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_any_more_does_not_happen() {
    let store = new_store();
    let entries = books(&store);
    let (blocker, release) = keep_the_writer_busy(&store).await;
    let abandoned = entries.clone();
    let task = tokio::spawn(async move { abandoned.set("abandoned", vec![]).await });
    tokio::task::yield_now().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    release.send(()).unwrap();
    blocker.await.unwrap().unwrap();
    entries.set("wanted", vec![]).await.unwrap();
    assert_eq!(entries.list_after(None).await.unwrap().keys, ["wanted"]);
}

#[tokio::test]
async fn what_changes_nothing_costs_no_sync() {
    let disk = MemoryDisk::default();
    let store = store_on(&disk);
    let (entries, _) = with_quota(&store, 10, 10);
    entries.set("k", b"1".into()).await.unwrap();
    let syncs = disk.syncs();
    entries.delete("none").await.unwrap();
    entries.compare_and_swap("k", None, b"2".into()).await.unwrap();
    entries.set("k", vec![0; 100]).await.unwrap_err();
    entries.get("k").await.unwrap();
    assert_eq!(disk.syncs(), syncs);
}

#[tokio::test]
async fn a_full_disk_can_be_read_and_when_it_has_room_again_everything_works() {
    let disk = MemoryDisk::default();
    let store = store_on(&disk);
    let entries = books(&store);
    entries.set("kept", b"1".into()).await.unwrap();
    disk.set_trouble(Some(Trouble::Full));
    let mut failed = None;
    for index in 0..50 {
        if let Err(error) = entries.set(&format!("large {index}"), vec![1; MAX_VALUE_BYTES]).await {
            failed = Some(error);
            break;
        }
    }
    assert!(matches!(failed, Some(EntryError::Store(StoreError::Unavailable { .. }))), "{failed:?}");
    let opened = disk.opened();
    // Reads go on at once, while writes go on failing.
    for _ in 0..20 {
        entries.set("more", vec![1; MAX_VALUE_BYTES]).await.unwrap_err();
        assert_eq!(entries.get("kept").await.unwrap().unwrap(), b"1");
    }
    assert!(disk.opened() <= opened + 2, "opened {} times", disk.opened() - opened);

    disk.set_trouble(None);
    eventually("a write after the disk has room", async || entries.set("more", b"2".into()).await).await;
    assert_eq!(entries.get("more").await.unwrap().unwrap(), b"2");
    assert_eq!(entries.get("kept").await.unwrap().unwrap(), b"1");
}

#[tokio::test]
async fn a_dead_disk_makes_the_store_unavailable_and_a_revived_one_brings_it_back() {
    let disk = MemoryDisk::default();
    let store = store_on(&disk);
    let entries = books(&store);
    entries.set("kept", b"1".into()).await.unwrap();
    disk.set_trouble(Some(Trouble::Dead));
    assert!(disk.is_dead());
    let opened = disk.opened();
    let error = entries.set("k", vec![]).await.unwrap_err();
    assert!(error.to_string().contains("no power"), "{error}");
    for _ in 0..100 {
        assert!(matches!(entries.get("kept").await, Err(EntryError::Store(StoreError::Unavailable { .. }))));
        assert!(matches!(
            entries.set("k", vec![]).await,
            Err(EntryError::Store(StoreError::Unavailable { .. }))
        ));
    }
    assert!(disk.opened() - opened < 20, "opened {} times", disk.opened() - opened);
    disk.set_trouble(None);
    assert_eq!(eventually("a read", async || entries.get("kept").await).await.unwrap(), b"1");
    eventually("a write", async || entries.set("k", vec![]).await).await;
}

#[tokio::test]
async fn work_that_panics_is_an_error_for_its_transaction_and_the_writer_goes_on() {
    let store = new_store();
    let entries = books(&store);
    entries.set("kept", b"1".into()).await.unwrap();
    let failed = store
        .write(&tenant("shop"), 1, |transaction| {
            let table: redb::TableDefinition<'_, u8, u8> = redb::TableDefinition::new("test");
            transaction.open_table(table)?.insert(1, 1)?;
            if std::hint::black_box(true) {
                panic!("as a test");
            }
            Ok((Effect::Changed, ()))
        })
        .await;
    assert!(matches!(failed, Err(StoreError::Unavailable { .. })));
    assert_eq!(eventually("a read", async || entries.get("kept").await).await.unwrap(), b"1");
    eventually("a write", async || entries.set("k", vec![]).await).await;
}

#[tokio::test]
async fn a_store_in_a_folder_is_for_one_process_and_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("deep/state");
    let store = Store::open(&state).unwrap();
    books(&store).set("k", b"1".into()).await.unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::metadata(state.join(FILE_NAME)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let second = Store::open(&state).unwrap_err();
    assert!(matches!(second, StoreError::Locked { .. }), "{second}");
    assert!(second.to_string().contains("store.redb` is in use by another process"), "{second}");

    drop(store);
    let store = Store::open(&state).unwrap();
    assert_eq!(books(&store).get("k").await.unwrap().unwrap(), b"1");
}

#[test]
fn a_file_that_is_no_store_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    for damage in [vec![], vec![b'x'; 100], vec![b'x'; 100_000], b"redb\x1A\x0A\xA9\x0D\x0A".repeat(1000)] {
        std::fs::write(&path, &damage).unwrap();
        let error = Store::open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("store.redb` cannot be read"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), damage);
    }
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
}

#[test]
fn a_store_cut_short_or_overwritten_is_an_error_never_a_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    {
        let store = Store::open(folder.path()).unwrap();
        let pairs = (0..500).map(|index| (format!("key {index}"), vec![b'v'; 100])).collect();
        runtime.block_on(books(&store).set_many(pairs)).unwrap();
    }
    let whole = std::fs::read(&path).unwrap();
    let mut broken = Vec::new();
    for at in (0..whole.len().min(200_000)).step_by(4096) {
        broken.push(whole[..at + 1].to_vec());
        let mut overwritten = whole.clone();
        let end = (at + 4096).min(whole.len());
        overwritten[at..end].fill(0xEE);
        broken.push(overwritten);
    }
    for bytes in broken {
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(store) = Store::open(folder.path()) {
            // The damage shows or not, depending on where it is; but it is never a panic.
            let _ = runtime.block_on(books(&store).list_after(None));
            let _ = runtime.block_on(books(&store).get_many(&strings(&["key 1", "key 250", "key 499"])));
            let _ = runtime.block_on(books(&store).set("k", vec![0; 5000]));
        }
    }
}

#[derive(Debug, Clone)]
enum Action {
    Set(u8, u8),
    Delete(u8),
    Swap(u8, Option<u8>, u8),
    Batch(Vec<(u8, u8)>),
}

fn action() -> impl Strategy<Value = Action> {
    let key = 0..6_u8;
    prop_oneof![
        (key.clone(), 0..9_u8).prop_map(|(key, length)| Action::Set(key, length)),
        key.clone().prop_map(Action::Delete),
        (key.clone(), proptest::option::of(0..9_u8), 0..9_u8)
            .prop_map(|(key, old, new)| Action::Swap(key, old, new)),
        proptest::collection::vec((key, 0..9_u8), 0..5).prop_map(Action::Batch),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_store_does_what_a_map_does_within_its_quota(
        actions in proptest::collection::vec(action(), 1..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let result: Result<(), TestCaseError> = runtime.block_on(async {
            const BYTES: u64 = 24;
            const KEYS: u64 = 4;
            let store = new_store();
            let (entries, _) = with_quota(&store, BYTES, KEYS);
            let mut model = std::collections::BTreeMap::<String, Vec<u8>>::new();
            let name = |key: &u8| format!("k{key}");
            let value = |length: u8| vec![length; usize::from(length)];
            for action in actions {
                let mut next = model.clone();
                let done = match &action {
                    Action::Set(key, length) => {
                        next.insert(name(key), value(*length));
                        entries.set(&name(key), value(*length)).await.is_ok()
                    }
                    Action::Delete(key) => {
                        next.remove(&name(key));
                        entries.delete(&name(key)).await.is_ok()
                    }
                    Action::Swap(key, old, new) => {
                        let fits = model.get(&name(key)).cloned() == old.map(value);
                        if fits {
                            next.insert(name(key), value(*new));
                        }
                        let swap = entries.compare_and_swap(&name(key), old.map(value), value(*new)).await;
                        if let Ok(swap) = &swap {
                            prop_assert_eq!(fits, *swap == Swap::Done);
                        }
                        swap.is_ok()
                    }
                    Action::Batch(pairs) => {
                        next.extend(pairs.iter().map(|(key, length)| (name(key), value(*length))));
                        let pairs = pairs.iter().map(|(key, length)| (name(key), value(*length)));
                        entries.set_many(pairs.collect()).await.is_ok()
                    }
                };
                let used = |map: &std::collections::BTreeMap<String, Vec<u8>>| Usage {
                    bytes: map.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum(),
                    keys: map.len() as u64,
                };
                let (before, after) = (used(&model), used(&next));
                let fits = (after.bytes <= BYTES || after.bytes <= before.bytes)
                    && (after.keys <= KEYS || after.keys <= before.keys);
                prop_assert_eq!(done, fits, "{:?}", action);
                if fits {
                    model = next;
                }
                prop_assert_eq!(store.usage(&tenant("shop")).await.unwrap(), used(&model));
            }
            let listed = entries.list_after(None).await.unwrap().keys;
            prop_assert_eq!(listed, model.keys().cloned().collect::<Vec<_>>());
            for (key, value) in model {
                prop_assert_eq!(entries.get(&key).await.unwrap(), Some(value));
            }
            Ok(())
        });
        result?;
    }
}
