//! A compiled component: the plugs that it can be, its imports, and the imports that keep it from running here.
//!
//! Compiling is in `compiler/`; the reasons why bytes are no component are in `component_error.rs`.

use std::sync::{Arc, Weak};

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component as WasmComponent, InstancePre, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyIndices;

use super::artifact::Digest;
use super::bindings::{handler, request_filter, response_filter};
use super::component_error::ComponentError;
use super::fit;
use super::footprint::Footprint;
use super::imports::{self, Need};
use super::intake;
use super::interface::Interface;
use super::restore::{Exports, RestorePlan};
use super::rewrite::restore::{HOST, has_own_names};
use super::state::CallState;
use crate::capability::{Grant, Grants};
use crate::observe::{FEW, Plug, few};

/// One import of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The import's full name, version included.
    pub name: String,
    /// The need that must be met for the import.
    pub need: Need,
}

/// An import that stands in the way of running a component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportRefused {
    /// The import needs a grant that the plugin does not have.
    #[error("it imports `{import}`, which needs the grant `{grant}`")]
    NotGranted {
        /// The import's full name.
        import: String,
        /// The grant.
        grant: Grant,
    },
    /// This host offers no such interface.
    #[error("it imports `{import}`, which this host does not offer")]
    Unknown {
        /// The import's full name.
        import: String,
    },
}

impl ImportRefused {
    /// The import's full name.
    pub fn import(&self) -> &str {
        match self {
            Self::NotGranted { import, .. } | Self::Unknown { import } => import,
        }
    }

    /// The correction, for an interface that no grant opens.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotGranted { .. } => None,
            Self::Unknown { import } if intake::is_wasi_0_3(import) => Some(intake::WASI_0_2.into()),
            Self::Unknown { import } => {
                let versions = imports::versions(import);
                let offered = few(versions.iter().copied(), FEW);
                (!versions.is_empty()).then(|| format!("the versions of it that this host has: {offered}"))
            }
        }
    }

    /// The missing grant, if one would help.
    pub fn grant(&self) -> Option<Grant> {
        match self {
            Self::NotGranted { grant, .. } => Some(*grant),
            Self::Unknown { .. } => None,
        }
    }
}

/// A compiled component. Its code is freed when the last clone and the last call are gone.
#[derive(Clone)]
pub struct Component(Arc<Inner>);

/// A component that does not keep its code alive.
pub(super) struct WeakComponent(Weak<Inner>);

impl WeakComponent {
    pub(super) fn upgrade(&self) -> Option<Component> {
        self.0.upgrade().map(Component)
    }

    pub(super) fn is_live(&self) -> bool {
        self.0.strong_count() > 0
    }
}

struct Inner {
    digest: Digest,
    bytes: usize,
    footprint: Footprint,
    imports: Vec<Import>,
    exports: Vec<String>,
    interfaces: Vec<Interface>,
    ready: Option<Ready>,
}

/// The start of every call: imports resolved and exports found, once.
pub(super) struct Ready {
    pub(super) instance: InstancePre<CallState>,
    pub(super) handler: Option<handler::PlugIndices>,
    pub(super) incoming_handler: Option<ProxyIndices>,
    pub(super) request_filter: Option<request_filter::PlugIndices>,
    pub(super) response_filter: Option<response_filter::PlugIndices>,
    /// None if the component's instances cannot be put back to their start.
    pub(super) restore: Option<RestorePlan>,
}

impl Component {
    /// The component of compiled code, linked, with the artifact that the code was compiled from.
    pub(super) fn link(
        linker: &Linker<CallState>,
        compiled: &WasmComponent,
        artifact: &[u8],
        digest: Digest,
    ) -> Result<Self, ComponentError> {
        let footprint =
            Footprint::of(artifact).map_err(|error| ComponentError::Invalid(error.to_string()))?;
        let (kind, engine) = (compiled.component_type(), compiled.engine());
        let mut imports: Vec<Import> = Vec::new();
        // The parts that the host itself has added: a component that has names of theirs got none.
        let has_added_parts = !has_own_names(artifact);
        for (name, import) in kind.imports(engine).filter(|(name, _)| !(has_added_parts && *name == HOST)) {
            imports.push(Import {
                name: name.to_owned(),
                need: imports::need(name, is_types_only(&import.ty, engine)),
            });
        }
        let is_of_use = |item: &ComponentItem| !is_types_only(item, engine);
        let exports = kind.exports(engine).filter(|(_, export)| is_of_use(&export.ty));
        let exports = exports.map(|(name, _)| name.to_owned());
        let exports = exports.filter(|name| !(has_added_parts && Exports::is_name(name))).collect();
        let is_exported = |interface: &Interface| compiled.get_export_index(None, interface.name()).is_some();
        let interfaces: Vec<_> = Interface::ALL.into_iter().filter(is_exported).collect();
        let ready = if imports.iter().any(|import| import.need == Need::Unknown) {
            None
        } else {
            let restore = if has_added_parts { Exports::of(compiled) } else { None };
            Some(Ready::new(linker, compiled, &interfaces, restore)?)
        };
        let bytes = artifact.len();
        Ok(Self(Arc::new(Inner { digest, bytes, footprint, imports, exports, interfaces, ready })))
    }

    /// The digest of the component's artifact.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The artifact's size.
    pub fn len_bytes(&self) -> usize {
        self.0.bytes
    }

    /// The footprint of each of the component's instances.
    pub fn footprint(&self) -> Footprint {
        self.0.footprint
    }

    /// The interfaces that the component exports and a route can use. Empty if there is none.
    pub fn interfaces(&self) -> &[Interface] {
        &self.0.interfaces
    }

    /// The names of all exports but types.
    pub fn exports(&self) -> &[String] {
        &self.0.exports
    }

    /// The advice to the component's author, if it exports nothing that a route can use.
    pub fn hint(&self) -> Option<&'static str> {
        if self.0.interfaces.is_empty() { fit::hint(&self.0.exports) } else { None }
    }

    /// True if the component can be this plug.
    pub fn is(&self, plug: Plug) -> bool {
        self.0.interfaces.iter().any(|interface| interface.plug() == plug)
    }

    /// True if the component's handler takes and gives bodies as streams.
    pub fn streams(&self) -> bool {
        let handler = self.0.interfaces.iter().find(|interface| interface.plug() == Plug::Handler);
        handler == Some(&Interface::IncomingHandler)
    }

    /// True if the component can send requests to other servers, if it is granted any.
    pub fn calls_out(&self) -> bool {
        self.0.imports.iter().any(|import| import.name.starts_with("wasi:http/outgoing-handler@"))
    }

    /// All imports, in the component's own order.
    pub fn imports(&self) -> &[Import] {
        &self.0.imports
    }

    /// All imports that these grants do not cover, by name.
    pub fn refused_imports(&self, grants: Grants) -> Vec<ImportRefused> {
        let refused = |import: &Import| match import.need {
            Need::Nothing => None,
            Need::Grant(grant) if imports::is_opened(grants, grant) => None,
            Need::Grant(grant) => Some(ImportRefused::NotGranted { import: import.name.clone(), grant }),
            Need::Unknown => Some(ImportRefused::Unknown { import: import.name.clone() }),
        };
        self.0.imports.iter().filter_map(refused).collect()
    }

    /// All imports that no grant covers, by name.
    pub fn unknown_imports(&self) -> Vec<ImportRefused> {
        let unknown = self.0.imports.iter().filter(|import| import.need == Need::Unknown);
        unknown.map(|import| ImportRefused::Unknown { import: import.name.clone() }).collect()
    }

    pub(super) fn downgrade(&self) -> WeakComponent {
        WeakComponent(Arc::downgrade(&self.0))
    }

    pub(super) fn ready(&self) -> Option<&Ready> {
        self.0.ready.as_ref()
    }
}

impl Ready {
    fn new(
        linker: &Linker<CallState>,
        compiled: &WasmComponent,
        interfaces: &[Interface],
        restore: Option<Exports>,
    ) -> Result<Self, ComponentError> {
        let invalid = |error: wasmtime::Error| ComponentError::Invalid(format!("{error:#}"));
        let instance = linker.instantiate_pre(compiled);
        let instance = instance.map_err(|error| fit::explain_imports(compiled, &error))?;
        let mut ready = Self {
            instance,
            handler: None,
            incoming_handler: None,
            request_filter: None,
            response_filter: None,
            restore: restore.map(RestorePlan::new),
        };
        let instance = &ready.instance;
        for interface in interfaces {
            fit::check_export(instance, *interface)?;
            match interface {
                Interface::Handler => {
                    ready.handler = Some(handler::PlugIndices::new(instance).map_err(invalid)?);
                }
                Interface::IncomingHandler => {
                    ready.incoming_handler = Some(ProxyIndices::new(instance).map_err(invalid)?);
                }
                Interface::RequestFilter => {
                    ready.request_filter = Some(request_filter::PlugIndices::new(instance).map_err(invalid)?);
                }
                Interface::ResponseFilter => {
                    ready.response_filter =
                        Some(response_filter::PlugIndices::new(instance).map_err(invalid)?);
                }
            }
        }
        Ok(ready)
    }
}

/// True if an import is an instance that holds types alone, which no linker need provide.
fn is_types_only(item: &ComponentItem, engine: &wasmtime::Engine) -> bool {
    match item {
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).all(|(_, export)| matches!(export.ty, ComponentItem::Type(_)))
        }
        ComponentItem::Type(_) => true,
        _ => false,
    }
}
