//! Bytes → a compiled component: which plugs it is, what it imports, and what it lacks to run here.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component as WasmComponent, InstancePre};

use super::bindings::{handler, request_filter, response_filter};
use super::engine::Sandbox;
use super::imports::{self, Need};
use super::state::CallState;
use crate::capability::Grants;
use crate::observe::Plug;

/// The largest artifact that is read at all.
pub const MAX_ARTIFACT_BYTES: usize = 64 << 20;

/// The name of an artifact: the SHA-256 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The export that makes a component this plug.
pub fn interface(plug: Plug) -> &'static str {
    match plug {
        Plug::Handler => "jackfield:plugin/handler@0.1.0",
        Plug::RequestFilter => "jackfield:plugin/request-filter@0.1.0",
        Plug::ResponseFilter => "jackfield:plugin/response-filter@0.1.0",
    }
}

/// One import of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its full name, version included.
    pub name: String,
    /// What it takes.
    pub need: Need,
}

/// An import that stands in the way of running a component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportRefused {
    /// It needs a grant that the plugin does not have.
    #[error("it imports `{import}`, which needs the grant `{grant}`")]
    NotGranted {
        /// The import's full name.
        import: String,
        /// The grant's name in the site file.
        grant: &'static str,
    },
    /// This host offers no such interface.
    #[error("it imports `{import}`, which this host does not offer")]
    Unknown {
        /// The import's full name.
        import: String,
    },
}

impl ImportRefused {
    /// The grant that is missing, if one would do.
    pub fn grant(&self) -> Option<&'static str> {
        match self {
            Self::NotGranted { grant, .. } => Some(grant),
            Self::Unknown { .. } => None,
        }
    }
}

/// Why bytes are no component that can be used here.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// Too many bytes.
    #[error("it is {bytes} bytes long, and {MAX_ARTIFACT_BYTES} are the most")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not WebAssembly.
    #[error("it does not begin as WebAssembly does; is it really a component file?")]
    NotWasm,
    /// A core module.
    #[error(
        "it is a core module, not a component; build it for wasm32-wasip2, or wrap it with \
         `wasm-tools component new`"
    )]
    CoreModule,
    /// Broken, or using what is turned off here.
    #[error("it does not compile: {0}")]
    Invalid(String),
    /// An interface has the right name and another shape.
    #[error("an import does not fit this host: {0}")]
    Mismatch(String),
}

/// A compiled component. Its code is freed when the last clone and the last call are gone.
#[derive(Clone)]
pub struct Component(Arc<Inner>);

struct Inner {
    digest: Digest,
    bytes: usize,
    imports: Vec<Import>,
    plugs: Vec<Plug>,
    ready: Option<Ready>,
}

/// What calls start from: imports resolved and exports found, once.
pub(super) struct Ready {
    pub(super) instance: InstancePre<CallState>,
    pub(super) handler: Option<handler::PlugIndices>,
    pub(super) request_filter: Option<request_filter::PlugIndices>,
    pub(super) response_filter: Option<response_filter::PlugIndices>,
}

impl Sandbox {
    /// Compiles `bytes`. Takes from milliseconds to seconds of every core: not for an async worker.
    pub fn compile(&self, bytes: &[u8]) -> Result<Component, ComponentError> {
        check_preamble(bytes)?;
        let invalid = |error: wasmtime::Error| ComponentError::Invalid(format!("{error:#}"));
        let compiled = WasmComponent::new(&self.engine, bytes).map_err(invalid)?;
        let kind = compiled.component_type();
        let mut imports: Vec<Import> = Vec::new();
        for (name, import) in kind.imports(&self.engine) {
            imports.push(Import {
                name: name.to_owned(),
                need: imports::need(name, is_types_only(&import.ty, &self.engine)),
            });
        }
        let ready = if imports.iter().any(|import| import.need == Need::Unknown) {
            None
        } else {
            Some(self.prepare(&compiled)?)
        };
        let plugs = Plug::ALL
            .into_iter()
            .filter(|plug| compiled.get_export_index(None, interface(*plug)).is_some())
            .collect();
        Ok(Component(Arc::new(Inner {
            digest: Digest::of(bytes),
            bytes: bytes.len(),
            imports,
            plugs,
            ready,
        })))
    }

    fn prepare(&self, compiled: &WasmComponent) -> Result<Ready, ComponentError> {
        let mismatch = |error: wasmtime::Error| ComponentError::Mismatch(format!("{error:#}"));
        let instance = self.linker.instantiate_pre(compiled).map_err(mismatch)?;
        let exports = |plug: Plug| compiled.get_export_index(None, interface(plug)).is_some();
        let handler = exports(Plug::Handler)
            .then(|| handler::PlugIndices::new(&instance))
            .transpose()
            .map_err(mismatch)?;
        let request_filter = exports(Plug::RequestFilter)
            .then(|| request_filter::PlugIndices::new(&instance))
            .transpose()
            .map_err(mismatch)?;
        let response_filter = exports(Plug::ResponseFilter)
            .then(|| response_filter::PlugIndices::new(&instance))
            .transpose()
            .map_err(mismatch)?;
        Ok(Ready { instance, handler, request_filter, response_filter })
    }
}

impl Component {
    /// The artifact's name.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The artifact's size.
    pub fn len_bytes(&self) -> usize {
        self.0.bytes
    }

    /// What it can be; empty if it is nothing that a route can use.
    pub fn plugs(&self) -> &[Plug] {
        &self.0.plugs
    }

    /// Whether it can be that.
    pub fn is(&self, plug: Plug) -> bool {
        self.0.plugs.contains(&plug)
    }

    /// Everything it imports, in its own order.
    pub fn imports(&self) -> &[Import] {
        &self.0.imports
    }

    /// What of its imports these grants do not cover: all of them, by name.
    pub fn refused_imports(&self, grants: Grants) -> Vec<ImportRefused> {
        let refused = |import: &Import| match import.need {
            Need::Nothing => None,
            Need::Grant(grant) if imports::is_granted(grants, grant) => None,
            Need::Grant(grant) => Some(ImportRefused::NotGranted { import: import.name.clone(), grant }),
            Need::Unknown => Some(ImportRefused::Unknown { import: import.name.clone() }),
        };
        self.0.imports.iter().filter_map(refused).collect()
    }

    pub(super) fn ready(&self) -> Option<&Ready> {
        self.0.ready.as_ref()
    }
}

/// Whether an import is an instance that holds types alone, which no linker need provide.
fn is_types_only(item: &ComponentItem, engine: &wasmtime::Engine) -> bool {
    match item {
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).all(|(_, export)| matches!(export.ty, ComponentItem::Type(_)))
        }
        ComponentItem::Type(_) => true,
        _ => false,
    }
}

/// Tells the usual mix-ups apart before the compiler says something obscure about them.
fn check_preamble(bytes: &[u8]) -> Result<(), ComponentError> {
    if bytes.len() > MAX_ARTIFACT_BYTES {
        return Err(ComponentError::TooLarge { bytes: bytes.len() });
    }
    match bytes {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(ComponentError::CoreModule),
        [0, b'a', b's', b'm', ..] => Ok(()),
        _ => Err(ComponentError::NotWasm),
    }
}
