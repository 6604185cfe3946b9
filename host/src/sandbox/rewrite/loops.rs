//! The functions that are added to a module. Each does the work of one bulk instruction, piece by piece.

use std::collections::BTreeMap;

use super::encode::{Bulk, Instructions, write_u32};
use super::pieces::Pieces;

/// The parameters of every added function: `(i32, i32, i32)`, the operands of its instruction. The second is a byte's
/// value where memory is filled, and a place in the source where something is copied.
const TO: u32 = 0;
const FROM: u32 = 1;
const LENGTH: u32 = 2;

/// A module's pages have 2^16 bytes: other sizes are a proposal that intake does not let through.
const PAGE_BITS: i64 = 16;

/// The added functions of one module, each made when it is first wanted.
pub(super) struct Loops<'a> {
    /// The index of the first added function.
    first: u32,
    /// The index of the functions' type.
    type_index: u32,
    pieces: Pieces,
    /// The length of each data segment.
    segment_bytes: &'a [usize],
    /// The instructions that a function is added for, and the function's place among the added ones.
    wanted: BTreeMap<Bulk, u32>,
}

impl<'a> Loops<'a> {
    pub(super) fn new(first: u32, type_index: u32, pieces: Pieces, segment_bytes: &'a [usize]) -> Self {
        Self { first, type_index, pieces, segment_bytes, wanted: BTreeMap::new() }
    }

    /// The bodies of the added functions, in the order of their indices.
    pub(super) fn bodies(&self) -> Vec<Vec<u8>> {
        let mut wanted: Vec<_> = self.wanted.iter().collect();
        wanted.sort_by_key(|(_, place)| **place);
        wanted.into_iter().map(|(bulk, _)| self.body(*bulk)).collect()
    }

    /// True if an instruction can do more than a piece. `length` is its third operand, if that is a constant.
    pub(super) fn is_long(&self, bulk: Bulk, length: Option<u32>) -> bool {
        let piece = self.piece_of(bulk);
        let is_more = |bytes: usize| usize::try_from(piece).is_ok_and(|piece| bytes > piece);
        let may_be = length.is_none_or(|length| length > piece);
        may_be
            && match bulk {
                // An instruction that asks for more than its segment has traps before it writes anything.
                Bulk::Init { segment, .. } => self.bytes_of(segment).is_some_and(is_more),
                Bulk::Copy { .. } | Bulk::Fill { .. } | Bulk::TableCopy { .. } => true,
            }
    }

    /// Writes the choice that replaces an instruction, whose operands are on the stack. `scratch` is a local that
    /// nothing else uses.
    pub(super) fn write_choice(&mut self, code: &mut Instructions, bulk: Bulk, scratch: u32) {
        let index = self.index_of(bulk);
        code.local_tee(scratch).local_get(scratch).i32_const(self.piece_of(bulk)).i32_gt_u();
        code.if_of_type(self.type_index).call(index).else_().bulk(bulk).end();
    }

    /// Writes an instruction whose third operand is this constant, or the call of its added function.
    pub(super) fn write(&mut self, code: &mut Instructions, bulk: Bulk, length: u32) {
        if self.is_long(bulk, Some(length)) {
            let index = self.index_of(bulk);
            code.call(index);
        } else {
            code.bulk(bulk);
        }
    }

    /// The index of the function for an instruction.
    fn index_of(&mut self, bulk: Bulk) -> u32 {
        let next = u32::try_from(self.wanted.len()).unwrap_or(u32::MAX);
        self.first.saturating_add(*self.wanted.entry(bulk).or_insert(next))
    }

    /// The body of the function for an instruction. The function is called for more than a piece only.
    fn body(&self, bulk: Bulk) -> Vec<u8> {
        let mut code = Instructions::default();
        // The function has no locals of its own.
        write_u32(&mut code.0, 0);
        self.write_whole_if_beyond(&mut code, bulk);
        match bulk {
            // Two memories may be one that was imported twice, so the places alone tell if the ranges overlap.
            Bulk::Copy { .. } | Bulk::TableCopy { .. } => {
                code.local_get(TO).local_get(FROM).i32_gt_u().if_();
                self.write_backward(&mut code, bulk);
                code.else_();
                self.write_forward(&mut code, bulk);
                code.end();
            }
            Bulk::Fill { .. } | Bulk::Init { .. } => self.write_forward(&mut code, bulk),
        }
        code.local_get(TO).local_get(FROM).local_get(LENGTH).bulk(bulk);
        code.end();
        code.0
    }

    /// Writes the check of the bounds: an instruction that is out of bounds is tried whole, so that it traps as ever,
    /// and before anything is written.
    fn write_whole_if_beyond(&self, code: &mut Instructions, bulk: Bulk) {
        let memory_bytes = |code: &mut Instructions, memory: u32| {
            code.memory_size(memory).i64_extend_i32_u().i64_const(PAGE_BITS).i64_shl();
        };
        write_end_of(code, TO);
        match bulk {
            Bulk::Fill { memory } => {
                memory_bytes(code, memory);
                code.i64_gt_u();
            }
            Bulk::TableCopy { to, from } => {
                code.table_size(to).i64_extend_i32_u().i64_gt_u();
                write_end_of(code, FROM);
                code.table_size(from).i64_extend_i32_u().i64_gt_u().i32_or();
            }
            Bulk::Copy { to, from } => {
                memory_bytes(code, to);
                code.i64_gt_u();
                write_end_of(code, FROM);
                memory_bytes(code, from);
                code.i64_gt_u().i32_or();
            }
            Bulk::Init { segment, memory } => {
                memory_bytes(code, memory);
                code.i64_gt_u();
                write_end_of(code, FROM);
                // A segment that was dropped has no bytes, and the instruction traps at its first piece.
                let bytes = self.bytes_of(segment).and_then(|bytes| i64::try_from(bytes).ok());
                code.i64_const(bytes.unwrap_or_default()).i64_gt_u().i32_or();
            }
        }
        code.if_().local_get(TO).local_get(FROM).local_get(LENGTH).bulk(bulk).return_().end();
    }

    /// Writes a loop over all pieces but the last, from the first on.
    fn write_forward(&self, code: &mut Instructions, bulk: Bulk) {
        let piece = self.piece_of(bulk);
        code.loop_();
        code.local_get(TO).local_get(FROM).i32_const(piece).bulk(bulk);
        code.local_get(TO).i32_const(piece).i32_add().local_set(TO);
        if !matches!(bulk, Bulk::Fill { .. }) {
            code.local_get(FROM).i32_const(piece).i32_add().local_set(FROM);
        }
        code.local_get(LENGTH).i32_const(piece).i32_sub().local_tee(LENGTH);
        code.i32_const(piece).i32_gt_u().br_if(0).end();
    }

    /// Writes a loop over all pieces but the first, from the last on.
    fn write_backward(&self, code: &mut Instructions, bulk: Bulk) {
        let piece = self.piece_of(bulk);
        code.loop_();
        code.local_get(LENGTH).i32_const(piece).i32_sub().local_set(LENGTH);
        code.local_get(TO).local_get(LENGTH).i32_add();
        code.local_get(FROM).local_get(LENGTH).i32_add();
        code.i32_const(piece).bulk(bulk);
        code.local_get(LENGTH).i32_const(piece).i32_gt_u().br_if(0).end();
    }

    fn piece_of(&self, bulk: Bulk) -> u32 {
        match bulk {
            Bulk::Fill { .. } | Bulk::Copy { .. } | Bulk::Init { .. } => self.pieces.bytes,
            Bulk::TableCopy { .. } => self.pieces.elements,
        }
    }

    fn bytes_of(&self, segment: u32) -> Option<usize> {
        self.segment_bytes.get(usize::try_from(segment).ok()?).copied()
    }
}

/// Writes the end of the range that begins at this parameter. It is a 64-bit number, for 32 bits may be too few.
fn write_end_of(code: &mut Instructions, begin: u32) {
    code.local_get(begin).i64_extend_i32_u().local_get(LENGTH).i64_extend_i32_u().i64_add();
}
