//! Whether all is known that a call can change in an instance of a component.

use wasm_encoder::ValType;
use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind, ComponentType,
    ComponentTypeRef, Instance, Operator, Parser, Payload, Result, TypeRef, ValidPayload, Validator,
};

use crate::sandbox::intake::PROPOSALS;
use crate::sandbox::pool::{CORE_INSTANCES_PER_COMPONENT, RESTORED_MEMORY_BYTES};
use crate::sandbox::rewrite::encode::{COMPONENT, CORE_MODULE};

/// The core instances that are added to a component.
const ADDED_INSTANCES: usize = 1;

/// The most globals that can change. All of a language's own take some hundreds, and each of them costs an instance 40
/// bytes more, of which the pool has a bound.
const MOST_GLOBALS: usize = 4096;

/// A core module of the component, with all that its instance can change.
#[derive(Default)]
pub(super) struct CoreModule {
    /// The index of the module's instance.
    pub(super) instance: Option<u32>,
    imported_memories: u32,
    imported_globals: u32,
    pub(super) memory: Option<OwnMemory>,
    /// The number of the module's own functions.
    pub(super) functions: usize,
    /// The number of all globals of the module.
    all_globals: u32,
    /// An instruction asks for the size of a memory, or for more of it.
    resizes: bool,
    /// The module's own globals that can change: each one's index and type.
    pub(super) globals: Vec<(u32, ValType)>,
    /// The global that is added for the size of the memory as the guest knows it.
    pub(super) own_size: Option<u32>,
}

/// A module's own memory.
#[derive(Clone, Copy)]
pub(super) struct OwnMemory {
    pub(super) index: u32,
    /// The pages that it begins with, and those that it may grow to.
    pub(super) pages: u32,
    pub(super) most_pages: u32,
}

/// The sizes of the component's index spaces. The added parts stand behind them.
pub(super) struct Counts {
    pub(super) types: u32,
    pub(super) functions: u32,
    pub(super) instances: u32,
    pub(super) core_functions: u32,
    pub(super) core_instances: u32,
    pub(super) core_modules: u32,
    pub(super) memories: u32,
    pub(super) globals: u32,
}

/// The reading of a component, up to the first part that cannot be put back.
#[derive(Default)]
pub(super) struct Reading {
    modules: Vec<CoreModule>,
    core_instances: u32,
    /// The inner components and modules that are being read.
    open: Vec<u8>,
}

impl Reading {
    /// The component's modules and the sizes of its index spaces. None if its instances cannot be put back.
    pub(super) fn read(mut self, component: &[u8]) -> Result<Option<(Vec<CoreModule>, Counts)>> {
        let mut validator = Validator::new_with_features(PROPOSALS);
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload?;
            if !self.can_be_put_back(&payload)? {
                return Ok(None);
            }
            let valid = validator.payload(&payload)?;
            match payload {
                Payload::ModuleSection { .. } => self.open.push(CORE_MODULE),
                Payload::ComponentSection { .. } => self.open.push(COMPONENT),
                Payload::End(_) if self.open.pop().is_none() => {
                    let ValidPayload::End(types) = valid else { return Ok(None) };
                    return Ok(self.end(&types));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn end(self, types: &wasmparser::types::Types) -> Option<(Vec<CoreModule>, Counts)> {
        let types = types.as_ref();
        let memories = self.modules.iter().filter(|module| module.memory.is_some());
        let counts = Counts {
            types: types.component_type_count(),
            functions: types.component_function_count(),
            instances: types.component_instance_count(),
            core_functions: types.function_count(),
            core_instances: types.core_instance_count(),
            core_modules: types.module_count(),
            memories: types.memory_count(),
            globals: types.global_count(),
        };
        // Each module is instantiated once. Instances that only bundle exports take no place in the pool.
        let instances = self.modules.len().saturating_add(ADDED_INSTANCES);
        let globals: usize = self.modules.iter().map(|module| module.globals.len()).sum();
        let is_known = memories.count() == 1
            && globals <= MOST_GLOBALS
            && self.modules.iter().all(|module| module.instance.is_some())
            && u32::try_from(instances).is_ok_and(|instances| instances <= CORE_INSTANCES_PER_COMPONENT);
        is_known.then(|| (with_own_sizes(self.modules), counts))
    }

    /// False if an instance with this part cannot be put back.
    fn can_be_put_back(&mut self, payload: &Payload<'_>) -> Result<bool> {
        let is_inner = !self.open.is_empty();
        match payload {
            _ if self.open == [CORE_MODULE] => {
                return self.modules.last_mut().map_or(Ok(false), |module| module.read(payload));
            }
            Payload::ModuleSection { .. } => self.modules.push(CoreModule::default()),
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    let index = self.core_instances;
                    self.core_instances = index.saturating_add(1);
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        let module = usize::try_from(module_index).ok();
                        let module = module.and_then(|module| self.modules.get_mut(module));
                        let Some(module) = module else { return Ok(false) };
                        if module.instance.replace(index).is_some() {
                            return Ok(false);
                        }
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section.clone() {
                    use CanonicalFunction::{Lift, Lower, ResourceDrop};
                    if !matches!(function?, Lift { .. } | Lower { .. } | ResourceDrop { .. }) {
                        return Ok(false);
                    }
                }
            }
            Payload::ComponentTypeSection(section) => {
                for each in section.clone() {
                    if matches!(each?, ComponentType::Resource { .. }) {
                        return Ok(false);
                    }
                }
            }
            // Modules from elsewhere would stand among those that are counted here.
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    if is_of_a_module(&alias?) {
                        return Ok(false);
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    if matches!(import?.ty, ComponentTypeRef::Module(_)) {
                        return Ok(false);
                    }
                }
            }
            Payload::ComponentStartSection { .. } => return Ok(false),
            _ => {}
        }
        let has_code = matches!(
            payload,
            Payload::ModuleSection { .. }
                | Payload::InstanceSection(_)
                | Payload::ComponentCanonicalSection(_)
        );
        Ok(!(is_inner && has_code))
    }
}

/// The modules, where the one with the memory has a size of its guest's own (`growth.rs`), unless no instruction asks
/// for that or another module's does.
fn with_own_sizes(mut modules: Vec<CoreModule>) -> Vec<CoreModule> {
    let is_of_others = modules.iter().any(|module| module.resizes && module.memory.is_none());
    let owner = modules.iter_mut().find(|module| module.memory.is_some_and(|memory| memory.index == 0));
    if let Some(owner) = owner.filter(|owner| owner.resizes && !is_of_others) {
        owner.own_size = Some(owner.all_globals);
        owner.globals.push((owner.all_globals, ValType::I32));
    }
    modules
}

fn is_of_a_module(alias: &ComponentAlias<'_>) -> bool {
    matches!(
        alias,
        ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. }
            | ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. }
    )
}

impl CoreModule {
    /// Reads a part of the module. False if an instance with it cannot be put back.
    fn read(&mut self, payload: &Payload<'_>) -> Result<bool> {
        match payload {
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    match import?.ty {
                        TypeRef::Memory(_) => {
                            self.imported_memories = self.imported_memories.saturating_add(1)
                        }
                        TypeRef::Global(_) => {
                            self.imported_globals = self.imported_globals.saturating_add(1);
                            self.all_globals = self.imported_globals;
                        }
                        _ => {}
                    }
                }
            }
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    let memory = memory?;
                    let bytes = memory.initial.saturating_mul(64 << 10);
                    let is_small = !memory.memory64 && (1..=RESTORED_MEMORY_BYTES).contains(&bytes);
                    let pages = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
                    let own = OwnMemory {
                        index: self.imported_memories,
                        pages: pages(memory.initial),
                        most_pages: memory.maximum.map_or(u32::MAX, pages),
                    };
                    if !is_small || self.memory.replace(own).is_some() {
                        return Ok(false);
                    }
                }
            }
            Payload::GlobalSection(section) => {
                for (index, global) in (self.imported_globals..).zip(section.clone()) {
                    let kind = global?.ty;
                    self.all_globals = index.saturating_add(1);
                    let Some(number) = number(kind.content_type) else {
                        if kind.mutable {
                            return Ok(false);
                        }
                        continue;
                    };
                    if kind.mutable {
                        self.globals.push((index, number));
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                self.functions = self.functions.saturating_add(1);
                let mut operators = body.get_operators_reader()?;
                while !operators.eof() {
                    let operator = operators.read()?;
                    if changes_a_table_or_segment(&operator) {
                        return Ok(false);
                    }
                    self.resizes |=
                        matches!(operator, Operator::MemorySize { .. } | Operator::MemoryGrow { .. });
                }
            }
            _ => {}
        }
        Ok(true)
    }
}

/// The type of a number. None if the type is of references.
fn number(kind: wasmparser::ValType) -> Option<ValType> {
    Some(match kind {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(_) => return None,
    })
}

fn changes_a_table_or_segment(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
            | Operator::DataDrop { .. }
            | Operator::ElemDrop { .. }
    )
}
