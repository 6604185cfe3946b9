//! Crash tests: the power fails at every sync in turn. Acknowledged changes are there and whole; no other change is
//! there in part.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::memory_disk::MemoryDisk;
use super::*;
use crate::tenant::PluginName;

/// Changes that callers make at the same time, each on keys of its own.
type Round = Vec<(&'static str, Change)>;

#[derive(Clone)]
enum Change {
    /// One value under several keys, in one call.
    Set(Vec<&'static str>, Vec<u8>),
    Delete(Vec<&'static str>),
    Increment(&'static str, i64),
    Swap(&'static str, Option<Vec<u8>>, Vec<u8>),
}

/// (tenant, key) → the values that the key may have.
type Allowed = BTreeMap<(&'static str, &'static str), Vec<Option<Vec<u8>>>>;

fn workload() -> Vec<Round> {
    use Change::{Delete, Increment, Set, Swap};
    let large = vec![7; 20_000];
    vec![
        vec![("one", Set(vec!["a"], b"1".into())), ("two", Set(vec!["a", "b", "c"], large.clone()))],
        vec![("one", Increment("n", 5)), ("one", Swap("s", None, b"x".into())), ("two", Delete(vec!["b"]))],
        vec![("one", Set(vec!["a", "d", "e"], b"22".into())), ("two", Set(vec!["a"], b"short".into()))],
        vec![("one", Increment("n", -7)), ("one", Swap("s", Some(b"x".into()), large.clone()))],
        vec![
            ("one", Delete(vec!["a", "d", "none"])),
            ("two", Set((0..3).map(|i| ["x", "y", "z"][i]).collect(), large)),
        ],
        vec![("two", Delete(vec!["x", "y", "z", "a", "c"])), ("one", Increment("n", 1))],
    ]
}

impl Change {
    async fn make(self, entries: Entries) -> Result<(), EntryError> {
        match self {
            Self::Set(keys, value) => {
                let pairs = keys.into_iter().map(|key| (key.to_owned(), value.clone())).collect();
                entries.set_many(pairs).await
            }
            Self::Delete(keys) => {
                entries.delete_many(&keys.into_iter().map(str::to_owned).collect::<Vec<_>>()).await
            }
            Self::Increment(key, delta) => entries.increment(key, delta).await.map(drop),
            Self::Swap(key, expected, new) => {
                assert_eq!(entries.compare_and_swap(key, expected, new).await?, Swap::Done);
                Ok(())
            }
        }
    }

    /// Each key's value after the change.
    fn outcome(
        &self,
        before: &impl Fn(&'static str) -> Option<Vec<u8>>,
    ) -> Vec<(&'static str, Option<Vec<u8>>)> {
        match self {
            Self::Set(keys, value) => keys.iter().map(|key| (*key, Some(value.clone()))).collect(),
            Self::Delete(keys) => keys.iter().map(|key| (*key, None)).collect(),
            Self::Increment(key, delta) => {
                let number: i64 =
                    before(key).map_or(0, |text| String::from_utf8(text).unwrap().parse().unwrap());
                vec![(*key, Some((number + delta).to_string().into_bytes()))]
            }
            Self::Swap(key, _, new) => vec![(*key, Some(new.clone()))],
        }
    }
}

fn tenant(name: &str) -> TenantName {
    TenantName::parse(name).unwrap()
}

fn entries(store: &Store, name: &str) -> Entries {
    let space = Space::Plugin(PluginName::parse("books").unwrap());
    store.entries(&tenant(name), &space, Arc::new(StorageQuota::default()))
}

/// Makes the changes until one fails, and returns the allowed states afterwards: a change that was not acknowledged
/// is there whole or not at all.
async fn run_until_the_power_fails(disk: &MemoryDisk) -> (Allowed, Vec<(&'static str, Vec<&'static str>)>) {
    let mut allowed = Allowed::new();
    let mut in_doubt = Vec::new();
    let opened = disk.clone();
    let Ok(store) = Store::with_backend(move || opened.backend()) else { return (allowed, in_doubt) };
    for round in workload() {
        let mut tasks = JoinSet::new();
        for (name, change) in round {
            let entries = entries(&store, name);
            tasks.spawn(async move { (name, change.clone(), change.make(entries).await) });
        }
        while let Some(done) = tasks.join_next().await {
            let (name, change, result) = done.unwrap();
            let before = |key| allowed.get(&(name, key)).and_then(|values: &Vec<_>| values[0].clone());
            let outcome = change.outcome(&before);
            if result.is_err() {
                in_doubt.push((name, outcome.iter().map(|(key, _)| *key).collect()));
            }
            for (key, value) in outcome {
                let values = allowed.entry((name, key)).or_insert_with(|| vec![None]);
                if result.is_ok() {
                    values.clear();
                }
                values.push(value);
            }
        }
        if !in_doubt.is_empty() {
            break;
        }
    }
    (allowed, in_doubt)
}

async fn check(
    bytes: Vec<u8>,
    allowed: &Allowed,
    in_doubt: &[(&'static str, Vec<&'static str>)],
    when: &str,
) {
    let disk = MemoryDisk::holding(bytes);
    let store = Store::with_backend(move || disk.backend()).unwrap_or_else(|error| panic!("{when}: {error}"));
    let mut found = BTreeMap::new();
    for name in ["one", "two"] {
        let entries = entries(&store, name);
        let mut usage = Usage::default();
        for key in entries.list_after(None).await.unwrap().keys {
            let value = entries.get(&key).await.unwrap().expect("a listed key has a value");
            usage.keys += 1;
            usage.bytes += (key.len() + value.len()) as u64;
            found.insert((name, key), value);
        }
        assert_eq!(store.usage(&tenant(name)).await.unwrap(), usage, "{when}: the usage of {name}");
    }
    for ((name, key), values) in allowed {
        let value = found.remove(&(*name, (*key).to_owned()));
        assert!(values.contains(&value), "{when}: {name} {key} holds {value:?}, expected one of {values:?}");
    }
    assert!(found.is_empty(), "{when}: nobody wrote {found:?}");
    for (name, keys) in in_doubt {
        let mut made = Vec::new();
        for key in keys {
            let value = entries(&store, name).get(key).await.unwrap();
            // A delete of a missing key leaves no mark.
            let [before, after] = &allowed[&(*name, *key)][..] else {
                panic!("{when}: {key} is not in doubt")
            };
            if before != after {
                made.push(value == *after);
            }
        }
        assert!(
            made.windows(2).all(|pair| pair[0] == pair[1]),
            "{when}: half of a change of {name}: {keys:?}"
        );
    }
    // The store works like any other.
    entries(&store, "one").set("after", b"the crash".into()).await.unwrap();
    assert_eq!(entries(&store, "one").get("after").await.unwrap().as_deref(), Some(&b"the crash"[..]));
}

#[tokio::test]
async fn the_power_may_fail_at_any_sync() {
    // The creation of a database is the folder's part; here the database exists.
    let new = MemoryDisk::default();
    let opened = new.clone();
    drop(Store::with_backend(move || opened.backend()).unwrap());
    let empty = new.survivors(|| false);

    let whole = MemoryDisk::holding(empty.clone());
    let (_, in_doubt) = run_until_the_power_fails(&whole).await;
    assert!(in_doubt.is_empty());
    let syncs = whole.syncs();
    assert!(syncs > 12, "only {syncs} syncs");

    let mut in_doubt_at_all = 0;
    for sync in 0..syncs {
        let disk = MemoryDisk::holding(empty.clone());
        disk.freeze_at(sync);
        let (allowed, in_doubt) = run_until_the_power_fails(&disk).await;
        in_doubt_at_all += in_doubt.len();
        check(
            disk.survivors(|| false),
            &allowed,
            &in_doubt,
            &format!("sync {sync}, nothing written survived"),
        )
        .await;
        check(disk.survivors(|| true), &allowed, &in_doubt, &format!("sync {sync}, all written survived"))
            .await;
        for seed in 1..6_u64 {
            let mut state = (sync + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed;
            let coin = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.count_ones() % 2 == 0
            };
            check(
                disk.survivors(coin),
                &allowed,
                &in_doubt,
                &format!("sync {sync}, some of it survived, seed {seed}"),
            )
            .await;
        }
    }
    assert!(in_doubt_at_all > 0, "the power never failed under a change");
}
