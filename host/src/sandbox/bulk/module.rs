//! One core module: what of it changes when bulk instructions are cut, and what is added.

use wasmparser::{
    BinaryReader, CodeSectionReader, DataKind, DataSectionReader, FunctionSectionReader, ImportSectionReader,
    Result, TypeRef, TypeSectionReader,
};

use super::Pieces;
use super::encode::{BULK_PREFIX, Section, sections, write_section, write_sized, write_u32};
use super::function;
use super::helper::Helpers;
use crate::sandbox::intake::PROPOSALS;

/// Sections, by their ids.
pub(super) const TYPES: u8 = 1;
const IMPORTS: u8 = 2;
pub(super) const FUNCTIONS: u8 = 3;
pub(super) const CODE: u8 = 10;
const DATA: u8 = 11;

/// A function's type in binary: three parameters and no results.
const HELPER_TYPE: [u8; 6] = [0x60, 3, 0x7f, 0x7f, 0x7f, 0];

/// A module without its long bulk instructions; none if it has none.
pub(super) fn cut(bytes: &[u8], pieces: Pieces) -> Result<Option<Vec<u8>>> {
    let (preamble, sections) = sections(bytes)?;
    let Some(code) = content(&sections, CODE) else { return Ok(None) };
    if memchr::memchr(BULK_PREFIX, code).is_none() {
        return Ok(None);
    }
    let module = Module::read(&sections)?;
    let first = module.imported.saturating_add(count(&module.functions));
    let helper_type = count(&module.parameters);
    let mut helpers = Helpers::new(first, helper_type, pieces, &module.segment_bytes);

    let mut bodies = Vec::with_capacity(code.len());
    for (number, body) in CodeSectionReader::new(reader(code))?.into_iter().enumerate() {
        let body = body?.as_bytes();
        let type_index = module.functions.get(number).and_then(|index| usize::try_from(*index).ok());
        let parameters = type_index.and_then(|index| module.parameters.get(index)).copied();
        let cut = function::cut(body, parameters.unwrap_or_default(), &mut helpers)?;
        write_sized(&mut bodies, cut.as_deref().unwrap_or(body));
    }
    let added = helpers.bodies();
    if added.is_empty() {
        return Ok(None);
    }
    added.iter().for_each(|body| write_sized(&mut bodies, body));

    let mut out = preamble.to_vec();
    for section in &sections {
        let content = match section.id {
            TYPES => with_more(section.content, 1, &HELPER_TYPE)?,
            FUNCTIONS => {
                let mut types = Vec::new();
                added.iter().for_each(|_| write_u32(&mut types, helper_type));
                with_more(section.content, count(&added), &types)?
            }
            CODE => {
                let mut content = Vec::with_capacity(bodies.len());
                write_u32(&mut content, count(&module.functions).saturating_add(count(&added)));
                content.extend_from_slice(&bodies);
                content
            }
            _ => {
                out.extend_from_slice(section.whole);
                continue;
            }
        };
        write_section(&mut out, section.id, &content);
    }
    Ok(Some(out))
}

/// What has to be known of a module.
struct Module {
    /// How many parameters each type has.
    parameters: Vec<u32>,
    /// How many functions are imported.
    imported: u32,
    /// The type of each function of its own.
    functions: Vec<u32>,
    /// How long each data segment is that an instruction can copy from.
    segment_bytes: Vec<usize>,
}

impl Module {
    fn read(sections: &[Section<'_>]) -> Result<Self> {
        let mut parameters = Vec::new();
        if let Some(types) = content(sections, TYPES) {
            for each in TypeSectionReader::new(reader(types))?.into_iter_err_on_gc_types() {
                parameters.push(count(each?.params()));
            }
        }
        let mut imported: u32 = 0;
        if let Some(imports) = content(sections, IMPORTS) {
            for each in ImportSectionReader::new(reader(imports))?.into_imports() {
                if let TypeRef::Func(_) | TypeRef::FuncExact(_) = each?.ty {
                    imported = imported.saturating_add(1);
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
                let segment = each?;
                segment_bytes.push(match segment.kind {
                    DataKind::Passive => segment.data.len(),
                    // It is dropped before anything runs.
                    DataKind::Active { .. } => 0,
                });
            }
        }
        Ok(Self { parameters, imported, functions, segment_bytes })
    }
}

/// What a section has inside, if there is one.
fn content<'a>(sections: &[Section<'a>], id: u8) -> Option<&'a [u8]> {
    sections.iter().find(|section| section.id == id).map(|section| section.content)
}

fn reader(content: &[u8]) -> BinaryReader<'_> {
    BinaryReader::new_features(content, 0, PROPOSALS)
}

/// A section's content with more items behind those that it has.
fn with_more(content: &[u8], more: u32, items: &[u8]) -> Result<Vec<u8>> {
    let mut reader = reader(content);
    let has = reader.read_var_u32()?;
    let mut out = Vec::with_capacity(content.len().saturating_add(items.len()));
    write_u32(&mut out, has.saturating_add(more));
    out.extend_from_slice(content.get(reader.current_position()..).unwrap_or_default());
    out.extend_from_slice(items);
    Ok(out)
}

fn count<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}
