//! One function's body: its bulk instructions are found, and put into choices.

use std::ops::Range;

use wasmparser::{BinaryReader, FunctionBody, Operator, Result};

use super::encode::{BULK_PREFIX, Bulk, Instructions, write_u32};
use super::loops::Loops;
use crate::sandbox::intake::PROPOSALS;

/// The type of a local, in binary.
const I32: u8 = 0x7f;

/// A body without its long bulk instructions. None if the body has none.
pub(super) fn cut(body: &[u8], parameters: u32, loops: &mut Loops<'_>) -> Result<Option<Vec<u8>>> {
    if memchr::memchr(BULK_PREFIX, body).is_none() {
        return Ok(None);
    }
    let function = FunctionBody::new(BinaryReader::new_features(body, 0, PROPOSALS));
    let found = find(&function, loops)?;
    if found.is_empty() {
        return Ok(None);
    }
    let (locals, declarations) = locals(&function)?;
    let scratch = parameters.saturating_add(locals);

    let mut code = Instructions::default();
    write_u32(&mut code.0, declarations.groups.saturating_add(1));
    code.bytes(body.get(declarations.bytes.clone()).unwrap_or_default()).bytes(&[1, I32]);
    let mut copied = declarations.bytes.end;
    for (place, bulk) in found {
        code.bytes(body.get(copied..place.start).unwrap_or_default());
        loops.write_choice(&mut code, bulk, scratch);
        copied = place.end;
    }
    code.bytes(body.get(copied..).unwrap_or_default());
    Ok(Some(code.0))
}

/// The positions of long bulk instructions, in their order.
fn find(function: &FunctionBody<'_>, loops: &Loops<'_>) -> Result<Vec<(Range<usize>, Bulk)>> {
    let mut found = Vec::new();
    let mut operators = function.get_operators_reader()?;
    let mut constant = None;
    while !operators.eof() {
        let begin = operators.original_position();
        let operator = operators.read()?;
        let bulk = match operator {
            Operator::MemoryFill { mem } => Some(Bulk::Fill { memory: mem }),
            Operator::MemoryCopy { dst_mem, src_mem } => Some(Bulk::Copy { to: dst_mem, from: src_mem }),
            Operator::TableCopy { dst_table, src_table } => {
                Some(Bulk::TableCopy { to: dst_table, from: src_table })
            }
            Operator::MemoryInit { data_index, mem } => Some(Bulk::Init { segment: data_index, memory: mem }),
            _ => None,
        };
        if let Some(bulk) = bulk.filter(|bulk| loops.is_long(*bulk, constant)) {
            found.push((position(begin)..position(operators.original_position()), bulk));
        }
        // Nothing can come between two instructions that stand side by side, so the constant is the third operand.
        constant = match operator {
            Operator::I32Const { value } => Some(value.cast_unsigned()),
            _ => None,
        };
    }
    Ok(found)
}

/// The groups of locals, as a body declares them.
struct Declarations {
    groups: u32,
    bytes: Range<usize>,
}

/// The number of locals beside the parameters, and the position of their declarations.
fn locals(function: &FunctionBody<'_>) -> Result<(u32, Declarations)> {
    let mut reader = function.get_locals_reader()?;
    let (groups, begin) = (reader.get_count(), position(reader.original_position()));
    let mut locals: u32 = 0;
    for _ in 0..groups {
        let (count, _) = reader.read()?;
        locals = locals.saturating_add(count);
    }
    Ok((locals, Declarations { groups, bytes: begin..position(reader.original_position()) }))
}

/// A position in a body, as an index of its bytes.
fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
