//! WebAssembly's binary form: sections taken apart and put together, and the encoding of instructions.

use wasmparser::{BinaryReader, Result};

use crate::sandbox::intake::PROPOSALS;

/// The bytes before the first section.
const PREAMBLE_BYTES: usize = 8;

/// The ids of sections.
pub(super) const CUSTOM: u8 = 0;
pub(super) const TYPES: u8 = 1;
pub(super) const IMPORTS: u8 = 2;
pub(super) const FUNCTIONS: u8 = 3;
pub(super) const CODE: u8 = 10;
pub(super) const MEMORIES: u8 = 5;
pub(super) const GLOBALS: u8 = 6;
pub(super) const START: u8 = 8;
pub(super) const DATA: u8 = 11;
pub(super) const DATA_COUNT: u8 = 12;

/// The ids of sections of a component that hold a module or a component.
pub(super) const CORE_MODULE: u8 = 1;
pub(super) const COMPONENT: u8 = 4;

/// One section of a module or of a component.
pub(super) struct Section<'a> {
    pub(super) id: u8,
    /// The section with its id and length.
    pub(super) whole: &'a [u8],
    pub(super) content: &'a [u8],
}

/// The preamble, and the sections behind it.
pub(super) fn sections(bytes: &[u8]) -> Result<(&[u8], Vec<Section<'_>>)> {
    let mut reader = BinaryReader::new(bytes, 0);
    let preamble = reader.read_bytes(PREAMBLE_BYTES)?;
    let mut sections = Vec::new();
    while !reader.eof() {
        let begin = reader.current_position();
        let id = reader.read_u8()?;
        let length = reader.read_var_u32()?;
        let content = reader.read_bytes(usize::try_from(length).unwrap_or(usize::MAX))?;
        let whole = bytes.get(begin..reader.current_position()).unwrap_or_default();
        sections.push(Section { id, whole, content });
    }
    Ok((preamble, sections))
}

/// Writes a section around its content.
pub(super) fn write_section(out: &mut Vec<u8>, id: u8, content: &[u8]) {
    out.push(id);
    write_sized(out, content);
}

/// Writes bytes behind their length.
pub(super) fn write_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    write_u32(out, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(bytes);
}

/// Writes a number as LEB128.
pub(super) fn write_u32(out: &mut Vec<u8>, number: u32) {
    let mut rest = number;
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

/// Writes a number as signed LEB128.
fn write_i64(out: &mut Vec<u8>, number: i64) {
    let mut rest = number;
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        // The highest bit of the last byte is the sign.
        let sign = if low & 0x40 == 0 { 0 } else { -1 };
        if rest == sign {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

/// A bulk instruction of three operands, with the memories, tables or segments that it works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bulk {
    Fill { memory: u32 },
    Copy { to: u32, from: u32 },
    Init { segment: u32, memory: u32 },
    TableCopy { to: u32, from: u32 },
}

/// A sequence of encoded instructions.
#[derive(Default)]
pub(super) struct Instructions(pub(super) Vec<u8>);

/// The encoders of instructions. Each method but the last writes the instruction that it is named after.
impl Instructions {
    pub(super) fn loop_(&mut self) -> &mut Self {
        self.bytes(&[0x03, EMPTY_BLOCK])
    }

    pub(super) fn if_(&mut self) -> &mut Self {
        self.bytes(&[0x04, EMPTY_BLOCK])
    }

    /// Writes an `if` whose parameters and results are those of a function type.
    pub(super) fn if_of_type(&mut self, index: u32) -> &mut Self {
        self.bytes(&[0x04]);
        write_i64(&mut self.0, i64::from(index));
        self
    }

    pub(super) fn else_(&mut self) -> &mut Self {
        self.bytes(&[0x05])
    }

    pub(super) fn end(&mut self) -> &mut Self {
        self.bytes(&[0x0b])
    }

    pub(super) fn br_if(&mut self, depth: u32) -> &mut Self {
        self.of_index(&[0x0d], depth)
    }

    pub(super) fn return_(&mut self) -> &mut Self {
        self.bytes(&[0x0f])
    }

    pub(super) fn call(&mut self, function: u32) -> &mut Self {
        self.of_index(&[0x10], function)
    }

    pub(super) fn local_get(&mut self, local: u32) -> &mut Self {
        self.of_index(&[0x20], local)
    }

    pub(super) fn local_set(&mut self, local: u32) -> &mut Self {
        self.of_index(&[0x21], local)
    }

    pub(super) fn local_tee(&mut self, local: u32) -> &mut Self {
        self.of_index(&[0x22], local)
    }

    pub(super) fn global_get(&mut self, global: u32) -> &mut Self {
        self.of_index(&[0x23], global)
    }

    pub(super) fn global_set(&mut self, global: u32) -> &mut Self {
        self.of_index(&[0x24], global)
    }

    pub(super) fn memory_grow(&mut self, memory: u32) -> &mut Self {
        self.of_index(&[0x40], memory)
    }

    pub(super) fn memory_size(&mut self, memory: u32) -> &mut Self {
        self.of_index(&[0x3f], memory)
    }

    pub(super) fn table_size(&mut self, table: u32) -> &mut Self {
        self.of_index(&[BULK_PREFIX, 0x10], table)
    }

    pub(super) fn drop(&mut self) -> &mut Self {
        self.bytes(&[0x1a])
    }

    /// Writes a load of one byte, aligned and offset by nothing, with the index of its memory.
    pub(super) fn i32_load8_u(&mut self, memory: u32) -> &mut Self {
        self.of_index(&[0x2d, HAS_MEMORY], memory).bytes(&[0])
    }

    pub(super) fn i32_const(&mut self, number: u32) -> &mut Self {
        self.bytes(&[0x41]);
        write_i64(&mut self.0, i64::from(number.cast_signed()));
        self
    }

    pub(super) fn i64_const(&mut self, number: i64) -> &mut Self {
        self.bytes(&[0x42]);
        write_i64(&mut self.0, number);
        self
    }

    pub(super) fn i32_eq(&mut self) -> &mut Self {
        self.bytes(&[0x46])
    }

    pub(super) fn i32_lt_u(&mut self) -> &mut Self {
        self.bytes(&[0x49])
    }

    pub(super) fn i32_gt_u(&mut self) -> &mut Self {
        self.bytes(&[0x4b])
    }

    pub(super) fn i64_gt_u(&mut self) -> &mut Self {
        self.bytes(&[0x56])
    }

    pub(super) fn i32_add(&mut self) -> &mut Self {
        self.bytes(&[0x6a])
    }

    pub(super) fn i32_sub(&mut self) -> &mut Self {
        self.bytes(&[0x6b])
    }

    pub(super) fn i32_or(&mut self) -> &mut Self {
        self.bytes(&[0x72])
    }

    pub(super) fn i64_add(&mut self) -> &mut Self {
        self.bytes(&[0x7c])
    }

    pub(super) fn i64_shl(&mut self) -> &mut Self {
        self.bytes(&[0x86])
    }

    pub(super) fn i64_extend_i32_u(&mut self) -> &mut Self {
        self.bytes(&[0xad])
    }

    pub(super) fn bulk(&mut self, bulk: Bulk) -> &mut Self {
        match bulk {
            Bulk::Init { segment, memory } => self.of_index(&[BULK_PREFIX, 0x08], segment).index(memory),
            Bulk::Copy { to, from } => self.of_index(&[BULK_PREFIX, 0x0a], to).index(from),
            Bulk::Fill { memory } => self.of_index(&[BULK_PREFIX, 0x0b], memory),
            Bulk::TableCopy { to, from } => self.of_index(&[BULK_PREFIX, 0x0e], to).index(from),
        }
    }

    pub(super) fn data_drop(&mut self, segment: u32) -> &mut Self {
        self.of_index(&[BULK_PREFIX, 0x09], segment)
    }

    fn of_index(&mut self, instruction: &[u8], index: u32) -> &mut Self {
        self.bytes(instruction).index(index)
    }

    fn index(&mut self, index: u32) -> &mut Self {
        write_u32(&mut self.0, index);
        self
    }

    /// Writes instructions that are encoded already.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// The first byte of bulk instructions, and of some others.
pub(super) const BULK_PREFIX: u8 = 0xfc;

/// The flag of a load or store that states its memory, before an alignment of one byte.
const HAS_MEMORY: u8 = 0x40;

/// A block without parameters and results.
const EMPTY_BLOCK: u8 = 0x40;

/// The content of a section, if the module has it.
pub(super) fn content<'a>(sections: &[Section<'a>], id: u8) -> Option<&'a [u8]> {
    sections.iter().find(|section| section.id == id).map(|section| section.content)
}

/// A reader of a section's content.
pub(super) fn reader(content: &[u8]) -> BinaryReader<'_> {
    BinaryReader::new_features(content, 0, PROPOSALS)
}
