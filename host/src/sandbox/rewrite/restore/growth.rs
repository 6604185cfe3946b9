//! The size of a memory as its guest knows it, beside the size that the memory has.
//!
//! A memory cannot shrink. So an instance whose memory grew could not be put back; and most guests of a language with an
//! allocator grow their memory in each call. In a module that is changed here, a global holds the size that the guest
//! knows: `memory.size` reads the global, and `memory.grow` calls an added function, which grows the memory only if it is
//! too small. The memory itself gets its room once, when the instance begins (`keeper` in `parts.rs`), and a call starts
//! with the first size again, for the global is put back as all others are.
//!
//! **The price**: what reads or writes memory behind the size that the guest knows traps only behind the room. Each
//! instance of a plugin has this room from its first call on, and all of it is zeros when a call begins. So nothing is
//! told of other calls.
//!
//! The functions that were added before (`loops.rs`) go on to ask the memory itself: what they let run as a whole must trap.

use std::collections::BTreeMap;
use std::ops::Range;

use wasmparser::{BinaryReader, CodeSectionReader, FunctionBody, Operator, Result};

use crate::sandbox::intake::PROPOSALS;
use crate::sandbox::rewrite::encode::{
    CODE, FUNCTIONS, GLOBALS, Instructions, TYPES, content, reader, sections, write_sized, write_u32,
};
use crate::sandbox::rewrite::module::{EMPTY, Module, count, place, put_together, with_more};

/// The type of the added function, in binary: `(i32) -> i32`.
const GROW_TYPE: [u8; 5] = [0x60, 1, I32, 1, I32];
const I32: u8 = 0x7f;
const MUTABLE: u8 = 1;

/// A module whose own and only memory begins with so many pages, with a size of its guest's own in the global of this
/// index, which is the first behind those that the module has. The guest's own functions are the first ones, so many.
pub(super) fn with_own_size(bytes: &[u8], pages: u32, global: u32, functions: usize) -> Result<Vec<u8>> {
    let (preamble, sections) = sections(bytes)?;
    let module = Module::read(&sections)?;
    let own = |id| content(&sections, id).unwrap_or(EMPTY);
    let grow = module.imported.saturating_add(count(&module.functions));
    let mut type_index = Vec::new();
    write_u32(&mut type_index, count(&module.parameters));
    let mut size = Instructions(vec![I32, MUTABLE]);
    size.i32_const(pages).end();

    let mut code = Vec::new();
    write_u32(&mut code, count(&module.functions).saturating_add(1));
    if let Some(bodies) = content(&sections, CODE) {
        for (number, body) in CodeSectionReader::new(reader(bodies))?.into_iter().enumerate() {
            let body = body?;
            let is_own = number < functions;
            let changed = if is_own { changed(body.as_bytes(), global, grow)? } else { None };
            write_sized(&mut code, changed.as_deref().unwrap_or(body.as_bytes()));
        }
    }
    write_sized(&mut code, &grow_body(global));
    let changed = BTreeMap::from([
        (place(TYPES), (TYPES, with_more(own(TYPES), &[GROW_TYPE.to_vec()])?)),
        (place(FUNCTIONS), (FUNCTIONS, with_more(own(FUNCTIONS), &[type_index])?)),
        (place(GLOBALS), (GLOBALS, with_more(own(GLOBALS), &[size.0])?)),
        (place(CODE), (CODE, code)),
    ]);
    Ok(put_together(preamble, &sections, changed))
}

/// A function's body that asks the global for the memory's size, and the added function for more. None if it asks for
/// neither.
fn changed(body: &[u8], global: u32, grow: u32) -> Result<Option<Vec<u8>>> {
    let found = find(body)?;
    if found.is_empty() {
        return Ok(None);
    }
    let mut code = Instructions::default();
    let mut copied = 0;
    for (place, asked) in found {
        code.bytes(body.get(copied..place.start).unwrap_or_default());
        match asked {
            Asked::Size => code.global_get(global),
            Asked::Growth => code.call(grow),
        };
        copied = place.end;
    }
    code.bytes(body.get(copied..).unwrap_or_default());
    Ok(Some(code.0))
}

enum Asked {
    Size,
    Growth,
}

/// The positions of instructions that ask for the size of a memory, or for more of it.
fn find(body: &[u8]) -> Result<Vec<(Range<usize>, Asked)>> {
    let function = FunctionBody::new(BinaryReader::new_features(body, 0, PROPOSALS));
    let mut found = Vec::new();
    let mut operators = function.get_operators_reader()?;
    while !operators.eof() {
        let begin = operators.original_position();
        let asked = match operators.read()? {
            Operator::MemorySize { .. } => Asked::Size,
            Operator::MemoryGrow { .. } => Asked::Growth,
            _ => continue,
        };
        let position = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        found.push((position(begin)..position(operators.original_position()), asked));
    }
    Ok(found)
}

/// The body of the added function, which does what `memory.grow` does.
fn grow_body(size: u32) -> Vec<u8> {
    const PAGES: u32 = 0;
    const BEFORE: u32 = 1;
    const AFTER: u32 = 2;
    const REFUSED: u32 = u32::MAX;
    let mut code = Instructions::default();
    code.bytes(&[1, 2, I32]);
    code.global_get(size).local_tee(BEFORE).local_get(PAGES).i32_add().local_set(AFTER);
    // Of 2^32 pages and more, the sum has lost its highest bit.
    code.local_get(AFTER).local_get(BEFORE).i32_lt_u();
    code.if_().i32_const(REFUSED).return_().end();
    code.local_get(AFTER).memory_size(0).i32_gt_u().if_();
    code.local_get(AFTER).memory_size(0).i32_sub().memory_grow(0);
    code.i32_const(REFUSED).i32_eq().if_().i32_const(REFUSED).return_().end();
    code.end();
    code.local_get(AFTER).global_set(size).local_get(BEFORE).end();
    code.0
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::sandbox::rewrite::tests::counting_looks;
    use crate::sandbox::rewrite::{PIECES, module};

    #[test]
    fn a_long_fill_that_ends_in_the_room_is_in_pieces_too() {
        let text = r#"(module (memory (export "memory") 512)
            (func (export "fill") (memory.fill (i32.const 0) (i32.const 7) (i32.const 0x2400000)))
            (func (export "size") (result i32) (memory.size)))"#;
        let cut = module::cut(&wat::parse_str(text).unwrap(), PIECES).unwrap().unwrap();
        let sized = with_own_size(&cut, 512, 0, 2).unwrap();
        let (mut store, instance, looks) = counting_looks(&sized);
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        memory.grow(&mut store, 128).unwrap();
        instance.get_typed_func::<(), ()>(&mut store, "fill").unwrap().call(&mut store, ()).unwrap();
        let looks = looks.load(Ordering::Relaxed);
        assert!(looks >= 0x240_0000 / PIECES.bytes, "{looks} looks");
        let size = instance.get_typed_func::<(), i32>(&mut store, "size").unwrap();
        assert_eq!(size.call(&mut store, ()).unwrap(), 512);
    }
}
