//! Pages that are mapped: a new instance reads one byte of each page of its small memories.
//!
//! When an instance is gone, wasmtime asks the kernel which pages of its memory were written, and puts these back
//! (`PAGEMAP_SCAN`). Since Linux 6.18 at the latest, the kernel names pages that were never touched as well (wasmtime
//! 50 cannot tell them apart: it must also find pages in swap). wasmtime then fills these with zeros, until there are
//! more of them than a slot keeps; the rest it gives back by `madvise`, and each processor is interrupted for that.
//! A page that was read is mapped to the kernel's page of zeros, or to the component's data, and is not named. So each
//! page is read once a call, which costs 2 µs for the 17 pages of 64 KiB of a guest in Rust; after the first call in a
//! slot no read is a fault. A fresh call took 116 µs of CPU without, and 41 µs with it (a lean guest; 172 and 69 µs of
//! `wasi:http`).
//!
//! Larger memories than [`SMALL_MEMORY_BYTES`] are left alone: most of their pages are given back after each call, and
//! each read would be a fault.

use std::collections::BTreeMap;

use wasmparser::{MemorySectionReader, Result};

use super::encode::{
    CODE, FUNCTIONS, Instructions, MEMORIES, START, Section, TYPES, content, reader, sections, write_sized,
    write_u32,
};
use super::module::{EMPTY, Module, START_TYPE, count, place, put_together, with_more};
use crate::sandbox::pool::SMALL_MEMORY_BYTES;

/// The distance between two reads. Pages of the system are no smaller.
const PAGE_BYTES: u32 = 4096;

/// The type of the start function's one local, `i32`.
const I32: u8 = 0x7f;

/// A module whose instances read the pages of their small memories before anything else. None if it has no such
/// memory.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Vec<u8>>> {
    let (preamble, sections) = sections(bytes)?;
    let module = Module::read(&sections)?;
    let memories = small_memories(&sections, module.imported_memories)?;
    if memories.is_empty() {
        return Ok(None);
    }
    let own = |id| content(&sections, id).unwrap_or(EMPTY);
    let own_start = content(&sections, START).map(|start| reader(start).read_var_u32()).transpose()?;
    let number = |number: u32| {
        let mut bytes = Vec::new();
        write_u32(&mut bytes, number);
        bytes
    };
    let type_index = number(count(&module.parameters));
    let start = number(module.imported.saturating_add(count(&module.functions)));
    let mut code = Vec::new();
    write_sized(&mut code, &body(&memories, own_start));
    let changed = BTreeMap::from([
        (place(TYPES), (TYPES, with_more(own(TYPES), &[START_TYPE.to_vec()])?)),
        (place(FUNCTIONS), (FUNCTIONS, with_more(own(FUNCTIONS), &[type_index])?)),
        (place(START), (START, start)),
        (place(CODE), (CODE, with_more(own(CODE), &[code])?)),
    ]);
    Ok(Some(put_together(preamble, &sections, changed)))
}

/// The index of each small memory of the module's own, and the bytes that the memory begins with.
fn small_memories(sections: &[Section<'_>], imported: u32) -> Result<Vec<(u32, u32)>> {
    let Some(memories) = content(sections, MEMORIES) else { return Ok(Vec::new()) };
    let mut small = Vec::new();
    for (index, memory) in (imported..).zip(MemorySectionReader::new(reader(memories))?) {
        let memory = memory?;
        let bytes = memory.initial.saturating_mul(64 << 10);
        if !memory.memory64
            && (1..=SMALL_MEMORY_BYTES).contains(&bytes)
            && let Ok(bytes) = u32::try_from(bytes)
        {
            small.push((index, bytes));
        }
    }
    Ok(small)
}

/// The start function's body. At its end it calls `start`, the module's own.
fn body(memories: &[(u32, u32)], start: Option<u32>) -> Vec<u8> {
    const AT: u32 = 0;
    let mut code = Instructions::default();
    code.bytes(&[1, 1, I32]);
    for (memory, bytes) in memories {
        code.i32_const(0).local_set(AT);
        code.loop_().local_get(AT).i32_load8_u(*memory).drop();
        code.local_get(AT).i32_const(PAGE_BYTES).i32_add().local_tee(AT);
        code.i32_const(*bytes).i32_lt_u().br_if(0).end();
    }
    if let Some(start) = start {
        code.call(start);
    }
    code.end();
    code.0
}
