use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use wasmparser::{Operator, Parser, Payload, Validator};
use wasmtime::{Config, Engine, Instance, Memory, MemoryType, Module, Store, Trap, UpdateDeadline};

use super::pieces::Pieces;
use super::*;
use crate::sandbox::intake::{PROPOSALS, check};

/// Pieces so short that a few hundred bytes have many.
const PIECE: u32 = 16;
const SHORT: Pieces = Pieces { bytes: PIECE, elements: PIECE };

/// A module with each instruction in a function of its own, among instructions and locals that must stay as they are.
/// It has a passive segment of 300 bytes, a short one and an active one.
fn module_text() -> String {
    let long: String = (0..300).map(|number| format!("\\{:02x}", number % 251)).collect();
    let function = |name: &str, instruction: &str| {
        format!(
            r#"(func (export "{name}") (param $to i32) (param $from i32) (param $length i32) (result i64)
                (local $a i64) (local $b f32) (local $c i64)
                (local.set $a (i64.const 40)) (local.set $b (f32.const 1.5)) (local.set $c (i64.const 2))
                (block $out (br_if $out (i32.eq (local.get $length) (i32.const 7)))
                    ({instruction} (local.get $to) (local.get $from) (local.get $length)))
                (call $twice (i64.add (local.get $a) (local.get $c))))"#
        )
    };
    // Each function returns its number, so that a table can be read.
    let said: String =
        (0..7).map(|number| format!("(func $says-{number} (result i64) (i64.const {number}))")).collect();
    let elements: String = (0..390).map(|number| format!("$says-{} ", number * number % 7)).collect();
    let look = |table: &str| {
        format!(
            r#"(func (export "look-{table}") (param i32 i32 i32) (result i64) (local $sum i64)
                (loop $on
                    (local.set $sum (i64.mul (local.get $sum) (i64.const 31)))
                    (if (ref.is_null (table.get ${table} (local.get 0))) (then) (else (local.set $sum (i64.add
                        (local.get $sum) (call_indirect ${table} (result i64) (local.get 0))))))
                    (local.set 0 (i32.add (local.get 0) (i32.const 1)))
                    (br_if $on (i32.lt_u (local.get 0) (i32.const 400))))
                (local.get $sum))"#
        )
    };
    let (look_first, look_second) = (look("first"), look("second"));
    let functions: String = OPERATIONS.iter().map(|(name, code)| function(name, code)).collect();
    format!(
        r#"(module
            (import "host" "none" (func $none))
            (import "host" "one" (memory $one 1 3))
            (import "host" "other" (memory $other 1 3))
            (data $long "{long}") (data $short "short") (data $active (memory $one) (i32.const 3) "active")
            (func $twice (param i64) (result i64) (i64.mul (local.get 0) (i64.const 2)))
            (func (export "drop") (param i32 i32 i32) (result i64) (data.drop $long) (call $none) (i64.const 0))
            (table $first 400 funcref) (table $second 400 funcref) (elem (table $first) (i32.const 0) func {elements})
            {said} {look_first} {look_second} {functions}
            (func (export "unreached") (param i32 i32 i32) (result i64)
                (return (i64.const 3)) (memory.fill $one) (unreachable)))"#
    )
}

const OPERATIONS: [(&str, &str); 12] = [
    ("fill-one", "memory.fill $one"),
    ("fill-other", "memory.fill $other"),
    ("copy", "memory.copy $one $one"),
    ("copy-to-other", "memory.copy $other $one"),
    ("copy-from-other", "memory.copy $one $other"),
    ("init-one", "memory.init $one $long"),
    ("init-other", "memory.init $other $long"),
    ("init-short", "memory.init $one $short"),
    ("init-active", "memory.init $one $active"),
    ("table-copy", "table.copy $first $first"),
    ("table-copy-over", "table.copy $second $first"),
    ("table-copy-back", "table.copy $first $second"),
];

/// One module, running.
struct Running {
    store: Store<()>,
    memories: [Memory; 2],
    instance: Instance,
}

impl Running {
    fn start(module: &Module, are_one: bool) -> Self {
        let mut store = Store::new(module.engine(), ());
        let mut memory = || Memory::new(&mut store, MemoryType::new(1, Some(3))).unwrap();
        let one = memory();
        let other = if are_one { one } else { memory() };
        for (number, byte) in one.data_mut(&mut store).iter_mut().enumerate() {
            *byte = u8::try_from(number % 253).unwrap();
        }
        let none = wasmtime::Func::wrap(&mut store, || {});
        let instance = Instance::new(&mut store, module, &[none.into(), one.into(), other.into()]).unwrap();
        Self { store, memories: [one, other], instance }
    }

    /// The result of a function, or the trap that ends it; and the memory's content after the call.
    fn call(&mut self, name: &str, arguments: (u32, u32, u32)) -> (Result<i64, Trap>, [Vec<u8>; 2]) {
        let function = self.instance.get_typed_func(&mut self.store, name).unwrap();
        let result = function.call(&mut self.store, arguments);
        let result = result.map_err(|error: wasmtime::Error| *error.downcast_ref::<Trap>().unwrap());
        (result, self.memories.map(|memory| memory.data(&self.store).to_vec()))
    }
}

/// The module before and after cutting.
static MODULES: LazyLock<[Module; 2]> = LazyLock::new(|| {
    let engine = Engine::default();
    let original = wat::parse_str(module_text()).unwrap();
    let cut = module::cut(&original, SHORT).unwrap().expect("there is much to cut");
    [original, cut].map(|binary| Module::new(&engine, binary).unwrap())
});

fn both(are_one: bool) -> [Running; 2] {
    MODULES.each_ref().map(|module| Running::start(module, are_one))
}

/// Indices and lengths: at the begin, around multiples of a piece, around the end of a page and of the segment,
/// anywhere.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0..400_u32,
        2 => (0..24_u32).prop_map(|pieces| pieces * PIECE),
        2 => 290..310_u32,
        3 => 65_536 - 200..65_536 + 3_u32,
        1 => (0..400_u32).prop_map(|number| u32::MAX - number),
        1 => any::<u32>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_module_does_what_it_did(
        are_one in any::<bool>(),
        steps in proptest::collection::vec(
            (0..OPERATIONS.len(), (number(), number(), number())), 1..24),
        dropped in proptest::option::of(0..24_usize),
    ) {
        let [mut original, mut cut] = both(are_one);
        for (number, (operation, arguments)) in steps.into_iter().enumerate() {
            if dropped == Some(number) {
                prop_assert_eq!(original.call("drop", arguments).0, cut.call("drop", arguments).0);
            }
            let (name, _) = OPERATIONS[operation];
            let (expected, found) = (original.call(name, arguments), cut.call(name, arguments));
            prop_assert_eq!(expected.0, found.0, "{} {:?}", name, arguments);
            prop_assert!(expected.1 == found.1, "{name} {arguments:?} left other bytes");
            for look in ["look-first", "look-second"].into_iter().filter(|_| name.starts_with("table")) {
                let (expected, found) = (original.call(look, (0, 0, 0)), cut.call(look, (0, 0, 0)));
                prop_assert_eq!(expected.0, found.0, "{} {:?} left other elements", name, arguments);
            }
        }
    }
}

#[test]
fn every_overlap_is_copied_from_the_right_end_and_what_is_out_of_bounds_writes_nothing() {
    for are_one in [true, false] {
        let [mut original, mut cut] = both(are_one);
        let copies = ["copy", "copy-to-other", "copy-from-other"];
        let look =
            |running: &mut Running| ["look-first", "look-second"].map(|look| running.call(look, (0, 0, 0)).0);
        for distance in -40..=40_i32 {
            for length in [1, 15, 16, 17, 31, 32, 33, 100] {
                let arguments = (1000_u32.saturating_add_signed(distance), 1000, length);
                for name in copies {
                    assert!(original.call(name, arguments) == cut.call(name, arguments), "{arguments:?}");
                }
                let arguments = (100_u32.saturating_add_signed(distance), 100, length);
                assert!(original.call("table-copy", arguments).0 == cut.call("table-copy", arguments).0);
                assert_eq!(look(&mut original), look(&mut cut), "{arguments:?}");
            }
        }
        let elements = look(&mut cut);
        let before = cut.memories.map(|memory| memory.data(&cut.store).to_vec());
        for (name, ..) in OPERATIONS {
            for arguments in [(65_536 - 99, 0, 100), (u32::MAX, 0, 100), (0, u32::MAX - 50, 100)] {
                // The second number is no index where memory is filled.
                if name.starts_with("fill") && arguments.0 == 0 {
                    continue;
                }
                let (result, after) = cut.call(name, arguments);
                let trap =
                    if name.starts_with("table") { Trap::TableOutOfBounds } else { Trap::MemoryOutOfBounds };
                assert_eq!(result, Err(trap), "{name} {arguments:?}");
                assert_eq!(look(&mut cut), elements, "{name} {arguments:?}");
                assert!(after == before, "{name} {arguments:?} wrote before it trapped");
            }
        }
        assert_eq!(cut.call("unreached", (0, 0, 0)).0, Ok(3));
    }
}

/// An instance of a module, and the number of its looks at the epoch.
pub(super) fn counting_looks(binary: &[u8]) -> (Store<()>, Instance, Arc<AtomicU32>) {
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config).unwrap();
    let mut store = Store::new(&engine, ());
    let looks = Arc::new(AtomicU32::new(0));
    let (seen, ticks) = (looks.clone(), engine.clone());
    store.epoch_deadline_callback(move |_| {
        seen.fetch_add(1, Ordering::Relaxed);
        // The next look is one as well.
        ticks.increment_epoch();
        Ok(UpdateDeadline::Continue(0))
    });
    let instance = Instance::new(&mut store, &Module::new(&engine, binary).unwrap(), &[]).unwrap();
    (store, instance, looks)
}

#[test]
fn the_epoch_is_looked_at_between_pieces() {
    let text = r#"(module (memory 1024)
        (func (export "fill") (memory.fill (i32.const 0) (i32.const 7) (i32.const 0x4000000)))
        (func (export "copy") (memory.copy (i32.const 0x2000000) (i32.const 0) (i32.const 0x2000000))))"#;
    let binary = module::cut(&wat::parse_str(text).unwrap(), PIECES).unwrap().unwrap();
    let (mut store, instance, looks) = counting_looks(&binary);
    for (name, bytes) in [("fill", 64 << 20), ("copy", 32 << 20)] {
        looks.store(0, Ordering::Relaxed);
        instance.get_typed_func::<(), ()>(&mut store, name).unwrap().call(&mut store, ()).unwrap();
        let looks = looks.load(Ordering::Relaxed);
        assert!(looks >= bytes / PIECES.bytes, "{name}: {looks} looks over {bytes} bytes");
    }
}

#[test]
fn what_is_short_stays_as_it_is() {
    for code in [
        "(func (result i32) (i32.const 0xfc))",
        "(func (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536)))",
        "(func (param i32) (memory.copy (i32.const 0) (local.get 0) (i32.const 100)))",
        "(func (param i32) (memory.init $short (i32.const 0) (i32.const 0) (local.get 0)))",
        "(func (data.drop $short))",
        "(table 3 funcref) (func (param i32) (table.copy (i32.const 0) (i32.const 0) (i32.const 4096)))",
        "(table 3 funcref) (func (param i32) (table.fill (i32.const 0) (ref.null func) (local.get 0)))",
    ] {
        let binary = wat::parse_str(format!(r#"(module (memory 2) (data $short "short") {code})"#)).unwrap();
        assert!(module::cut(&binary, PIECES).unwrap().is_none(), "{code}");
    }
    for code in [
        "(func (memory.fill (i32.const 0) (i32.const 0) (i32.const 65537)))",
        "(func (memory.fill (i32.const 0) (i32.const 0) (i32.const -1)))",
        "(table 3 funcref) (func (param i32) (table.copy (i32.const 0) (i32.const 0) (local.get 0)))",
        // The constant is not the operand of this instruction.
        "(func (param i32) (i32.const 0) (local.get 0) (block (param i32 i32) (memory.fill (i32.const 1)
            (i32.const 1) (i32.const 1)) (i32.const 5) (drop) (drop) (drop))
            (memory.copy (i32.const 0) (i32.const 1) (local.get 0)))",
    ] {
        let binary = wat::parse_str(format!("(module (memory 2) {code})")).unwrap();
        assert!(module::cut(&binary, PIECES).unwrap().is_some(), "{code}");
    }
}

#[test]
fn a_module_keeps_all_but_its_types_functions_and_code_and_those_as_they_began() {
    let original: Vec<u8> = wat::parse_str(module_text()).unwrap();
    let cut = module::cut(&original, SHORT).unwrap().unwrap();
    Validator::new_with_features(PROPOSALS).validate_all(&cut).unwrap();
    let (before, after) = (sections(&original).unwrap(), sections(&cut).unwrap());
    assert_eq!((before.0, before.1.len()), (after.0, after.1.len()));
    for (before, after) in before.1.into_iter().zip(after.1) {
        assert_eq!(before.id, after.id);
        let changes = [encode::TYPES, encode::FUNCTIONS, encode::CODE].contains(&before.id);
        assert_eq!(before.whole != after.whole, changes, "section {}", before.id);
        if changes && before.id != encode::CODE {
            // The items stand behind their number, which takes one byte in both.
            assert!(after.content[1..].starts_with(&before.content[1..]), "section {}", before.id);
        }
    }
}

/// A module with 900 bytes of data in three segments, which overlap. The data goes into a memory from outside, or far
/// apart in the module's own memory. The module has a start function of its own that looks at the data, or no code at
/// all.
fn with_data(memory: &str, offsets: [&str; 3], has_code: bool) -> Vec<u8> {
    let code = r#"(global $first (mut i32) (i32.const 0)) (start $looks)
        (func $looks (global.set $first (i32.load8_u (i32.const 1030))))
        (func (export "first") (param i32 i32 i32) (result i64) (i64.extend_i32_u (global.get $first)))
        (func (export "again") (param i32 i32 i32) (result i64)
            (memory.init $a (local.get 0) (local.get 1) (local.get 2)) (i64.const 1))"#;
    let data = ["a", "b", "c"].map(|name| name.repeat(300));
    let segments: String = (0..3)
        .map(|number| {
            let name = &data[number][..1];
            format!(r#"(data ${name} (offset {}) "{}")"#, offsets[number], data[number])
        })
        .collect();
    let code = if has_code { code } else { "" };
    wat::parse_str(format!(
        r#"(module (import "host" "base" (global $base i32)) {memory} {segments} {code} (export "memory" (memory 0)))"#
    ))
    .unwrap()
}

#[test]
fn data_that_an_instance_would_copy_is_copied_by_its_start_function_in_the_same_order() {
    const OUTSIDE: &str = r#"(import "host" "memory" (memory 2))"#;
    let engine = Engine::default();
    let run = |binary: &[u8], is_outside: bool| {
        let module = Module::new(&engine, binary).unwrap();
        let mut store = Store::new(&engine, ());
        let base = wasmtime::Global::new(
            &mut store,
            wasmtime::GlobalType::new(wasmtime::ValType::I32, wasmtime::Mutability::Const),
            1024.into(),
        );
        let memory = Memory::new(&mut store, MemoryType::new(2, None)).unwrap();
        let mut imports = vec![base.unwrap().into()];
        imports.extend(is_outside.then_some(memory.into()));
        let instance = Instance::new(&mut store, &module, &imports);
        let instance = instance.map_err(|error| *error.downcast_ref::<Trap>().unwrap())?;
        let mut call = |name: &str, arguments: (u32, u32, u32)| {
            let function = instance.get_func(&mut store, name)?;
            let function = function.typed::<(u32, u32, u32), i64>(&store).unwrap();
            Some(function.call(&mut store, arguments).map_err(|error| *error.downcast_ref::<Trap>().unwrap()))
        };
        let called = [call("first", (0, 0, 0)), call("again", (0, 0, 1)), call("again", (0, 0, 0))];
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        Ok::<_, Trap>((called, memory.data(&store).to_vec()))
    };
    let global = "global.get $base";
    let near = ["i32.const 1000", "i32.const 1024", "i32.const 1100"];
    for (memory, offsets, is_cut) in [
        (OUTSIDE, near, true),
        (OUTSIDE, [global, "i32.const 1000", global], true),
        (OUTSIDE, [global, "i32.const 131000", global], true),
        ("(memory 2)", near, false),
        ("(memory 2)", [global, "i32.const 1000", "i32.const 1100"], true),
        ("(memory 2)", ["i32.const 1000", "i32.const 131000", global], true),
        ("(memory 512)", ["i32.const 0", "i32.const 1000", "i32.const 0x1f00000"], true),
    ] {
        for has_code in [true, false] {
            let original = with_data(memory, offsets, has_code);
            let cut = module::cut(&original, SHORT).unwrap();
            // The module's code is cut in any case, whether its data is or not.
            assert_eq!(cut.is_some(), is_cut || has_code, "{memory} {offsets:?}");
            let Some(cut) = cut else { continue };
            Validator::new_with_features(PROPOSALS).validate_all(&cut).unwrap();
            let starts = sections(&cut).unwrap().1.iter().any(|section| section.id == 8);
            assert_eq!(starts, is_cut || has_code);
            let is_outside = memory == OUTSIDE;
            assert!(run(&original, is_outside) == run(&cut, is_outside), "{memory} {offsets:?} {has_code}");
        }
    }
    let few = with_data(OUTSIDE, near, false);
    assert!(module::cut(&few, PIECES).unwrap().is_none(), "900 bytes are few");
}

#[test]
fn modules_are_cut_wherever_they_stand_in_a_component_and_intake_takes_what_comes_of_it() {
    let module =
        |name: &str, code: &str| format!("(core module ${name} (memory 1) (func (param i32) {code}))");
    let long = "(memory.fill (i32.const 0) (i32.const 0) (local.get 0))";
    let text = format!(
        "(component {} {} (component (component {}) {}))",
        module("a", long),
        module("b", "(nop)"),
        module("c", long),
        module("d", "(nop)"),
    );
    let original = wat::parse_str(text).unwrap();
    let cut = rewrite(&original, false, false).unwrap();
    assert!(matches!(cut, Cow::Owned(_)));
    check(&cut).unwrap();
    let bodies = |binary: &[u8]| -> usize {
        Parser::new(0)
            .parse_all(binary)
            .filter(|payload| matches!(payload, Ok(Payload::CodeSectionEntry(_))))
            .count()
    };
    assert_eq!((bodies(&original), bodies(&cut)), (4, 6));
    let without = wat::parse_str(format!("(component {})", module("b", "(nop)"))).unwrap();
    assert!(matches!(rewrite(&without, false, false).unwrap(), Cow::Borrowed(bytes) if bytes == without));
}

#[test]
fn instructions_of_one_kind_share_a_loop() {
    let text = r#"(component (core module (memory 1)
        (func (param i32) (memory.fill (i32.const 0) (i32.const 0) (local.get 0)))
        (func (param i32) (memory.fill (i32.const 0) (i32.const 1) (local.get 0)))))"#;
    let binary = wat::parse_str(text).unwrap();
    let cut = rewrite(&binary, false, false).unwrap();
    let (mut fills, mut calls, mut functions) = (0, 0, 0);
    for payload in Parser::new(0).parse_all(&cut) {
        let Payload::CodeSectionEntry(body) = payload.unwrap() else { continue };
        functions += 1;
        for operator in body.get_operators_reader().unwrap() {
            match operator.unwrap() {
                Operator::MemoryFill { .. } => fills += 1,
                Operator::Call { .. } => calls += 1,
                _ => {}
            }
        }
    }
    assert_eq!((functions, calls, fills), (3, 2, 2 + 3), "each that was there, and three in the loop");
}

/// The fuzzer's corpus of intake, cut into pieces so small that all that can be cut is.
#[test]
fn whatever_intake_takes_it_takes_when_it_is_cut() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/artifact");
    let mut taken = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        if check(&bytes).is_ok() {
            taken += 1;
            let tiny = Pieces { bytes: 1, elements: 1 };
            if let Some(cut) = rewrite_modules(&bytes, &|module| module::cut(module, tiny)).unwrap() {
                check(&cut).unwrap();
            }
        }
    }
    assert!(taken > 0);
}

/// A module with two small memories of its own, one that is too large to be small, and a start function that looks at
/// its data.
fn with_memories() -> Vec<u8> {
    wat::parse_str(
        r#"(module (import "host" "none" (func))
            (memory $small 2) (memory $other 1) (memory $large 33) (memory $none 0)
            (data (memory $other) (i32.const 65535) "x")
            (global $seen (mut i32) (i32.const 0)) (export "seen" (global $seen)) (start $looks)
            (func $looks (global.set $seen (i32.load8_u $other (i32.const 65535)))))"#,
    )
    .unwrap()
}

#[test]
fn a_new_instance_reads_each_page_of_its_small_memories_before_its_own_start_function() {
    let read = pages::read(&with_memories()).unwrap().unwrap();
    Validator::new_with_features(PROPOSALS).validate_all(&read).unwrap();
    let mut loads = Vec::new();
    let mut bounds = Vec::new();
    for payload in Parser::new(0).parse_all(&read) {
        let Payload::CodeSectionEntry(body) = payload.unwrap() else { continue };
        (loads, bounds) = (Vec::new(), Vec::new());
        for operator in body.get_operators_reader().unwrap() {
            match operator.unwrap() {
                Operator::I32Load8U { memarg } => loads.push(memarg.memory),
                Operator::I32Const { value } => bounds.push(value),
                _ => {}
            }
        }
    }
    assert_eq!(loads, [0, 1], "the last function, which was added, reads the small memories alone");
    assert_eq!(bounds, [0, 4096, 2 << 16, 0, 4096, 1 << 16]);

    let mut config = Config::new();
    config.wasm_features(PROPOSALS, true);
    let engine = Engine::new(&config).unwrap();
    let mut store = Store::new(&engine, ());
    let none = wasmtime::Func::wrap(&mut store, || ());
    let instance = Instance::new(&mut store, &Module::new(&engine, &read).unwrap(), &[none.into()]).unwrap();
    let seen = instance.get_global(&mut store, "seen").unwrap().get(&mut store);
    assert_eq!(seen.i32(), Some(i32::from(b'x')), "the module's own start function ran");
}

#[test]
fn a_module_without_a_small_memory_of_its_own_stays_as_it_is() {
    for memory in
        ["", "(memory 33)", "(memory 0)", "(memory i64 1)", r#"(import "host" "memory" (memory 1))"#]
    {
        let binary = wat::parse_str(format!("(module {memory} (func))")).unwrap();
        assert_eq!(pages::read(&binary).unwrap(), None, "{memory}");
    }
}
