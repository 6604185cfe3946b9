//! The parts that are added: exports of each module, one more module, and what leads to and from it.

use std::borrow::Cow;

use wasm_encoder::{
    Alias, BlockType, CanonicalFunctionSection, CanonicalOption, CodeSection, ComponentAliasSection,
    ComponentExportKind, ComponentExportSection, ComponentImportSection, ComponentSection, ComponentTypeRef,
    ComponentTypeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    GlobalSection, GlobalType, ImportSection, InstanceSection, InstanceType, InstructionSink, MemoryType,
    Module, ModuleArg, ModuleSection, PrimitiveValType, TypeSection, ValType,
};
use wasmparser::Result;

use super::growth;
use super::reading::{CoreModule, Counts, Reading};
use crate::sandbox::rewrite::encode::{
    CORE_MODULE, content, sections, write_section, write_sized, write_u32,
};
use crate::sandbox::rewrite::module::{EMPTY, place, put_together, with_more};

/// The instance that such a component imports, and its one function: `memory: func(begin: list<u8>, pages: u32)`.
pub(in crate::sandbox) const HOST: &str = "jackfield:sandbox/restore";
/// The function of [`HOST`], which is shown the memory: the byte that it begins with, and the number of its pages.
pub(in crate::sandbox) const MEMORY: &str = "memory";
/// `func(room: u32)`: to be called once, before all else. The memory gets so many pages of room, if it can use them.
pub(in crate::sandbox) const BEGIN: &str = "jackfield-sandbox-begin";
/// `func(handles: u32)`: to be called behind a call that can have had so many handles at once.
pub(in crate::sandbox) const RESTORE: &str = "jackfield-sandbox-restore";

/// The beginnings of the names above, and of those that are added to modules.
const OWN_NAMES: [&str; 2] = ["jackfield-sandbox-", "jackfield:sandbox/"];

/// The section of a module's exports.
const EXPORTS: u8 = 7;

/// The kinds of a module's exports, in binary.
const EXPORTED_MEMORY: u8 = 2;
const EXPORTED_GLOBAL: u8 = 3;

/// True if bytes hold a name that is kept for the parts that are added here.
pub(in crate::sandbox) fn has_own_names(bytes: &[u8]) -> bool {
    OWN_NAMES.iter().any(|name| memchr::memmem::find(bytes, name.as_bytes()).is_some())
}

/// A component with the parts by which its instances are put back. None if they cannot be put back. `original` is the
/// component before any change, and `component` after the changes to its code.
pub(in crate::sandbox::rewrite) fn restorable(original: &[u8], component: &[u8]) -> Result<Option<Vec<u8>>> {
    if has_own_names(original) {
        return Ok(None);
    }
    let Some((modules, counts)) = Reading::default().read(original)? else { return Ok(None) };
    let (preamble, sections) = sections(component)?;
    let mut out = preamble.to_vec();
    let mut left = modules.iter();
    for section in sections {
        let module = if section.id == CORE_MODULE { left.next() } else { None };
        match module {
            Some(module) => write_section(&mut out, section.id, &exporting(module, section.content)?),
            None => out.extend_from_slice(section.whole),
        }
    }
    append(&mut out, &modules, &counts);
    Ok(Some(out))
}

/// The module with exports of all that its instance can change.
fn exporting(module: &CoreModule, bytes: &[u8]) -> Result<Vec<u8>> {
    let sized = match (module.memory, module.own_size) {
        (Some(memory), Some(global)) => {
            Cow::Owned(growth::with_own_size(bytes, memory.pages, global, module.functions)?)
        }
        _ => Cow::Borrowed(bytes),
    };
    let export = |name: &str, kind: u8, index: u32| {
        let mut item = Vec::new();
        write_sized(&mut item, name.as_bytes());
        item.push(kind);
        write_u32(&mut item, index);
        item
    };
    let memory = module.memory.map(|memory| export(MEMORY_NAME, EXPORTED_MEMORY, memory.index));
    let globals =
        module.globals.iter().map(|(index, _)| export(&global_name(*index), EXPORTED_GLOBAL, *index));
    let items: Vec<_> = memory.into_iter().chain(globals).collect();
    let (preamble, sections) = sections(&sized)?;
    let more = with_more(content(&sections, EXPORTS).unwrap_or(EMPTY), &items)?;
    Ok(put_together(preamble, &sections, [(place(EXPORTS), (EXPORTS, more))].into()))
}

/// The names that modules export their parts by.
const MEMORY_NAME: &str = "jackfield-sandbox-memory";

fn global_name(index: u32) -> String {
    format!("jackfield-sandbox-global-{index}")
}

/// Appends the added parts to a component whose modules export what their instances can change.
fn append(out: &mut Vec<u8>, modules: &[CoreModule], counts: &Counts) {
    const BYTES_TYPE: u32 = 0;
    const SHOW_TYPE: u32 = 1;
    let [host_type, begin_type, restore_type, handle_type] = next(counts.types);
    let mut types = ComponentTypeSection::new();
    let mut host = InstanceType::new();
    host.ty().defined_type().list(PrimitiveValType::U8);
    let shown = [
        ("begin", wasm_encoder::ComponentValType::Type(BYTES_TYPE)),
        ("pages", wasm_encoder::ComponentValType::Primitive(PrimitiveValType::U32)),
    ];
    host.ty().function().params(shown).result(None);
    host.export(MEMORY, ComponentTypeRef::Func(SHOW_TYPE));
    types.instance(&host);
    types.function().params([("room", PrimitiveValType::U32)]).result(None);
    types.function().params([("handles", PrimitiveValType::U32)]).result(None);
    types.resource(ValType::I32, None);
    add(out, &types);

    let mut imports = ComponentImportSection::new();
    imports.import(HOST, ComponentTypeRef::Instance(host_type));
    add(out, &imports);

    let [show, begin, restore] = next(counts.functions);
    let mut aliases = ComponentAliasSection::new();
    let kind = ComponentExportKind::Func;
    aliases.alias(Alias::InstanceExport { instance: counts.instances, kind, name: MEMORY });
    let mut globals = Vec::new();
    for module in modules {
        let instance = module.instance.unwrap_or(u32::MAX);
        if module.memory.is_some() {
            aliases.alias(Alias::CoreInstanceExport {
                instance,
                kind: ExportKind::Memory,
                name: MEMORY_NAME,
            });
        }
        for (index, number) in &module.globals {
            let name = global_name(*index);
            aliases.alias(Alias::CoreInstanceExport { instance, kind: ExportKind::Global, name: &name });
            globals.push(*number);
        }
    }
    add(out, &aliases);

    let [core_show, core_take, core_give, core_begin, core_restore] = next(counts.core_functions);
    let mut canonicals = CanonicalFunctionSection::new();
    canonicals.lower(show, [CanonicalOption::Memory(counts.memories)]);
    canonicals.resource_new(handle_type);
    canonicals.resource_drop(handle_type);
    add(out, &canonicals);

    let sized = modules.iter().find(|module| module.own_size.is_some());
    let most_pages = sized.and_then(|module| module.memory).map(|memory| memory.most_pages);
    let module = keeper(&globals, most_pages);
    add(out, &ModuleSection(&module));
    let [parts, instance] = next(counts.core_instances);
    let mut instances = InstanceSection::new();
    let global_names: Vec<_> = (0..globals.len()).map(|number| number.to_string()).collect();
    let mut exports = vec![
        (SHOW_NAME, ExportKind::Func, core_show),
        (TAKE_NAME, ExportKind::Func, core_take),
        (GIVE_NAME, ExportKind::Func, core_give),
        (MEMORY, ExportKind::Memory, counts.memories),
    ];
    let indices = counts.globals..;
    exports
        .extend(global_names.iter().zip(indices).map(|(name, index)| (&**name, ExportKind::Global, index)));
    instances.export_items(exports);
    instances.instantiate(counts.core_modules, [(PARTS, ModuleArg::Instance(parts))]);
    add(out, &instances);

    let mut aliases = ComponentAliasSection::new();
    for name in [BEGIN, RESTORE] {
        aliases.alias(Alias::CoreInstanceExport { instance, kind: ExportKind::Func, name });
    }
    add(out, &aliases);
    let mut canonicals = CanonicalFunctionSection::new();
    canonicals.lift(core_begin, begin_type, []);
    canonicals.lift(core_restore, restore_type, []);
    add(out, &canonicals);
    let mut exports = ComponentExportSection::new();
    exports.export(BEGIN, ComponentExportKind::Func, begin, None);
    exports.export(RESTORE, ComponentExportKind::Func, restore, None);
    add(out, &exports);
}

/// The names of what the added module imports.
const PARTS: &str = "parts";
const SHOW_NAME: &str = "show";
const TAKE_NAME: &str = "take";
const GIVE_NAME: &str = "give";

/// The indices behind `count` others.
fn next<const N: usize>(count: u32) -> [u32; N] {
    let mut index = count;
    [(); N].map(|()| {
        let this = index;
        index = index.saturating_add(1);
        this
    })
}

fn add(out: &mut Vec<u8>, section: &impl ComponentSection) {
    section.append_to_component(out);
}

/// The added module. It saves these globals, which it imports, and sets them again. It gives the memory room if the guest
/// has a size of its own for it, within the pages that the memory may grow to.
fn keeper(globals: &[ValType], most_pages: Option<u32>) -> Module {
    let [show_type, take_type, give_type] = [0, 1, 2];
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32, ValType::I32, ValType::I32], []);
    types.ty().function([ValType::I32], [ValType::I32]);
    types.ty().function([ValType::I32], []);
    let mut imports = ImportSection::new();
    imports.import(PARTS, SHOW_NAME, EntityType::Function(show_type));
    imports.import(PARTS, TAKE_NAME, EntityType::Function(take_type));
    imports.import(PARTS, GIVE_NAME, EntityType::Function(give_type));
    let memory =
        MemoryType { minimum: 0, maximum: None, memory64: false, shared: false, page_size_log2: None };
    imports.import(PARTS, MEMORY, memory);
    let mut saved = GlobalSection::new();
    for (number, kind) in globals.iter().enumerate() {
        let kind = GlobalType { val_type: *kind, mutable: true, shared: false };
        imports.import(PARTS, &number.to_string(), kind);
        saved.global(kind, &zero(kind.val_type));
    }
    let mut functions = FunctionSection::new();
    functions.function(give_type).function(give_type);
    let mut exports = ExportSection::new();
    exports.export(BEGIN, ExportKind::Func, IMPORTED_FUNCTIONS);
    exports.export(RESTORE, ExportKind::Func, IMPORTED_FUNCTIONS.saturating_add(1));
    let mut code = CodeSection::new();
    code.function(&begin(globals, most_pages)).function(&restore(globals));
    let mut module = Module::new();
    module
        .section(&types)
        .section(&imports)
        .section(&functions)
        .section(&saved)
        .section(&exports)
        .section(&code);
    module
}

const SHOW: u32 = 0;
const TAKE: u32 = 1;
const GIVE: u32 = 2;
const IMPORTED_FUNCTIONS: u32 = 3;

fn zero(kind: ValType) -> ConstExpr {
    match kind {
        ValType::I64 => ConstExpr::i64_const(0),
        ValType::F32 => ConstExpr::f32_const(0.0.into()),
        ValType::F64 => ConstExpr::f64_const(0.0.into()),
        ValType::V128 => ConstExpr::v128_const(0),
        _ => ConstExpr::i32_const(0),
    }
}

/// The indices of a global and of the one that it is saved in.
fn pairs(globals: &[ValType]) -> impl Iterator<Item = (u32, u32)> {
    let count = u32::try_from(globals.len()).unwrap_or(u32::MAX);
    (0..count).zip(count..)
}

fn begin(globals: &[ValType], most_pages: Option<u32>) -> Function {
    const ROOM: u32 = 0;
    let mut function = Function::new([]);
    let mut code = function.instructions();
    if let Some(most_pages) = most_pages {
        let left = |code: &mut InstructionSink<'_>| {
            code.i32_const(most_pages.cast_signed()).memory_size(0).i32_sub();
        };
        code.local_get(ROOM);
        left(&mut code);
        code.local_get(ROOM);
        left(&mut code);
        // A memory that cannot have the room does without.
        code.i32_lt_u().select().memory_grow(0).drop();
    }
    for (global, saved) in pairs(globals) {
        code.global_get(global).global_set(saved);
    }
    show(&mut code);
    function
}

fn restore(globals: &[ValType]) -> Function {
    const HANDLES: u32 = 0;
    const TAKEN: u32 = 1;
    let mut function = Function::new([(1, ValType::I32)]);
    let mut code = function.instructions();
    for (global, saved) in pairs(globals) {
        code.global_get(saved).global_set(global);
    }
    code.block(BlockType::Empty);
    code.loop_(BlockType::Empty);
    code.local_get(TAKEN).local_get(HANDLES).i32_ge_u().br_if(1);
    code.i32_const(0).call(TAKE).drop();
    code.local_get(TAKEN).i32_const(1).i32_add().local_set(TAKEN).br(0);
    code.end().end();
    code.block(BlockType::Empty);
    code.loop_(BlockType::Empty);
    code.local_get(TAKEN).i32_eqz().br_if(1);
    code.local_get(TAKEN).call(GIVE);
    code.local_get(TAKEN).i32_const(1).i32_sub().local_set(TAKEN).br(0);
    code.end().end();
    show(&mut code);
    function
}

/// The end of a function that shows the memory. Its first byte tells where it is: the bytes that a guest passes to the
/// host have a bound, and memories may be larger.
fn show(code: &mut InstructionSink<'_>) {
    code.i32_const(0).i32_const(1).memory_size(0).call(SHOW);
    code.end();
}
