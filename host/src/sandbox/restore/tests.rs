//! An instance that was put back cannot be told from a new one, whatever ran in it; and a component that could be told
//! is not put back.

mod room;

use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::{Component as WasmComponent, Instance};

use super::*;
use crate::capability::files::{MountName, Mounts, OpenFiles};
use crate::cpu::{CpuAccount, Habit, Scheduler};
use crate::limits::Limits;
use crate::observe::PluginLog;
use crate::sandbox::engine::Sandbox;
use crate::sandbox::pool::RESTORED_MEMORY_BYTES;
use crate::sandbox::rewrite::rewrite;
use crate::sandbox::state::{CallState, PerCall};
use crate::sandbox::{Abilities, Call, Context, PoolSettings, intake};

/// The pages of the test's memory: more than a scan returns runs of.
const PAGES: usize = 17 * 16;

fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Arc<Sandbox>> = OnceLock::new();
    let settings = PoolSettings { slots: 4, idle: 0, memory_bytes: 80 << 20 };
    SANDBOX.get_or_init(|| Sandbox::new(settings).unwrap())
}

fn tracker() -> Option<&'static WriteTracker> {
    let tracker = WriteTracker::of_this_process();
    if tracker.is_none() {
        eprintln!("SKIPPED: this system does not tell which pages were written (userfaultfd, PAGEMAP_SCAN)");
    }
    tracker
}

/// A call of a plugin with these mounts.
fn call(mounts: Vec<(MountName, PathBuf)>) -> PerCall {
    static SCHEDULER: OnceLock<Scheduler> = OnceLock::new();
    let scheduler =
        SCHEDULER.get_or_init(|| Scheduler::start(1, || {}, || ControlFlow::Continue(())).unwrap());
    let account = CpuAccount::new(NonZeroU32::MIN, None);
    PerCall::new(Call {
        limits: Arc::new(Limits::default()),
        deadline: Instant::now(),
        context: Arc::new(Context {
            request_id: "r-1".into(),
            client: None,
            scheme: "http",
            authority: "localhost".into(),
            route: "/".into(),
            captures: Vec::new(),
        }),
        abilities: Arc::new(Abilities {
            plugin: "plugin".into(),
            config: Default::default(),
            secrets: Default::default(),
            keyvalue: None,
            limiter: None,
            http: None,
            mounts: Mounts::new(mounts, &OpenFiles::new(8).share()),
        }),
        log: PluginLog::capture(),
        cpu: scheduler.task(&account, &Habit::default(), Duration::from_secs(60)),
    })
}

/// A component of this text, as it is compiled. None if its instances cannot be put back.
fn component(text: &str) -> Option<WasmComponent> {
    let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    intake::check(&bytes).unwrap();
    let rewritten = rewrite(&bytes, true, true).unwrap();
    intake::check(&rewritten).unwrap();
    let component = WasmComponent::new(&sandbox().engine, &rewritten).unwrap();
    Exports::of(&component).map(|_| component)
}

/// The plan of a component of which an instance has ended a call already.
fn plan(component: &WasmComponent) -> RestorePlan {
    let plan = RestorePlan::new(Exports::of(component).unwrap());
    plan.promise();
    plan
}

/// An instance that its calls can be made in.
struct Guest {
    // Dropped first, as in a call.
    restorable: Option<Restorable>,
    store: Store<CallState>,
    instance: Instance,
}

impl Guest {
    async fn new(component: &WasmComponent, plan: &RestorePlan) -> Self {
        Self::in_call(component, plan, call(Vec::new())).await
    }

    async fn in_call(component: &WasmComponent, plan: &RestorePlan, call: PerCall) -> Self {
        let mut store = CallState::store(&sandbox().engine, call);
        store.set_epoch_deadline(1);
        let before = sandbox().linker.instantiate_pre(component).unwrap();
        let instance = before.instantiate_async(&mut store).await.unwrap();
        let restorable = Restorable::begin(plan, instance, &mut store, &sandbox().images).await.unwrap();
        Self { restorable, store, instance }
    }

    async fn run(&mut self) -> wasmtime::Result<u64> {
        let run = self.instance.get_typed_func::<(), (u64,)>(&mut self.store, "run").unwrap();
        Ok(run.call_async(&mut self.store, ()).await?.0)
    }

    async fn restore(&mut self, plan: &RestorePlan) -> bool {
        let (Some(restorable), Some(tracker)) = (&mut self.restorable, tracker()) else { return false };
        let restored = restorable.restore(&mut self.store, plan, tracker).await;
        self.store.data_mut().wipe();
        self.store.data_mut().begin(call(Vec::new()));
        restored
    }

    /// All that a guest can see of itself: its memory, and its globals.
    async fn state(&mut self) -> (Vec<u8>, u64) {
        let globals = self.instance.get_typed_func::<(), (u64,)>(&mut self.store, "globals").unwrap();
        let globals = globals.call_async(&mut self.store, ()).await.unwrap().0;
        let memory = self.restorable.as_ref().unwrap().memory;
        (memory.content(&self.store).to_vec(), globals)
    }
}

/// One thing that a guest does to itself.
#[derive(Debug, Clone)]
enum Step {
    Store { at: usize, value: u64 },
    Fill { at: usize, bytes: usize, value: u8 },
    Copy { to: usize, from: usize, bytes: usize },
    Init { at: usize },
    Global { index: usize, value: u32 },
    Read { at: usize },
}

const MEMORY_BYTES: usize = PAGES * 4096;
const KINDS: [&str; 5] = ["i32", "i64", "f32", "f64", "v128"];

impl Step {
    fn code(&self) -> String {
        match self {
            Self::Store { at, value } => {
                format!("(i64.store (i32.const {at}) (i64.const {}))", value.cast_signed())
            }
            Self::Fill { at, bytes, value } => {
                format!("(memory.fill (i32.const {at}) (i32.const {value}) (i32.const {bytes}))")
            }
            Self::Copy { to, from, bytes } => {
                format!("(memory.copy (i32.const {to}) (i32.const {from}) (i32.const {bytes}))")
            }
            Self::Init { at } => format!("(memory.init $d (i32.const {at}) (i32.const 1) (i32.const 3))"),
            Self::Global { index, value } => {
                let value = match KINDS[*index] {
                    "v128" => format!("(v128.const i32x4 {value} 1 2 {value})"),
                    kind => format!("({kind}.const {value})"),
                };
                format!("(global.set {index} {value})")
            }
            Self::Read { at } => format!("(drop (i32.load8_u (i32.const {at})))"),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0..MEMORY_BYTES - 8;
    let run = (at.clone(), 0..3 * 4096_usize).prop_map(|(at, bytes)| (at, bytes.min(MEMORY_BYTES - at)));
    prop_oneof![
        4 => (at.clone(), any::<u64>()).prop_map(|(at, value)| Step::Store { at, value }),
        1 => (run.clone(), any::<u8>()).prop_map(|((at, bytes), value)| Step::Fill { at, bytes, value }),
        1 => (run, at.clone()).prop_map(|((to, bytes), from)| {
            Step::Copy { to, from, bytes: bytes.min(MEMORY_BYTES - from) }
        }),
        1 => at.clone().prop_map(|at| Step::Init { at }),
        2 => (0..KINDS.len(), any::<u32>()).prop_map(|(index, value)| Step::Global { index, value }),
        1 => at.prop_map(|at| Step::Read { at }),
    ]
}

/// A component whose `run` takes these steps. It begins with data in three places, and a start function that writes.
fn stepping(steps: &[Step]) -> String {
    let steps: String = steps.iter().map(Step::code).collect();
    format!(
        r#"(component
            (core module $m
                (memory (export "memory") {pages})
                (global (mut i32) (i32.const 7))
                (global (mut i64) (i64.const -1))
                (global (mut f32) (f32.const 1.5))
                (global (mut f64) (f64.const -0.25))
                (global (mut v128) (v128.const i32x4 1 2 3 4))
                (global $fixed i32 (i32.const 3))
                (data (i32.const 100) "the first bytes")
                (data (i32.const 70000) "some in the middle")
                (data (i32.const {end}) "the end")
                (data $d "later")
                (func $start
                    (i32.store (i32.const 20000) (i32.add (i32.load (i32.const 20000)) (i32.const 1)))
                    (global.set 0 (i32.const 8)))
                (start $start)
                (func (export "run") (result i64) {steps} (i64.const 0))
                (func (export "globals") (result i64)
                    (i64.add (i64.extend_i32_u (global.get 0)) (i64.mul (i64.const 31) (global.get 1)))
                    (i64.add (i64.extend_i32_u (i32.reinterpret_f32 (global.get 2))))
                    (i64.add (i64.reinterpret_f64 (global.get 3)))
                    (i64.add (i64x2.extract_lane 0 (global.get 4)))
                    (i64.add (i64x2.extract_lane 1 (global.get 4)))))
            (core instance $i (instantiate $m))
            (func (export "run") (result u64) (canon lift (core func $i "run")))
            (func (export "globals") (result u64) (canon lift (core func $i "globals"))))"#,
        pages = PAGES / 16,
        end = MEMORY_BYTES - 7,
    )
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_is_left_of_any_call(
        steps in proptest::collection::vec(step(), 0..120),
        // Some of the guests see their pages protected again.
        calls in prop_oneof![1_usize..4, 17_usize..20],
    ) {
        if tracker().is_none() { return Ok(()) }
        let component = component(&stepping(&steps)).unwrap();
        let plan = plan(&component);
        block_on(async {
            let new = Guest::new(&component, &plan).await.state().await;
            let mut guest = Guest::new(&component, &plan).await;
            for _ in 0..calls {
                guest.run().await.unwrap();
                prop_assert!(guest.restore(&plan).await);
                let restored = guest.state().await;
                prop_assert_eq!(restored.1, new.1);
                let page = restored.0.iter().zip(&new.0).position(|(restored, new)| restored != new);
                prop_assert_eq!(page.map(|byte| byte / 4096), None, "a page is not as it was");
            }
            drop(guest);
            // The slot of an instance that was tracked is as clean for the next as any other.
            for _ in 0..4 {
                prop_assert!(Guest::new(&component, &plan).await.state().await == new, "in its slot");
            }
            Ok(())
        })?;
    }
}

#[test]
fn a_page_that_was_never_touched_before_is_put_back_too() {
    let Some(_) = tracker() else { return };
    // Each call writes to other pages: the call's number stands in no memory, but in the host's clock of handles.
    let steps: Vec<_> = (0..PAGES).rev().map(|page| Step::Store { at: page * 4096 + 8, value: 1 }).collect();
    block_on(async {
        for part in steps.chunks(40) {
            let component = component(&stepping(part)).unwrap();
            let plan = plan(&component);
            let mut guest = Guest::new(&component, &plan).await;
            let new = guest.state().await;
            for _ in 0..2 {
                guest.run().await.unwrap();
                assert!(guest.state().await != new);
                assert!(guest.restore(&plan).await);
                assert!(guest.state().await == new);
            }
        }
    });
}

#[test]
fn a_large_memory_is_put_back_and_one_that_is_too_large_is_not() {
    let Some(_) = tracker() else { return };
    const MOST_PAGES: usize = RESTORED_MEMORY_BYTES as usize >> 16;
    for pages in [33, 200, MOST_PAGES] {
        let component = component(&growing(7, pages)).unwrap();
        let plan = plan(&component);
        block_on(async {
            let mut guest = Guest::new(&component, &plan).await;
            for _ in 0..20 {
                guest.run().await.unwrap();
                assert!(guest.restore(&plan).await);
                let memory = guest.restorable.as_ref().unwrap().memory;
                let image = plan.image().unwrap();
                let mut content = memory.content(&guest.store).chunks(4096).enumerate();
                assert!(content.all(|(number, page)| page == image.page(number)), "{pages} pages");
            }
        });
    }
    assert!(component(&growing(7, MOST_PAGES + 1)).is_none());
}

#[test]
fn an_image_is_taken_once_an_instance_has_ended_as_it_must_to_be_put_back() {
    let Some(_) = tracker() else { return };
    let component = component(&growing(3, 17)).unwrap();
    let plan = RestorePlan::new(Exports::of(&component).unwrap());
    block_on(async {
        let mut first = Guest::new(&component, &plan).await;
        let mut beside = Guest::new(&component, &plan).await;
        first.run().await.unwrap();
        assert!(!first.restore(&plan).await && plan.image().is_none());
        let mut second = Guest::new(&component, &plan).await;
        second.run().await.unwrap();
        assert!(second.restore(&plan).await);
        assert!(!beside.restore(&plan).await, "it began before the image was taken");
    });
}

#[test]
fn an_instance_that_wrote_to_very_many_pages_is_not_put_back() {
    let Some(_) = tracker() else { return };
    let text = growing(1, 200).replace("(i32.const 30000)", "(i32.const 12000000)");
    let component = component(&text).unwrap();
    let plan = plan(&component);
    block_on(async {
        let mut guest = Guest::new(&component, &plan).await;
        guest.run().await.unwrap();
        assert!(!guest.restore(&plan).await);
    });
}

/// A guest that takes three handles and gives them back in an order of its own. `run` returns their numbers.
const HANDLES: &str = r#"(component
    (import "wasi:io/streams@0.2.0" (instance $streams (export "output-stream" (type (sub resource)))))
    (alias export $streams "output-stream" (type $stream))
    (import "wasi:cli/stdout@0.2.0" (instance $stdout
        (alias outer 1 $stream (type $outer))
        (export "output-stream" (type $own (eq $outer)))
        (export "get-stdout" (func (result (own $own))))))
    (core func $drop (canon resource.drop $stream))
    (core func $take (canon lower (func $stdout "get-stdout")))
    (core module $m
        (import "host" "take" (func $take (result i32)))
        (import "host" "drop" (func $drop (param i32)))
        (memory (export "memory") 1)
        (func (export "globals") (result i64) (i64.const 0))
        (func (export "run") (result i64)
            (local $a i32) (local $b i32) (local $c i32)
            (local.set $a (call $take)) (local.set $b (call $take)) (local.set $c (call $take))
            GIVES
            (i64.extend_i32_u (i32.add (i32.mul (i32.const 100) (local.get $a))
                (i32.add (i32.mul (i32.const 10) (local.get $b)) (local.get $c))))))
    (core instance $host (export "take" (func $take)) (export "drop" (func $drop)))
    (core instance $i (instantiate $m (with "host" (instance $host))))
    (func (export "run") (result u64) (canon lift (core func $i "run")))
    (func (export "globals") (result u64) (canon lift (core func $i "globals"))))"#;

#[test]
fn handles_have_the_same_numbers_again_in_whatever_order_they_were_given_back() {
    let Some(_) = tracker() else { return };
    let orders = [
        ["a", "b", "c"],
        ["a", "c", "b"],
        ["b", "a", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["c", "b", "a"],
    ];
    block_on(async {
        for order in orders {
            let gives = order.map(|handle| format!("(call $drop (local.get ${handle}))")).concat();
            let component = component(&HANDLES.replace("GIVES", &gives)).unwrap();
            let plan = plan(&component);
            let mut guest = Guest::new(&component, &plan).await;
            for _ in 0..3 {
                assert_eq!(guest.run().await.unwrap(), 123, "{order:?}");
                assert!(guest.restore(&plan).await, "{order:?}");
            }
        }
    });
}

#[test]
fn an_instance_that_keeps_a_handle_is_not_put_back() {
    let Some(_) = tracker() else { return };
    let component = component(&HANDLES.replace("GIVES", "(call $drop (local.get $b))")).unwrap();
    let plan = plan(&component);
    block_on(async {
        // The guest itself shows what it has kept, also if the host's table knows nothing of it.
        for is_known in [true, false] {
            let mut guest = Guest::new(&component, &plan).await;
            guest.run().await.unwrap();
            if !is_known {
                guest.store.data_mut().wipe();
            }
            assert!(!guest.restore(&plan).await);
        }
    });
}

#[test]
fn an_instance_that_calls_the_host_while_it_begins_is_not_put_back() {
    let Some(_) = tracker() else { return };
    let text = HANDLES
        .replace("GIVES", "")
        .replace("(memory (export", "(func $start (drop (call $take))) (start $start) (memory (export");
    let component = component(&text).unwrap();
    block_on(async {
        assert!(Guest::new(&component, &plan(&component)).await.restorable.is_none());
    });
}

#[test]
fn what_the_host_cannot_put_back_makes_a_component_that_is_not_put_back() {
    let with = |module: &str, rest: &str| {
        format!("(component (core module $m {module}) (core instance $i (instantiate $m)) {rest})")
    };
    let memory = "(memory 1)";
    assert!(component(&with(memory, "")).is_some(), "a memory alone can be put back");
    let table =
        r#"(memory 1) (table 4 funcref) (func $f) (elem declare func $f) (elem $e func $f) (data $d "x")"#;
    assert!(component(&with(table, "")).is_some(), "a table that nothing changes is as it was");
    for (what, text) in [
        ("no memory", with("", "")),
        ("two memories", with(memory, "(core module $n (memory 1)) (core instance (instantiate $n))")),
        ("a large memory", with("(memory 1025)", "")),
        ("a global that refers to a function", with("(memory 1) (global (mut funcref) (ref.null func))", "")),
        ("table.set", with(&format!("{table} (func (table.set 0 (i32.const 0) (ref.func $f)))"), "")),
        (
            "table.grow",
            with(&format!("{table} (func (drop (table.grow (ref.null func) (i32.const 1))))"), ""),
        ),
        (
            "table.fill",
            with(&format!("{table} (func (table.fill (i32.const 0) (ref.null func) (i32.const 1)))"), ""),
        ),
        (
            "table.copy",
            with(&format!("{table} (func (table.copy (i32.const 0) (i32.const 1) (i32.const 1)))"), ""),
        ),
        (
            "table.init",
            with(&format!("{table} (func (table.init $e (i32.const 0) (i32.const 0) (i32.const 1)))"), ""),
        ),
        ("data.drop", with(&format!("{table} (func (data.drop $d))"), "")),
        ("elem.drop", with(&format!("{table} (func (elem.drop $e))"), "")),
        ("a module twice", with(memory, "(core instance (instantiate $m))")),
        ("a module that is not instantiated", with(memory, "(core module (global (mut i32) (i32.const 0)))")),
        ("a resource", with(memory, "(type (resource (rep i32)))")),
        ("a module in an inner component", with(memory, "(component (core module))")),
        (
            "a name of the host's parts",
            with(r#"(memory 1) (data (i32.const 0) "jackfield-sandbox-begin")"#, ""),
        ),
        ("an import of the host's parts", with(memory, r#"(import "jackfield:sandbox/restore" (instance))"#)),
    ] {
        assert!(component(&text).is_none(), "{what}");
    }
}

/// A guest that asks three times for its mounts, of which it has four, and gives all handles back from the first to
/// the last. Then it takes one handle, and says its number.
const MOUNTS: &str = r#"(component
    (import "wasi:filesystem/types@0.2.0" (instance $types (export "descriptor" (type (sub resource)))))
    (alias export $types "descriptor" (type $descriptor))
    (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
        (alias outer 1 $descriptor (type $outer))
        (export "descriptor" (type $own (eq $outer)))
        (export "get-directories" (func (result (list (tuple (own $own) string)))))))
    (core module $heap
        (memory (export "memory") 1)
        (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.get $next)
            (global.set $next (i32.and (i32.add (i32.add (global.get $next) (local.get 3)) (i32.const 7)) (i32.const -8)))))
    (core instance $h (instantiate $heap))
    (core func $drop (canon resource.drop $descriptor))
    (core func $list (canon lower (func $preopens "get-directories")
        (memory (core memory $h "memory")) (realloc (core func $h "realloc"))))
    (core module $m
        (import "heap" "memory" (memory 1))
        (import "host" "list" (func $list (param i32)))
        (import "host" "drop" (func $drop (param i32)))
        (func (export "globals") (result i64) (i64.const 0))
        (func (export "run") (result i64) (local $handle i32) (local $first i32)
            (call $list (i32.const 0)) (call $list (i32.const 16)) (call $list (i32.const 32))
            (local.set $first (i32.load (i32.load (i32.const 0))))
            (loop $each
                (local.set $handle (i32.add (local.get $handle) (i32.const 1)))
                KEEPS
                (call $drop (local.get $handle))
                (br_if $each (i32.lt_u (local.get $handle) (i32.const 12))))
            (i64.extend_i32_u (local.get $first))))
    (core instance $host (export "list" (func $list)) (export "drop" (func $drop)))
    (core instance $i (instantiate $m (with "heap" (instance $h)) (with "host" (instance $host))))
    (func (export "run") (result u64) (canon lift (core func $i "run")))
    (func (export "globals") (result u64) (canon lift (core func $i "globals"))))"#;

#[test]
fn mounts_that_are_asked_for_again_and_again_have_the_same_handles_again() {
    let Some(_) = tracker() else { return };
    let mounts = || {
        let mount = |name: &str| (name.parse().unwrap(), PathBuf::from("/"));
        call(["/a", "/b", "/c", "/d"].map(mount).into())
    };
    // The guest gives back all of them but this one, which it cannot keep.
    let keeps = "(br_if $each (i32.eq (local.get $handle) (i32.const 11)))";
    for (keeps, is_restored) in [("", true), (keeps, false)] {
        let component = component(&MOUNTS.replace("KEEPS", keeps)).unwrap();
        let plan = plan(&component);
        block_on(async {
            let mut guest = Guest::in_call(&component, &plan, mounts()).await;
            for _ in 0..3 {
                assert_eq!(guest.run().await.unwrap(), 1);
                assert_eq!(guest.restore(&plan).await, is_restored);
                if !is_restored {
                    break;
                }
                guest.store.data_mut().begin(mounts());
            }
        });
    }
}

#[test]
fn an_instance_whose_memory_grows_beyond_measure_while_it_begins_is_made_and_not_put_back() {
    let Some(_) = tracker() else { return };
    let start = "(func $start (drop (memory.grow (i32.const 1100)))
        (memory.fill (i32.const 0) (i32.const 1) (i32.const 72089600))";
    let component = component(&stepping(&[]).replace("(func $start", start)).unwrap();
    let plan = plan(&component);
    block_on(async {
        // All that a guest of this plugin may pass to the host at once is less than its memory.
        let mut call = call(Vec::new());
        call.limits = Arc::new(Limits { response_body: 0, ..Limits::default() });
        let mut guest = Guest::in_call(&component, &plan, call).await;
        assert!(guest.restorable.is_none() && plan.image().is_none());
        assert_eq!(guest.run().await.unwrap(), 0);
    });
}

#[test]
fn an_instance_that_was_refused_memory_is_not_put_back() {
    let Some(_) = tracker() else { return };
    let text = stepping(&[]).replace("(i64.const 0))", "(i64.extend_i32_s (memory.grow (i32.const 60000))))");
    let component = component(&text).unwrap();
    let plan = plan(&component);
    block_on(async {
        let mut guest = Guest::new(&component, &plan).await;
        assert_eq!(guest.run().await.unwrap().cast_signed(), -1);
        assert!(!guest.restore(&plan).await, "the next call's failure would be taken for want of memory");
    });
}

#[test]
fn a_component_with_many_globals_is_still_run() {
    let globals = "(global (mut i64) (i64.const 0))".repeat(40_000);
    let text = format!(
        r#"(component (core module $m (memory 1) {globals}
            (func (export "run") (result i64) (i64.const 7)))
            (core instance $i (instantiate $m))
            (func (export "run") (result u64) (canon lift (core func $i "run"))))"#
    );
    let bytes = wat::parse_str(text).unwrap();
    let rewritten = rewrite(&bytes, true, true).unwrap();
    let component = WasmComponent::new(&sandbox().engine, &rewritten).unwrap();
    block_on(async {
        let mut store = CallState::store(&sandbox().engine, call(Vec::new()));
        store.set_epoch_deadline(1);
        let before = sandbox().linker.instantiate_pre(&component).unwrap();
        before.instantiate_async(&mut store).await.unwrap();
    });
}

/// Says that pages are to go: to swap, or to nowhere.
#[allow(unsafe_code)]
fn advise(memory: ShownMemory, advice: libc::c_int) {
    // SAFETY: the memory is mapped as long as its instance is there, and no guest runs in it.
    let advised = unsafe { libc::madvise(memory.byte(0).cast(), memory.bytes, advice) };
    assert_eq!(advised, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn pages_in_swap_are_put_back_too() {
    let Some(_) = tracker() else { return };
    if std::fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() < 2) {
        return eprintln!("SKIPPED: this system has no swap");
    }
    let steps: Vec<_> =
        (0..PAGES).step_by(3).map(|page| Step::Store { at: page * 4096 + 8, value: 1 }).collect();
    let component = component(&stepping(&steps)).unwrap();
    let plan = plan(&component);
    block_on(async {
        let mut guest = Guest::new(&component, &plan).await;
        let memory = guest.restorable.as_ref().unwrap().memory;
        let new = guest.state().await;
        for _ in 0..3 {
            advise(memory, libc::MADV_PAGEOUT);
            guest.run().await.unwrap();
            advise(memory, libc::MADV_PAGEOUT);
            assert!(guest.restore(&plan).await);
            advise(memory, libc::MADV_PAGEOUT);
            assert!(guest.state().await == new);
        }
    });
}

#[test]
fn a_page_that_the_kernel_has_made_its_page_of_zeros_is_put_back_too() {
    let Some(_) = tracker() else { return };
    // The start function writes to pages that have no data. The guest fills these with zeros; what the kernel may make
    // of that (KSM, or a huge page that is split) is what a page is after it was dropped and read.
    let filled = "(func $start (memory.fill (i32.const 200000) (i32.const 7) (i32.const 40000))";
    let text = stepping(&[]).replace("(func $start", filled);
    let (before, rest) = text.split_once("(data (i32.const 70000)").unwrap();
    let (_, behind) = rest.split_once("(data $d").unwrap();
    let component = component(&format!("{before}(data $d{behind}")).unwrap();
    let plan = plan(&component);
    block_on(async {
        let mut guest = Guest::new(&component, &plan).await;
        let memory = guest.restorable.as_ref().unwrap().memory;
        let new = guest.state().await;
        advise(memory, libc::MADV_DONTNEED);
        assert!(guest.state().await != new);
        assert!(guest.restore(&plan).await);
        assert!(guest.state().await == new);
    });
}

/// A component with data of its own, whose `run` writes to some pages. Its `globals` grows the memory, says if the
/// memory that it got is all zeros, and fills it.
fn growing(number: u8, pages: usize) -> String {
    format!(
        r#"(component
            (core module $m
                (memory (export "memory") {pages})
                (data (i32.const {data}) "\{number:02x}\01\02")
                (func (export "run") (result i64)
                    (memory.fill (i32.const {from}) (i32.const {number}) (i32.const 30000))
                    (i64.const 0))
                (func (export "globals") (result i64) (local $at i32) (local $end i32) (local $found i64)
                    (local.set $at (i32.shl (memory.grow (i32.const 2)) (i32.const 16)))
                    (local.set $end (i32.add (local.get $at) (i32.const 131072)))
                    (loop $words
                        (local.set $found (i64.or (local.get $found) (i64.load (local.get $at))))
                        (i64.store (local.get $at) (i64.const -1))
                        (local.set $at (i32.add (local.get $at) (i32.const 8)))
                        (br_if $words (i32.lt_u (local.get $at) (local.get $end))))
                    (local.get $found)))
            (core instance $i (instantiate $m))
            (func (export "run") (result u64) (canon lift (core func $i "run")))
            (func (export "globals") (result u64) (canon lift (core func $i "globals"))))"#,
        data = usize::from(number) * 7000,
        from = usize::from(number) * 9000,
    )
}

#[test]
fn slots_are_clean_for_whichever_component_comes_next_on_whatever_thread() {
    let Some(_) = tracker() else { return };
    let components: Vec<_> = (1..=5)
        .map(|number| component(&growing(number, 2 + usize::from(number))).unwrap())
        .map(|component| {
            let plan = plan(&component);
            (component, plan)
        })
        .collect();
    let work = |thread: usize| {
        block_on(async {
            for round in 0..120 {
                let (component, plan) = &components[(round * (thread + 1)) % components.len()];
                let mut guest = Guest::new(component, plan).await;
                let content =
                    |guest: &Guest| guest.restorable.as_ref().unwrap().memory.content(&guest.store).to_vec();
                let new = plan.image().unwrap();
                let is_new = |content: &[u8]| {
                    content.chunks(4096).enumerate().all(|(number, page)| page == new.page(number))
                };
                assert!(is_new(&content(&guest)));
                for _ in 0..(round + thread) % 3 {
                    guest.run().await.unwrap();
                    assert!(guest.restore(plan).await);
                    assert!(is_new(&content(&guest)), "{thread} {round}");
                }
                guest.run().await.unwrap();
                let grown = guest.instance.get_typed_func::<(), (u64,)>(&mut guest.store, "globals").unwrap();
                assert_eq!(grown.call_async(&mut guest.store, ()).await.unwrap().0, 0, "{thread} {round}");
                if round % 2 == 0 {
                    assert!(guest.restore(plan).await);
                    assert!(is_new(&content(&guest)), "{thread} {round}");
                }
            }
        });
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || work(thread));
        }
    });
}
