//! Components that cost far more to compile than to send, byte by byte: no tool would write most of them.

/// A component of these sections.
fn component(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0".as_slice(), &sections.concat()].concat()
}

/// A core module of these sections.
fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x01\0\0\0".as_slice(), &sections.concat()].concat()
}

fn number(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], number(content.len()).as_slice(), content].concat()
}

fn list(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let items: Vec<_> = items.into_iter().collect();
    [number(items.len()), items.concat()].concat()
}

fn function(locals: usize, body: &[u8]) -> Vec<u8> {
    let locals = if locals == 0 { vec![0] } else { [vec![1], number(locals), vec![0x7f]].concat() };
    let content = [locals, body.to_vec(), vec![0x0b]].concat();
    [number(content.len()), content].concat()
}

/// A component around a module with one function, `i32 -> i32`, of this body.
fn of_function(locals: usize, body: &[u8]) -> Vec<u8> {
    let module = module(&[
        section(1, &list([b"\x60\x01\x7f\x01\x7f".to_vec()])),
        section(3, &list([vec![0]])),
        section(5, b"\x01\x00\x01"),
        section(10, &list([function(locals, body)])),
    ]);
    component(&[section(1, &module)])
}

/// Components inside one another.
pub(super) fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(component(&[]), |inner, _| component(&[section(4, &inner)]))
}

/// Components beside one another.
pub(super) fn many_components(number: usize) -> Vec<u8> {
    component(&vec![section(4, &component(&[])); number])
}

/// Components each of which instantiates the one before twice: two to the power of `levels` in all.
pub(super) fn doubling(levels: usize) -> Vec<u8> {
    // component 0; then each takes the one before it from around it, and instantiates it twice.
    let twice = |before: usize| {
        let alias = [vec![0x04, 0x02, 0x01], number(before)].concat();
        let instantiate = [vec![0x00], number(0), vec![0x00]].concat();
        component(&[section(6, &list([alias])), section(5, &list([instantiate.clone(), instantiate]))])
    };
    let all = (0..levels).map(|before| section(4, &twice(before)));
    component(&[section(4, &component(&[]))].into_iter().chain(all).collect::<Vec<_>>())
}

/// A function with so many values on its stack at once.
pub(super) fn live_operands(count: usize) -> Vec<u8> {
    let push = (0..count).flat_map(|at| [vec![0x20, 0x00, 0x28, 0x02], number(4 * at)].concat());
    of_function(0, &push.chain(vec![0x6a; count - 1]).collect::<Vec<_>>())
}

/// A function with so many locals, all of them in use at once.
pub(super) fn live_locals(count: usize) -> Vec<u8> {
    let set = (0..count)
        .flat_map(|at| [vec![0x20, 0x00, 0x28, 0x02], number(4 * at), vec![0x21], number(1 + at)].concat());
    let sum = (0..count).flat_map(|at| [vec![0x20], number(1 + at), vec![0x6a]].concat());
    of_function(count, &set.chain([0x20, 0x00]).chain(sum).collect::<Vec<_>>())
}

/// Loops inside one another, with locals that change in the innermost.
pub(super) fn loops(loops: usize, locals: usize) -> Vec<u8> {
    let change = (0..locals)
        .flat_map(|at| [vec![0x20], number(1 + at), vec![0x41, 0x01, 0x6a, 0x21], number(1 + at)].concat());
    let body: Vec<u8> = std::iter::repeat_n([0x03, 0x40], loops)
        .flatten()
        .chain(change)
        .chain(std::iter::repeat_n([0x20, 0x00, 0x0d, 0x00, 0x0b], loops).flatten())
        .chain([0x20, 0x01])
        .collect();
    of_function(locals, &body)
}

/// Blocks inside one another.
pub(super) fn blocks(depth: usize) -> Vec<u8> {
    let body = [[0x02, 0x40].repeat(depth), vec![0x0b; depth], vec![0x20, 0x00]].concat();
    of_function(0, &body)
}

/// Jump tables of 60,000 targets each.
pub(super) fn jump_tables(count: usize) -> Vec<u8> {
    const TARGETS: usize = 60_000;
    let one =
        [vec![0x02, 0x40, 0x20, 0x00, 0x0e], number(TARGETS), vec![0; TARGETS + 1], vec![0x0b]].concat();
    of_function(0, &[one.repeat(count), vec![0x20, 0x00]].concat())
}

/// A block with so many results, again and again.
pub(super) fn results(count: usize) -> Vec<u8> {
    let values = [number(count), vec![0x7f; count]].concat();
    let passes_on = [vec![0x60], values.clone(), values].concat();
    let body = [[0x41, 0x00].repeat(count), [0x02, 0x01, 0x0b].repeat(10_000), vec![0x1a; count]].concat();
    let module = module(&[
        section(1, &list([b"\x60\0\0".to_vec(), passes_on])),
        section(3, &list([vec![0]])),
        section(10, &list([function(0, &body)])),
    ]);
    component(&[section(1, &module)])
}

/// So many empty functions.
pub(super) fn functions(count: usize) -> Vec<u8> {
    let module = module(&[
        section(1, &list([b"\x60\0\0".to_vec()])),
        section(3, &list(vec![vec![0]; count])),
        section(10, &list(vec![function(0, &[]); count])),
    ]);
    component(&[section(1, &module)])
}

/// One function under so many names.
pub(super) fn core_exports(count: usize) -> Vec<u8> {
    let export = |at: usize| {
        let name = format!("e{at}");
        [number(name.len()), name.into_bytes(), vec![0x00, 0x00]].concat()
    };
    let module = module(&[
        section(1, &list([b"\x60\0\0".to_vec()])),
        section(3, &list([vec![0]])),
        section(7, &list((0..count).map(export))),
        section(10, &list([function(0, &[])])),
    ]);
    component(&[section(1, &module)])
}

/// A segment of so many elements, which each new instance would make.
pub(super) fn elements(count: usize) -> Vec<u8> {
    let module = module(&[
        section(1, &list([b"\x60\0\0".to_vec()])),
        section(3, &list([vec![0]])),
        section(9, &list([[vec![0x01, 0x00], number(count), vec![0; count]].concat()])),
        section(10, &list([function(0, &[])])),
    ]);
    component(&[section(1, &module)])
}
