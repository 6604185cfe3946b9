//! The footprint of an instance: the memories and tables that it begins with, before any of its code has run.
//!
//! Reads the declarations of sections, and no code, of bytes that passed intake: intake bounds the sums, and refuses
//! an index that leads nowhere.

use serde::{Deserialize, Serialize};
use wasmparser::{
    BinaryReaderError, ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    Encoding, Instance, Parser, Payload,
};

/// The size of a memory's page: intake lets no other through.
const PAGE_BYTES: u64 = 64 << 10;

/// The initial size of all memories and tables of one instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footprint {
    /// The bytes of linear memory.
    pub memory_bytes: u64,
    /// The elements of tables.
    pub table_elements: u64,
}

impl Footprint {
    /// The footprint of a component, by its bytes.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut whole = Self::default();
        let mut open: Vec<Open> = Vec::new();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::Version { encoding, .. } => open.push(Open::new(encoding)),
                Payload::End(_) => match (open.pop(), open.last_mut()) {
                    (Some(closed), Some(around)) if closed.encoding == Encoding::Module => {
                        around.modules.push(closed.own);
                    }
                    (Some(closed), Some(around)) => around.components.push(closed.own),
                    (closed, None) => whole = closed.map(|closed| closed.own).unwrap_or_default(),
                    (None, Some(_)) => {}
                },
                payload => count(&mut open, &payload)?,
            }
        }
        Ok(whole)
    }

    fn add(&mut self, other: Self) {
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
        self.table_elements = self.table_elements.saturating_add(other.table_elements);
    }
}

/// A component or module that is being read.
struct Open {
    encoding: Encoding,
    /// The footprint of an instance of the item, as far as the item was read.
    own: Footprint,
    /// The footprints of the modules and components that the item can instantiate, by index.
    modules: Vec<Footprint>,
    components: Vec<Footprint>,
}

impl Open {
    fn new(encoding: Encoding) -> Self {
        Self { encoding, own: Footprint::default(), modules: Vec::new(), components: Vec::new() }
    }

    fn module(&self, index: u32) -> Footprint {
        at(&self.modules, index)
    }

    fn component(&self, index: u32) -> Footprint {
        at(&self.components, index)
    }
}

fn at(footprints: &[Footprint], index: u32) -> Footprint {
    usize::try_from(index).ok().and_then(|index| footprints.get(index)).copied().unwrap_or_default()
}

/// Adds a section's declarations to the innermost component or module that is being read.
fn count(open: &mut [Open], payload: &Payload<'_>) -> Result<(), BinaryReaderError> {
    if let Payload::ComponentAliasSection(section) = payload {
        for alias in section.clone() {
            name_again(open, &alias?);
        }
        return Ok(());
    }
    let Some(inner) = open.last_mut() else { return Ok(()) };
    match payload {
        Payload::MemorySection(section) => {
            for memory in section.clone() {
                let memory_bytes = memory?.initial.saturating_mul(PAGE_BYTES);
                inner.own.add(Footprint { memory_bytes, table_elements: 0 });
            }
        }
        Payload::TableSection(section) => {
            for table in section.clone() {
                inner.own.add(Footprint { memory_bytes: 0, table_elements: table?.ty.initial });
            }
        }
        Payload::InstanceSection(section) => {
            for instance in section.clone() {
                if let Instance::Instantiate { module_index, .. } = instance? {
                    inner.own.add(inner.module(module_index));
                }
            }
        }
        Payload::ComponentInstanceSection(section) => {
            for instance in section.clone() {
                if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                    inner.own.add(inner.component(component_index));
                }
            }
        }
        Payload::ComponentExportSection(section) => {
            // An export adds an item of its kind.
            for export in section.clone() {
                let export = export?;
                match export.kind {
                    ComponentExternalKind::Module => inner.modules.push(inner.module(export.index)),
                    ComponentExternalKind::Component => {
                        inner.components.push(inner.component(export.index));
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Gives a module or component of an enclosing component another index.
fn name_again(open: &mut [Open], alias: &ComponentAlias<'_>) {
    let ComponentAlias::Outer { kind, count, index } = alias else { return };
    let around = usize::try_from(*count).ok().and_then(|count| open.iter().nth_back(count));
    let Some(around) = around else { return };
    let (module, component) = (around.module(*index), around.component(*index));
    let Some(inner) = open.last_mut() else { return };
    match kind {
        ComponentOuterAliasKind::CoreModule => inner.modules.push(module),
        ComponentOuterAliasKind::Component => inner.components.push(component),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::intake;

    fn footprint(text: &str) -> (u64, u64) {
        let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        intake::check(&bytes).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let Footprint { memory_bytes, table_elements } = Footprint::of(&bytes).unwrap();
        (memory_bytes / PAGE_BYTES, table_elements)
    }

    #[test]
    fn what_is_instantiated_counts_as_often_as_it_is() {
        for (text, expected) in [
            ("(component)", (0, 0)),
            ("(component (core module (memory 3) (table 7 funcref)))", (0, 0)),
            (
                "(component (core module $m (memory 3) (memory 1 9) (table 7 funcref))
                     (core instance (instantiate $m)) (core instance (instantiate $m)))",
                (8, 14),
            ),
            (
                r#"(component (core module $m (memory (export "m") 3)) (core instance $i (instantiate $m))
                     (core module $n (import "i" "m" (memory 1)) (table 2 funcref))
                     (core instance (instantiate $n (with "i" (instance $i)))))"#,
                (3, 2),
            ),
            (
                "(component $a (core module $unused (memory 50)) (core module $m (memory 2))
                     (component $b (alias outer $a $m (core module $n)) (core instance (instantiate $n)))
                     (component $c (alias outer $a $b (component $d))
                         (instance (instantiate $d)) (instance (instantiate $d)))
                     (core instance (instantiate $m)) (instance (instantiate $c)))",
                (6, 0),
            ),
            (
                r#"(component (core module $m (memory 2)) (core module $n (memory 5))
                     (export $again "again" (core module $m)) (core instance (instantiate $again)))"#,
                (2, 0),
            ),
        ] {
            assert_eq!(footprint(text), expected, "{text}");
        }
    }
}
