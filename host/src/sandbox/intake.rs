//! Intake: the check that bytes must pass before they are compiled.
//!
//! Owns the proposals that plugs may use and the bounds on a component's parts, each far above the largest honest
//! components and below the size that costs seconds or gigabytes to compile. Reads the bytes once, in their order,
//! and validates them as it goes; each part is counted before it is read. A component that passes may still be
//! expensive: its compiler bounds the time and memory of compiling.

mod error;
mod proposals;
mod rule;

pub use error::IntakeError;
pub use rule::Rule;

pub(super) use error::WASI_0_2;
pub(super) use proposals::is_wasi_0_3;

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentType,
    ComponentTypeDeclaration, ComponentTypeRef, CompositeInnerType, ElementItems, Encoding,
    FuncValidatorAllocations, FunctionBody, Instance, InstanceTypeDeclaration, OperatorsReader, Parser,
    Payload, RecGroup, ValidPayload, Validator, WasmFeatures,
};

/// The proposals that a component may use. All others are refused here and turned off in the engine: a feature that
/// no plug needs is attack surface. Tail calls are for QuickJS; several memories are for calls between composed
/// components.
pub(super) const PROPOSALS: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::COMPONENT_MODEL);

/// Checks the bytes of a component from the first to the last.
pub fn check(bytes: &[u8]) -> Result<(), IntakeError> {
    read(bytes).map_err(|fault| match fault {
        Fault::Refused(error) => error,
        Fault::Invalid(error) => proposals::explain(&error, bytes),
    })
}

/// The fault that ends the reading.
enum Fault {
    Refused(IntakeError),
    Invalid(wasmparser::BinaryReaderError),
}

impl From<wasmparser::BinaryReaderError> for Fault {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Invalid(error)
    }
}

impl From<IntakeError> for Fault {
    fn from(error: IntakeError) -> Self {
        Self::Refused(error)
    }
}

fn read(bytes: &[u8]) -> Result<(), Fault> {
    let mut intake = Intake::default();
    let mut validator = Validator::new_with_features(PROPOSALS);
    let mut allocations = FuncValidatorAllocations::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        intake.count(&payload)?;
        if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
            let mut function = function.into_validator(std::mem::take(&mut allocations));
            check_function(&mut function, &body)?;
            allocations = function.into_allocations();
        }
    }
    Ok(())
}

type FuncValidator = wasmparser::FuncValidator<wasmparser::ValidatorResources>;

fn check_function(function: &mut FuncValidator, body: &FunctionBody<'_>) -> Result<(), Fault> {
    within(Rule::Body, body.as_bytes().len())?;
    let mut reader = body.get_binary_reader();
    function.read_locals(&mut reader)?;
    within(Rule::Locals, function.len_locals())?;
    let mut operators = OperatorsReader::new(reader);
    while !operators.eof() {
        let offset = operators.original_position();
        operators.visit_operator(&mut function.visitor(offset))??;
        within(Rule::Operands, function.operand_stack_height())?;
        within(Rule::Blocks, function.control_stack_height())?;
    }
    operators.finish()?;
    Ok(())
}

fn within(rule: Rule, found: impl TryInto<u64>) -> Result<(), IntakeError> {
    let found = found.try_into().unwrap_or(u64::MAX);
    if found > rule.most() { Err(IntakeError::TooMuch { rule, found }) } else { Ok(()) }
}

/// The counts so far.
#[derive(Default)]
struct Intake {
    /// The count of each rule, by its place in [`Rule::ALL`].
    counts: [u64; Rule::ALL.len()],
    /// The components and modules that are being read, each inside the one before.
    open: Vec<Open>,
}

/// A component or module that is being read.
struct Open {
    encoding: Encoding,
    /// The size of the item, with all that it instantiates.
    expansion: u64,
    /// The expansion of each component that the item can instantiate, by index.
    components: Vec<u64>,
}

impl Intake {
    fn add(&mut self, rule: Rule, more: impl TryInto<u64>) -> Result<(), IntakeError> {
        let more = more.try_into().unwrap_or(u64::MAX);
        let place = Rule::ALL.iter().position(|each| *each == rule).unwrap_or_default();
        let Some(count) = self.counts.get_mut(place) else { return Ok(()) };
        *count = count.saturating_add(more);
        within(rule, *count)
    }

    /// Adds to a rule of components, and to the expansion of the component that is being read.
    fn add_part(&mut self, rule: Rule, more: impl TryInto<u64>) -> Result<(), IntakeError> {
        let more = more.try_into().unwrap_or(u64::MAX);
        self.expand(more)?;
        self.add(rule, more)
    }

    fn expand(&mut self, more: u64) -> Result<(), IntakeError> {
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        open.expansion = open.expansion.saturating_add(more);
        within(Rule::Expansion, open.expansion)
    }

    fn count(&mut self, payload: &Payload<'_>) -> Result<(), Fault> {
        match payload {
            Payload::Version { encoding, .. } => {
                self.open.push(Open { encoding: *encoding, expansion: 1, components: Vec::new() });
                Ok(within(Rule::Nesting, self.open.len())?)
            }
            Payload::End(_) => {
                let closed = self.open.pop();
                if let (Some(closed), Some(around)) = (closed, self.open.last_mut())
                    && closed.encoding == Encoding::Component
                {
                    around.components.push(closed.expansion);
                }
                Ok(())
            }
            Payload::ModuleSection { .. } => Ok(self.add_part(Rule::Modules, 1_u64)?),
            Payload::ComponentSection { .. } => Ok(self.add_part(Rule::Components, 1_u64)?),
            Payload::InstanceSection(section) => {
                self.add_part(Rule::Instances, section.count())?;
                for instance in section.clone() {
                    self.add_part(
                        Rule::Arguments,
                        match instance? {
                            Instance::Instantiate { args, .. } => args.len(),
                            Instance::FromExports(exports) => exports.len(),
                        },
                    )?;
                }
                Ok(())
            }
            Payload::ComponentInstanceSection(section) => {
                self.add_part(Rule::Instances, section.count())?;
                for instance in section.clone() {
                    self.component_instance(&instance?)?;
                }
                Ok(())
            }
            Payload::ComponentAliasSection(section) => {
                self.add_part(Rule::Aliases, section.count())?;
                for alias in section.clone() {
                    self.alias(&alias?)?;
                }
                Ok(())
            }
            Payload::ComponentImportSection(section) => {
                self.add_part(Rule::Imports, section.count())?;
                for import in section.clone() {
                    let import = import?;
                    within(Rule::Name, import.name.name.len())?;
                    if let ComponentTypeRef::Component(_) | ComponentTypeRef::Module(_) = import.ty {
                        return Err(IntakeError::ComponentAsValue.into());
                    }
                }
                Ok(())
            }
            Payload::ComponentExportSection(section) => {
                self.add_part(Rule::Exports, section.count())?;
                for export in section.clone() {
                    // An export adds an item of its kind.
                    let export = export?;
                    within(Rule::Name, export.name.name.len())?;
                    if export.kind == ComponentExternalKind::Component {
                        self.again(0, export.index);
                    }
                }
                Ok(())
            }
            Payload::ComponentCanonicalSection(section) => {
                Ok(self.add_part(Rule::Canonicals, section.count())?)
            }
            Payload::ComponentTypeSection(section) => {
                self.add_part(Rule::Types, section.count())?;
                for each in section.clone() {
                    self.add(Rule::Types, parts(&each?))?;
                }
                Ok(())
            }
            Payload::CoreTypeSection(section) => Ok(self.add_part(Rule::CoreTypes, section.count())?),
            Payload::TypeSection(section) => {
                self.add(Rule::CoreTypes, section.count())?;
                for group in section.clone() {
                    signatures(&group?)?;
                }
                Ok(())
            }
            Payload::ImportSection(section) => Ok(self.add(Rule::CoreImports, section.count())?),
            Payload::ExportSection(section) => Ok(self.add(Rule::CoreExports, section.count())?),
            Payload::FunctionSection(section) => Ok(self.add(Rule::Functions, section.count())?),
            Payload::GlobalSection(section) => Ok(self.add(Rule::Globals, section.count())?),
            Payload::TableSection(section) => Ok(self.add(Rule::Memories, section.count())?),
            Payload::MemorySection(section) => Ok(self.add(Rule::Memories, section.count())?),
            Payload::DataSection(section) => Ok(self.add(Rule::Segments, section.count())?),
            Payload::ElementSection(section) => {
                self.add(Rule::Segments, section.count())?;
                for segment in section.clone() {
                    let count = match segment?.items {
                        ElementItems::Functions(functions) => functions.count(),
                        ElementItems::Expressions(_, expressions) => expressions.count(),
                    };
                    self.add(Rule::Elements, count)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn component_instance(&mut self, instance: &ComponentInstance<'_>) -> Result<(), IntakeError> {
        match instance {
            ComponentInstance::Instantiate { component_index, args } => {
                let expansion = self.expansion(0, *component_index);
                self.expand(expansion)?;
                self.add_part(Rule::Arguments, args.len())
            }
            ComponentInstance::FromExports(exports) => self.add_part(Rule::Arguments, exports.len()),
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), IntakeError> {
        match alias {
            ComponentAlias::InstanceExport {
                kind: ComponentExternalKind::Component | ComponentExternalKind::Module,
                ..
            } => Err(IntakeError::ComponentAsValue),
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                self.again(*count, *index);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Gives a component another index.
    fn again(&mut self, outward: u32, index: u32) {
        let expansion = self.expansion(outward, index);
        if let Some(open) = self.open.last_mut() {
            open.components.push(expansion);
        }
    }

    /// The expansion of a component that the one being read names. Zero for an index that does not exist, which the
    /// validator refuses in a moment.
    fn expansion(&self, outward: u32, index: u32) -> u64 {
        let around = usize::try_from(outward).ok().and_then(|outward| self.open.iter().nth_back(outward));
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        around.and_then(|open| open.components.get(index)).copied().unwrap_or_default()
    }
}

/// The fields, cases and declarations of a type, those inside it included.
fn parts(of: &ComponentType<'_>) -> usize {
    use wasmparser::ComponentDefinedType::{Enum, Flags, Record, Tuple, Variant};
    let mut parts: usize = 0;
    // Types stand inside one another at most as deep as the parser reads them.
    let mut waiting = vec![of];
    while let Some(each) = waiting.pop() {
        let own = match each {
            ComponentType::Component(declarations) => {
                waiting.extend(declarations.iter().filter_map(|declaration| match declaration {
                    ComponentTypeDeclaration::Type(inner) => Some(inner),
                    _ => None,
                }));
                declarations.len()
            }
            ComponentType::Instance(declarations) => {
                waiting.extend(declarations.iter().filter_map(|declaration| match declaration {
                    InstanceTypeDeclaration::Type(inner) => Some(inner),
                    _ => None,
                }));
                declarations.len()
            }
            ComponentType::Func(function) => function.params.len(),
            ComponentType::Defined(Record(fields)) => fields.len(),
            ComponentType::Defined(Variant(cases)) => cases.len(),
            ComponentType::Defined(Tuple(types)) => types.len(),
            ComponentType::Defined(Flags(names) | Enum(names)) => names.len(),
            ComponentType::Defined(_) | ComponentType::Resource { .. } => 0,
        };
        parts = parts.saturating_add(own);
    }
    parts
}

/// Checks the signatures of functions. A call or branch costs the compiler each value that it passes, and the file a
/// few bytes.
fn signatures(group: &RecGroup) -> Result<(), IntakeError> {
    for each in group.types() {
        if let CompositeInnerType::Func(function) = &each.composite_type.inner {
            within(Rule::Signature, function.params().len().saturating_add(function.results().len()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
