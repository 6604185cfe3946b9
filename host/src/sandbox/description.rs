//! The description of a component: all that is known of it without its code. It stays in memory while the component is
//! live, and is kept beside the code on disk, so that a start reads no code.

use serde::{Deserialize, Serialize};
use wasmtime::component::Component as WasmComponent;
use wasmtime::component::types::ComponentItem;

use super::component_error::ComponentError;
use super::footprint::Footprint;
use super::imports::{self, Need};
use super::interface::Interface;
use super::restore::Exports;
use super::rewrite::restore::{HOST, has_own_names};

/// The number of this file's rules: it changes when another description would be made of the same component.
pub(super) const REVISION: u32 = 1;

/// The description of a compiled component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub(super) footprint: Footprint,
    /// All imports, in the component's own order.
    pub(super) imports: Vec<Import>,
    /// The names of all exports but types.
    pub(super) exports: Vec<String>,
    /// The interfaces that a route can use.
    pub(super) interfaces: Vec<Interface>,
    /// The component's code has the parts by which instances are put back to their start.
    pub(super) can_be_restored: bool,
}

/// One import of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// The import's full name, version included.
    pub name: String,
    /// The import is an instance that holds types alone, which no linker need provide.
    is_types_only: bool,
}

impl Import {
    /// The need that must be met for the import.
    pub fn need(&self) -> Need {
        imports::need(&self.name, self.is_types_only)
    }
}

impl Description {
    /// The description of a component, by its compiled code and the artifact that the code was compiled from.
    pub(super) fn of(compiled: &WasmComponent, artifact: &[u8]) -> Result<Self, ComponentError> {
        let footprint =
            Footprint::of(artifact).map_err(|error| ComponentError::Invalid(error.to_string()))?;
        let (kind, engine) = (compiled.component_type(), compiled.engine());
        // The parts that the host itself has added: a component that has names of theirs got none.
        let has_added_parts = !has_own_names(artifact);
        let imports = kind.imports(engine).filter(|(name, _)| !(has_added_parts && *name == HOST));
        let imports = imports.map(|(name, import)| Import {
            name: name.to_owned(),
            is_types_only: is_types_only(&import.ty, engine),
        });
        let exports = kind.exports(engine).filter(|(_, export)| !is_types_only(&export.ty, engine));
        let exports = exports.map(|(name, _)| name.to_owned());
        let exports = exports.filter(|name| !(has_added_parts && Exports::is_name(name)));
        let is_exported = |interface: &Interface| compiled.get_export_index(None, interface.name()).is_some();
        Ok(Self {
            footprint,
            imports: imports.collect(),
            exports: exports.collect(),
            interfaces: Interface::ALL.into_iter().filter(is_exported).collect(),
            can_be_restored: has_added_parts && Exports::of(compiled).is_some(),
        })
    }

    /// True if this host offers all imports.
    pub(super) fn can_run(&self) -> bool {
        self.imports.iter().all(|import| import.need() != Need::Unknown)
    }
}

/// True if an item is an instance that holds types alone, or a type.
fn is_types_only(item: &ComponentItem, engine: &wasmtime::Engine) -> bool {
    match item {
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).all(|(_, export)| matches!(export.ty, ComponentItem::Type(_)))
        }
        ComponentItem::Type(_) => true,
        _ => false,
    }
}
