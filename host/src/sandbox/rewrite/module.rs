//! One core module: the sections that change when bulk instructions are cut, and the sections that are added.

use std::collections::BTreeMap;

use wasmparser::{
    CodeSectionReader, DataSectionReader, FunctionSectionReader, ImportSectionReader, Result, TypeRef,
    TypeSectionReader,
};

use super::encode::{
    BULK_PREFIX, CODE, CUSTOM, DATA, DATA_COUNT, FUNCTIONS, GLOBALS, IMPORTS, MEMORIES, START, Section,
    TYPES, content, reader, sections, write_section, write_sized, write_u32,
};
use super::function;
use super::loops::Loops;
use super::pieces::Pieces;
use super::segments::Segments;

/// The ids of all sections but custom ones, in the order in which they stand.
const ORDER: [u8; 13] =
    [TYPES, IMPORTS, FUNCTIONS, 4, MEMORIES, 13, GLOBALS, 7, START, 9, DATA_COUNT, CODE, DATA];

/// The type of a start function, in binary.
pub(super) const START_TYPE: [u8; 3] = [0x60, 0, 0];

/// The type of an added function, in binary: three parameters and no results.
const LOOP_TYPE: [u8; 6] = [0x60, 3, 0x7f, 0x7f, 0x7f, 0];

/// A module without its long bulk instructions, and without segments that take long to copy. None if it has neither.
pub(super) fn cut(bytes: &[u8], pieces: Pieces) -> Result<Option<Vec<u8>>> {
    let (preamble, sections) = sections(bytes)?;
    let code = content(&sections, CODE);
    let has_bulk = code.is_some_and(|code| memchr::memchr(BULK_PREFIX, code).is_some());
    if !has_bulk && content(&sections, DATA).is_none_or(|data| is_short(data, pieces)) {
        return Ok(None);
    }
    let module = Module::read(&sections)?;
    let segments = Segments::find(&sections, module.imported_memories, pieces)?;
    let first = module.imported.saturating_add(count(&module.functions));
    let loop_type = count(&module.parameters);
    let mut loops = Loops::new(first, loop_type, pieces, &module.segment_bytes);

    let mut bodies = Vec::with_capacity(code.map_or(0, <[u8]>::len));
    if let Some(code) = code {
        module.cut_functions(code, &mut loops, &mut bodies)?;
    }
    let own_start = content(&sections, START).map(|start| reader(start).read_var_u32()).transpose()?;
    let start = segments.as_ref().map(|segments| segments.body(own_start, &mut loops));
    let mut added = loops.bodies();
    let mut types = vec![loop_type; added.len()];
    let mut changed = BTreeMap::new();
    if let (Some(segments), Some(start)) = (segments, start) {
        let mut index = Vec::new();
        write_u32(&mut index, first.saturating_add(count(&added)));
        added.push(start);
        types.push(loop_type.saturating_add(1));
        changed.insert(place(START), (START, index));
        changed.insert(place(DATA_COUNT), (DATA_COUNT, segments.count()));
        changed.insert(place(DATA), (DATA, segments.section()));
    }
    if added.is_empty() {
        return Ok(None);
    }

    let own = |id| content(&sections, id).unwrap_or(EMPTY);
    let types = types.iter().map(|index| {
        let mut item = Vec::new();
        write_u32(&mut item, *index);
        item
    });
    let types: Vec<_> = types.collect();
    let more_types = [LOOP_TYPE.to_vec(), START_TYPE.to_vec()];
    changed.insert(place(TYPES), (TYPES, with_more(own(TYPES), &more_types)?));
    changed.insert(place(FUNCTIONS), (FUNCTIONS, with_more(own(FUNCTIONS), &types)?));
    let mut code = Vec::with_capacity(bodies.len());
    write_u32(&mut code, count(&module.functions).saturating_add(count(&added)));
    code.extend_from_slice(&bodies);
    added.iter().for_each(|body| write_sized(&mut code, body));
    changed.insert(place(CODE), (CODE, code));
    Ok(Some(put_together(preamble, &sections, changed)))
}

/// A module of its sections, with the changed ones in place of the originals. Custom sections stay behind the
/// sections that they stood behind.
pub(super) fn put_together(
    preamble: &[u8],
    sections: &[Section<'_>],
    mut changed: BTreeMap<usize, (u8, Vec<u8>)>,
) -> Vec<u8> {
    let mut out = preamble.to_vec();
    for section in sections.iter() {
        if section.id == CUSTOM {
            out.extend_from_slice(section.whole);
            continue;
        }
        let behind = changed.split_off(&place(section.id));
        for (id, content) in std::mem::replace(&mut changed, behind).into_values() {
            write_section(&mut out, id, &content);
        }
        match changed.remove(&place(section.id)) {
            Some((id, content)) => write_section(&mut out, id, &content),
            None => out.extend_from_slice(section.whole),
        }
    }
    for (id, content) in changed.into_values() {
        write_section(&mut out, id, &content);
    }
    out
}

/// The place of a section in [`ORDER`].
pub(super) fn place(id: u8) -> usize {
    ORDER.iter().position(|each| *each == id).unwrap_or(ORDER.len())
}

/// True if data cannot be long to copy, because the section as a whole is not long.
fn is_short(data: &[u8], pieces: Pieces) -> bool {
    u32::try_from(data.len()).is_ok_and(|length| length <= pieces.bytes)
}

/// The facts about a module that changing it needs.
pub(super) struct Module {
    /// The number of parameters of each type.
    pub(super) parameters: Vec<u32>,
    /// The number of imported functions, and of imported memories.
    pub(super) imported: u32,
    pub(super) imported_memories: u32,
    /// The type of each of the module's own functions.
    pub(super) functions: Vec<u32>,
    /// The length of each data segment.
    segment_bytes: Vec<usize>,
}

impl Module {
    /// Writes the module's own functions without their long instructions.
    fn cut_functions(&self, code: &[u8], loops: &mut Loops<'_>, bodies: &mut Vec<u8>) -> Result<()> {
        for (number, body) in CodeSectionReader::new(reader(code))?.into_iter().enumerate() {
            let body = body?;
            let body = body.as_bytes();
            let type_index = self.functions.get(number).and_then(|index| usize::try_from(*index).ok());
            let parameters = type_index.and_then(|index| self.parameters.get(index)).copied();
            let cut = function::cut(body, parameters.unwrap_or_default(), loops)?;
            write_sized(bodies, cut.as_deref().unwrap_or(body));
        }
        Ok(())
    }

    pub(super) fn read(sections: &[Section<'_>]) -> Result<Self> {
        let mut parameters = Vec::new();
        if let Some(types) = content(sections, TYPES) {
            for each in TypeSectionReader::new(reader(types))?.into_iter_err_on_gc_types() {
                parameters.push(count(each?.params()));
            }
        }
        let (mut imported, mut imported_memories): (u32, u32) = (0, 0);
        if let Some(imports) = content(sections, IMPORTS) {
            for each in ImportSectionReader::new(reader(imports))?.into_imports() {
                match each?.ty {
                    TypeRef::Func(_) | TypeRef::FuncExact(_) => imported = imported.saturating_add(1),
                    TypeRef::Memory(_) => imported_memories = imported_memories.saturating_add(1),
                    TypeRef::Table(_) | TypeRef::Global(_) | TypeRef::Tag(_) => {}
                }
            }
        }
        let mut functions = Vec::new();
        if let Some(types) = content(sections, FUNCTIONS) {
            for each in FunctionSectionReader::new(reader(types))? {
                functions.push(each?);
            }
        }
        let mut segment_bytes = Vec::new();
        if let Some(data) = content(sections, DATA) {
            for each in DataSectionReader::new(reader(data))? {
                segment_bytes.push(each?.data.len());
            }
        }
        Ok(Self { parameters, imported, imported_memories, functions, segment_bytes })
    }
}

/// The content of a section without items.
pub(super) const EMPTY: &[u8] = &[0];

/// A section's content with more items behind those that it has.
pub(super) fn with_more(content: &[u8], items: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut reader = reader(content);
    let mut out = Vec::with_capacity(content.len());
    write_u32(&mut out, reader.read_var_u32()?.saturating_add(count(items)));
    out.extend_from_slice(content.get(reader.current_position()..).unwrap_or_default());
    items.iter().for_each(|item| out.extend_from_slice(item));
    Ok(out)
}

pub(super) fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}
