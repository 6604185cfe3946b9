//! Memories that grow in a call, and begin the next with their first size again.

use super::*;

#[test]
fn a_memory_that_has_grown_begins_with_its_first_size_again() {
    let Some(_) = tracker() else { return };
    // 17 pages, 16 of room: grows by 7, and tells the size before, the size after, and whether all of the new is zeros.
    let grow = "(local.set $before (memory.grow (i32.const 7)))
        (local.set $at (i32.shl (local.get $before) (i32.const 16)))
        (loop $words
            (local.set $found (i64.or (local.get $found) (i64.load (local.get $at))))
            (i64.store (local.get $at) (i64.const -1))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $words (i32.lt_u (local.get $at) (i32.shl (memory.size) (i32.const 16)))))
        (i64.add (i64.extend_i32_u (i32.add (i32.mul (i32.const 100) (local.get $before)) (memory.size)))
            (i64.mul (i64.const 10000) (i64.extend_i32_u (i64.ne (local.get $found) (i64.const 0))))))";
    let run = "(export \"run\") (result i64)";
    let text =
        stepping(&[]).replace(run, &format!("{run} (local $before i32) (local $at i32) (local $found i64)"));
    let component = component(&text.replace("  (i64.const 0))", grow)).unwrap();
    let plan = plan(&component);
    block_on(async {
        let new = Guest::new(&component, &plan).await.state().await;
        let mut guest = Guest::new(&component, &plan).await;
        for call in 0..20 {
            assert_eq!(guest.run().await.unwrap(), 1724, "{call}");
            assert!(guest.restore(&plan).await, "{call}");
            assert!(guest.state().await == new, "{call}");
        }
        // Twice in one call's life: what it got first stays.
        assert_eq!(guest.run().await.unwrap(), 1724);
        assert_eq!(guest.run().await.unwrap(), 2431);
        // Beyond its room the memory itself has grown, for good.
        assert_eq!(guest.run().await.unwrap(), 3138);
        assert!(!guest.restore(&plan).await);
    });
}

#[test]
fn a_growth_is_refused_as_it_would_be_without_room() {
    let Some(_) = tracker() else { return };
    for (pages, limit_mib, grown) in [
        ("65536", 128, u32::MAX),
        ("-1", 128, u32::MAX),
        ("0", 128, 17),
        ("15", 2, 17),
        // The limit is of 32 pages.
        ("16", 2, u32::MAX),
    ] {
        let grow = format!("(i64.extend_i32_u (memory.grow (i32.const {pages}))))");
        let component = component(&stepping(&[]).replace("(i64.const 0))", &grow)).unwrap();
        let plan = plan(&component);
        block_on(async {
            let mut call = call(Vec::new());
            call.limits = Arc::new(Limits { memory: limit_mib << 20, ..Limits::default() });
            let mut guest = Guest::in_call(&component, &plan, call).await;
            assert_eq!(guest.run().await.unwrap(), u64::from(grown), "{pages} within {limit_mib} MiB");
        });
    }
}

#[test]
fn plugins_with_other_limits_share_what_their_component_begins_with() {
    let Some(_) = tracker() else { return };
    let component = component(&growing(3, 17)).unwrap();
    let plan = plan(&component);
    block_on(async {
        for limit_bytes in [128 << 20, 24 << 16, 17 << 16] {
            let mut call = call(Vec::new());
            call.limits = Arc::new(Limits { memory: limit_bytes, ..Limits::default() });
            let mut guest = Guest::in_call(&component, &plan, call).await;
            guest.run().await.unwrap();
            assert!(guest.restore(&plan).await, "{limit_bytes}");
        }
    });
}

#[test]
fn room_ends_where_the_memory_may_not_grow_further() {
    let Some(_) = tracker() else { return };
    for (pages, grown) in [(7, 17), (8, u32::MAX)] {
        let grow = format!("(i64.extend_i32_u (memory.grow (i32.const {pages}))))");
        let text =
            stepping(&[]).replace("(memory (export \"memory\") 17)", "(memory (export \"memory\") 17 24)");
        let component = component(&text.replace("(i64.const 0))", &grow)).unwrap();
        let plan = plan(&component);
        block_on(async {
            let mut guest = Guest::new(&component, &plan).await;
            for _ in 0..2 {
                assert_eq!(guest.run().await.unwrap(), u64::from(grown), "{pages}");
                // Within its room the memory itself has not grown.
                assert!(guest.restore(&plan).await, "{pages}");
            }
        });
    }
}
