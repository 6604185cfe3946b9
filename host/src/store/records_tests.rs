//! The promises of the records: a change is kept whole or not at all, also over a crash; lists have one order; nobody
//! else opens the file.

use super::memory_disk::{MemoryDisk, Trouble};
use super::*;

fn tenant() -> &'static TenantName {
    static SHOP: std::sync::LazyLock<TenantName> =
        std::sync::LazyLock::new(|| TenantName::parse("shop").unwrap());
    &SHOP
}

fn on(disk: &MemoryDisk) -> Result<Records, StoreError> {
    let disk = disk.clone();
    Records::with_backend(move || disk.backend())
}

/// Stages these records in one change.
async fn put(records: &Records, put: &[(Table, &'static str, &'static str)]) -> Result<(), StoreError> {
    let put = put.to_vec();
    let change = records.change(tenant(), move |edit| {
        put.into_iter().for_each(|(table, key, record)| edit.put(table, key, record));
        Ok::<_, Stop<()>>(())
    });
    change.await.map(Result::unwrap)
}

async fn get(records: &Records, table: Table, key: &'static str) -> Option<String> {
    let found = records.read(move |view| view.get(table, key)).await.unwrap();
    found.map(|bytes| String::from_utf8(bytes).unwrap())
}

#[tokio::test]
async fn a_change_is_kept_whole_and_a_refused_one_leaves_nothing() {
    let disk = MemoryDisk::default();
    let records = on(&disk).unwrap();
    assert_eq!(get(&records, Table::Tenants, "shop").await, None);
    put(&records, &[(Table::Tenants, "shop", "1"), (Table::Audit, "1", "made")]).await.unwrap();
    let refused = records.change(tenant(), |edit| {
        let before = edit.get(Table::Tenants, "shop")?;
        edit.put(Table::Tenants, "shop", "2");
        edit.remove(Table::Audit, "1");
        // What is staged is not seen: a change reads the state before it.
        assert_eq!(edit.get(Table::Tenants, "shop")?, before);
        Err::<(), _>(Stop::Refused("no"))
    });
    assert_eq!(refused.await.unwrap(), Err("no"));
    drop(records);
    let records = on(&disk).unwrap();
    assert_eq!(get(&records, Table::Tenants, "shop").await.as_deref(), Some("1"));
    assert_eq!(get(&records, Table::Audit, "1").await.as_deref(), Some("made"));
}

#[tokio::test]
async fn a_list_has_the_records_of_its_prefix_in_order_page_by_page() {
    let records = on(&MemoryDisk::default()).unwrap();
    let all = ["a\u{0}1", "ab\u{0}1", "b\u{0}1", "b\u{0}2", "b\u{0}3", "b\u{0}\u{10fffe}", "c\u{0}1"];
    put(&records, &all.map(|key| (Table::Rollouts, key, "x"))).await.unwrap();
    let list = |after: Option<&'static str>, order, limit| {
        let records = records.clone();
        async move {
            let range = move || Range { prefix: "b\u{0}", after, order, limit };
            let found = records.read(move |view| view.list(Table::Rollouts, range())).await.unwrap();
            found.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(None, Order::Ascending, 9).await, ["1", "2", "3", "\u{10fffe}"]);
    assert_eq!(list(None, Order::Descending, 2).await, ["\u{10fffe}", "3"]);
    assert_eq!(list(Some("3"), Order::Descending, 9).await, ["2", "1"]);
    assert_eq!(list(Some("1"), Order::Ascending, 1).await, ["2"]);
    assert_eq!(list(Some("9"), Order::Descending, 0).await, [""; 0]);
}

#[tokio::test]
async fn changes_that_race_see_each_other_in_turn() {
    let records = on(&MemoryDisk::default()).unwrap();
    let tasks = (0..100).map(|_| {
        let records = records.clone();
        tokio::spawn(async move {
            let add = |edit: &mut Edit<'_>| {
                let now = edit.get(Table::Tokens, "n")?.map_or(0, |n| n.len());
                edit.put(Table::Tokens, "n", vec![b'.'; now + 1]);
                Ok::<_, Stop<()>>(())
            };
            records.change(tenant(), add).await.unwrap().unwrap();
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(get(&records, Table::Tokens, "n").await.unwrap().len(), 100);
}

#[tokio::test]
async fn the_power_may_fail_at_any_sync_of_the_records() {
    // A change moves the mark of two tables at once, so that half a change can be seen.
    const MARKS: [&str; 6] = ["0", "1", "2", "3", "4", "5"];
    let new = MemoryDisk::default();
    drop(on(&new).unwrap());
    let empty = new.survivors(|| false);
    let mut sync = 0;
    loop {
        let disk = MemoryDisk::holding(empty.clone());
        disk.freeze_at(sync);
        let mut acknowledged = None;
        if let Ok(records) = on(&disk) {
            for mark in MARKS {
                let change = [(Table::Revisions, "mark", mark), (Table::Rollouts, "mark", mark)];
                if put(&records, &change).await.is_err() {
                    break;
                }
                acknowledged = Some(mark);
            }
        }
        for seed in 0..8_u64 {
            let mut state = (sync + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed;
            let survivors = disk.survivors(|| match seed {
                0 => false,
                1 => true,
                _ => {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state.count_ones() % 2 == 0
                }
            });
            let records = on(&MemoryDisk::holding(survivors)).unwrap();
            let found = get(&records, Table::Revisions, "mark").await;
            assert_eq!(found, get(&records, Table::Rollouts, "mark").await, "sync {sync}: half a change");
            let next = acknowledged.map_or(0, |mark| mark.parse::<usize>().unwrap() + 1);
            let may_be = [acknowledged, MARKS.get(next).copied()];
            assert!(may_be.contains(&found.as_deref()), "sync {sync}: {found:?} is none of {may_be:?}");
        }
        if !disk.is_dead() {
            break;
        }
        sync += 1;
    }
    assert!(sync > 12, "only {sync} syncs");
}

#[tokio::test]
async fn a_full_disk_refuses_changes_and_goes_on_answering_and_works_again_with_room() {
    let disk = MemoryDisk::default();
    let records = on(&disk).unwrap();
    put(&records, &[(Table::Tenants, "shop", "1")]).await.unwrap();
    disk.set_trouble(Some(Trouble::Full));
    let large = vec![7; 1 << 20];
    let change = records.change(tenant(), move |edit| {
        edit.put(Table::Tenants, "shop", large);
        Ok::<_, Stop<()>>(())
    });
    assert!(matches!(change.await, Err(StoreError::Unavailable { .. })));
    assert_eq!(get(&records, Table::Tenants, "shop").await.as_deref(), Some("1"));
    disk.set_trouble(None);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while put(&records, &[(Table::Tenants, "shop", "2")]).await.is_err() {
        assert!(std::time::Instant::now() < deadline, "it is not tried again");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(get(&records, Table::Tenants, "shop").await.as_deref(), Some("2"));
}

#[test]
fn one_process_opens_the_file_and_a_later_form_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let records = Records::open(folder.path()).unwrap();
    assert!(matches!(Records::open(folder.path()), Err(StoreError::Locked { .. })));
    drop(records);
    let later = redb::Database::open(folder.path().join("control.redb")).unwrap();
    let transaction = later.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).unwrap().insert("schema", 2).unwrap();
    transaction.commit().unwrap();
    drop(later);
    let refused = Records::open(folder.path()).unwrap_err();
    assert!(refused.to_string().contains("the form 2, and this version of jackfield knows 1"), "{refused}");
}
