//! Data segments that each new instance copies into its memory: here a start function copies them in pieces.
//!
//! wasmtime maps the data of most modules into a new instance's memory. If a module has a segment for a memory from
//! outside, at a place that is not known yet, or far from all others, wasmtime copies all of the module's segments,
//! each at once, before any code of the guest runs. If these are many bytes, the segments are made passive here, and
//! a start function copies them: in their order, by the rules for `memory.init`, before the module's own start
//! function.

use wasmparser::{DataKind, DataSectionReader, MemorySectionReader, Operator, Result};

use super::encode::{Bulk, DATA, Instructions, MEMORIES, Section, content, reader, write_sized, write_u32};
use super::loops::Loops;
use super::pieces::Pieces;

/// The number of pieces up to which data is not much: half a millisecond.
const FEW: u64 = 16;

/// The span up to which wasmtime maps data, however sparse it is; beyond, it maps data that is half full:
/// `Config::memory_guaranteed_dense_image_size`.
const SPAN_BYTES: u64 = 16 << 20;

/// A passive segment's flags.
const PASSIVE: u8 = 1;

/// The instruction that ends an expression.
const END: u8 = 0x0b;

/// The active segments of a module that are to be copied by a start function.
pub(super) struct Segments<'a> {
    active: Vec<Active<'a>>,
    /// The content of the data section with its active segments made passive, and the number of its segments.
    data: Vec<u8>,
    count: u32,
}

struct Active<'a> {
    index: u32,
    memory: u32,
    /// The instructions that compute the segment's place in memory.
    offset: &'a [u8],
    length: usize,
}

/// The range that a memory's segments span, and their length together.
#[derive(Clone)]
struct Span {
    begin: u64,
    end: u64,
    bytes: u64,
}

impl<'a> Segments<'a> {
    /// The segments of a module. None if wasmtime maps them, or if they are few bytes. `imported` is the number of
    /// memories from outside.
    pub(super) fn find(sections: &[Section<'a>], imported: u32, pieces: Pieces) -> Result<Option<Self>> {
        let Some(data) = content(sections, DATA) else { return Ok(None) };
        let mut found = Self { active: Vec::new(), data: Vec::new(), count: 0 };
        let mut total: u64 = 0;
        let mut spans = Spans::of(sections, imported)?;
        let mut is_mapped = true;
        for segment in DataSectionReader::new(reader(data))? {
            let segment = segment?;
            if let DataKind::Active { memory_index: memory, offset_expr } = &segment.kind {
                let mut operators = offset_expr.get_operators_reader();
                let begin = match operators.read()? {
                    Operator::I32Const { value } if matches!(operators.read()?, Operator::End) => {
                        Some(value.cast_unsigned())
                    }
                    _ => None,
                };
                is_mapped &= begin.is_some_and(|begin| spans.add(*memory, begin, segment.data.len()));
                let mut offset = offset_expr.get_binary_reader();
                let offset = offset.read_bytes(offset.bytes_remaining())?;
                let offset = offset.strip_suffix(&[END]).unwrap_or(offset);
                let length = segment.data.len();
                total = total.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
                found.active.push(Active { index: found.count, memory: *memory, offset, length });
            }
            found.data.push(PASSIVE);
            write_sized(&mut found.data, segment.data);
            found.count = found.count.saturating_add(1);
        }
        let is_much = total > u64::from(pieces.bytes).saturating_mul(FEW);
        Ok((is_much && !(is_mapped && spans.are_dense())).then_some(found))
    }

    /// The data section's content.
    pub(super) fn section(&self) -> Vec<u8> {
        let mut content = Vec::with_capacity(self.data.len());
        write_u32(&mut content, self.count);
        content.extend_from_slice(&self.data);
        content
    }

    /// The content of the section that states the number of segments.
    pub(super) fn count(&self) -> Vec<u8> {
        let mut content = Vec::new();
        write_u32(&mut content, self.count);
        content
    }

    /// The start function's body. At its end it calls `start`, the module's own.
    pub(super) fn body(&self, start: Option<u32>, loops: &mut Loops<'_>) -> Vec<u8> {
        let mut code = Instructions::default();
        write_u32(&mut code.0, 0);
        for Active { index, memory, offset, length } in &self.active {
            let length = u32::try_from(*length).unwrap_or(u32::MAX);
            code.bytes(offset).i32_const(0).i32_const(length);
            loops.write(&mut code, Bulk::Init { segment: *index, memory: *memory }, length);
            code.data_drop(*index);
        }
        if let Some(start) = start {
            code.call(start);
        }
        code.end();
        code.0
    }
}

/// The spans of data in the module's own memories.
struct Spans {
    imported: u32,
    /// The length of each memory.
    memory_bytes: Vec<u64>,
    each: Vec<Span>,
}

impl Spans {
    fn of(sections: &[Section<'_>], imported: u32) -> Result<Self> {
        let mut memory_bytes = Vec::new();
        if let Some(memories) = content(sections, MEMORIES) {
            for memory in MemorySectionReader::new(reader(memories))? {
                memory_bytes.push(memory?.initial.saturating_mul(64 << 10));
            }
        }
        let each = vec![Span { begin: u64::MAX, end: 0, bytes: 0 }; memory_bytes.len()];
        Ok(Self { imported, memory_bytes, each })
    }

    /// Adds a segment. True if it fits a memory of the module's own.
    fn add(&mut self, memory: u32, begin: u32, length: usize) -> bool {
        let index = memory.checked_sub(self.imported).and_then(|index| usize::try_from(index).ok());
        let Some(index) = index else { return false };
        let (Some(has), Some(span)) = (self.memory_bytes.get(index), self.each.get_mut(index)) else {
            return false;
        };
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let begin = u64::from(begin);
        let end = begin.saturating_add(length);
        if length > 0 {
            span.begin = span.begin.min(begin);
            span.end = span.end.max(end);
            span.bytes = span.bytes.saturating_add(length);
        }
        end <= *has
    }

    fn are_dense(&self) -> bool {
        self.each.iter().filter(|span| span.bytes > 0).all(|span| {
            let length = span.end.saturating_sub(span.begin);
            length < span.bytes.saturating_mul(2) || length < SPAN_BYTES
        })
    }
}
