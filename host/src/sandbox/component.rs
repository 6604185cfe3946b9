//! Bytes → a compiled component: which plugs it is, what it imports, and what it lacks to run here.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component as WasmComponent, InstancePre};
use wasmtime_wasi_http::p2::bindings::ProxyIndices;

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

/// An interface that a component may export to be of use here. A patch release of the same minor version is
/// the same interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// `jackfield:plugin/handler`: buffered messages.
    Handler,
    /// `wasi:http/incoming-handler` 0.2: streamed ones.
    IncomingHandler,
    /// `jackfield:plugin/request-filter`.
    RequestFilter,
    /// `jackfield:plugin/response-filter`.
    ResponseFilter,
}

impl Interface {
    /// Every interface there is. Of two that make the same plug the first is used.
    pub const ALL: [Self; 4] =
        [Self::Handler, Self::IncomingHandler, Self::RequestFilter, Self::ResponseFilter];

    /// Its full name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handler => "jackfield:plugin/handler@0.1.0",
            Self::IncomingHandler => "wasi:http/incoming-handler@0.2.0",
            Self::RequestFilter => "jackfield:plugin/request-filter@0.1.0",
            Self::ResponseFilter => "jackfield:plugin/response-filter@0.1.0",
        }
    }

    /// What a component that exports it can be.
    pub fn plug(self) -> Plug {
        match self {
            Self::Handler | Self::IncomingHandler => Plug::Handler,
            Self::RequestFilter => Plug::RequestFilter,
            Self::ResponseFilter => Plug::ResponseFilter,
        }
    }

    fn is_exported_by(self, component: &WasmComponent) -> bool {
        component.get_export_index(None, self.name()).is_some()
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
    #[error("it is a core module, not a component: {0}")]
    CoreModule(CoreModule),
    /// Broken, or using what is turned off here.
    #[error("it does not compile: {0}")]
    Invalid(String),
    /// An interface has the right name and another shape.
    #[error("an import does not fit this host: {0}")]
    Mismatch(String),
}

/// What kind of a core module somebody has, and so how it becomes a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreModule {
    /// It was built for WASI 0.1 (`wasi_snapshot_preview1`, `wasi_unstable`), and exports a program's `_start`.
    Command,
    /// It was built for WASI 0.1, as a library.
    Reactor,
    /// It says in a custom section which WIT world it is of.
    Embedded,
    /// Neither.
    Plain,
}

impl CoreModule {
    /// By what is written in its bytes; they are not compiled for it.
    fn of(bytes: &[u8]) -> Self {
        let says = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
        let is_of_wasi_0_1 = says(b"wasi_snapshot_preview1") || says(b"wasi_unstable");
        match is_of_wasi_0_1 {
            _ if says(b"component-type") => Self::Embedded,
            true if says(b"_start") => Self::Command,
            true => Self::Reactor,
            false => Self::Plain,
        }
    }
}

impl fmt::Display for CoreModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Command => {
                "a program for WASI 0.1 (preview 1), which reads standard input and answers nothing over HTTP. \
                 Export a handler instead, and build it for wasm32-wasip2; `jackfield new` writes one to start \
                 from"
            }
            Self::Reactor => {
                "one for WASI 0.1 (preview 1). Build it for wasm32-wasip2; where a toolchain has only 0.1, wrap \
                 what it makes: `wasm-tools component embed --world WORLD wit MODULE.wasm -o EMBEDDED.wasm`, \
                 then `wasm-tools component new EMBEDDED.wasm --adapt wasi_snapshot_preview1.reactor.wasm -o \
                 COMPONENT.wasm`"
            }
            Self::Embedded => {
                "its interface is written into it, so that one step makes it one: `wasm-tools component new \
                 MODULE.wasm -o COMPONENT.wasm` (with `--adapt wasi_snapshot_preview1.reactor.wasm` if it was \
                 built for WASI 0.1)"
            }
            Self::Plain => {
                "build it for wasm32-wasip2, or wrap it: `wasm-tools component embed --world WORLD wit \
                 MODULE.wasm -o EMBEDDED.wasm`, then `wasm-tools component new EMBEDDED.wasm -o COMPONENT.wasm`"
            }
        })
    }
}

/// A compiled component. Its code is freed when the last clone and the last call are gone.
#[derive(Clone)]
pub struct Component(Arc<Inner>);

struct Inner {
    digest: Digest,
    bytes: usize,
    imports: Vec<Import>,
    interfaces: Vec<Interface>,
    ready: Option<Ready>,
}

/// What calls start from: imports resolved and exports found, once.
pub(super) struct Ready {
    pub(super) instance: InstancePre<CallState>,
    pub(super) handler: Option<handler::PlugIndices>,
    pub(super) incoming_handler: Option<ProxyIndices>,
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
        let interfaces: Vec<_> =
            Interface::ALL.into_iter().filter(|interface| interface.is_exported_by(&compiled)).collect();
        let ready = if imports.iter().any(|import| import.need == Need::Unknown) {
            None
        } else {
            Some(self.prepare(&compiled, &interfaces)?)
        };
        Ok(Component(Arc::new(Inner {
            digest: Digest::of(bytes),
            bytes: bytes.len(),
            imports,
            interfaces,
            ready,
        })))
    }

    fn prepare(&self, compiled: &WasmComponent, interfaces: &[Interface]) -> Result<Ready, ComponentError> {
        let mismatch = |error: wasmtime::Error| ComponentError::Mismatch(format!("{error:#}"));
        let instance = self.linker.instantiate_pre(compiled).map_err(mismatch)?;
        let mut ready = Ready {
            instance,
            handler: None,
            incoming_handler: None,
            request_filter: None,
            response_filter: None,
        };
        let instance = &ready.instance;
        for interface in interfaces {
            match interface {
                Interface::Handler => {
                    ready.handler = Some(handler::PlugIndices::new(instance).map_err(mismatch)?);
                }
                Interface::IncomingHandler => {
                    ready.incoming_handler = Some(ProxyIndices::new(instance).map_err(mismatch)?);
                }
                Interface::RequestFilter => {
                    ready.request_filter =
                        Some(request_filter::PlugIndices::new(instance).map_err(mismatch)?);
                }
                Interface::ResponseFilter => {
                    ready.response_filter =
                        Some(response_filter::PlugIndices::new(instance).map_err(mismatch)?);
                }
            }
        }
        Ok(ready)
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

    /// What of use here it exports; empty if it is nothing that a route can use.
    pub fn interfaces(&self) -> &[Interface] {
        &self.0.interfaces
    }

    /// Whether it can be that.
    pub fn is(&self, plug: Plug) -> bool {
        self.0.interfaces.iter().any(|interface| interface.plug() == plug)
    }

    /// Whether, as a handler, it takes and gives bodies as streams.
    pub fn streams(&self) -> bool {
        let handler = self.0.interfaces.iter().find(|interface| interface.plug() == Plug::Handler);
        handler == Some(&Interface::IncomingHandler)
    }

    /// Whether it can ask other servers, if it is granted any.
    pub fn calls_out(&self) -> bool {
        self.0.imports.iter().any(|import| import.name.starts_with("wasi:http/outgoing-handler@"))
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

    /// Whether both were compiled once.
    #[cfg(test)]
    pub(crate) fn is_the_same_code_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
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
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(ComponentError::CoreModule(CoreModule::of(bytes))),
        [0, b'a', b's', b'm', ..] => Ok(()),
        _ => Err(ComponentError::NotWasm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_module_is_told_how_it_becomes_a_component() {
        let module = |text: &str| check_preamble(&wat(text)).unwrap_err().to_string();
        for (text, word) in [
            (
                r#"(module (import "wasi_snapshot_preview1" "x" (func)) (func (export "_start")))"#,
                "a program",
            ),
            (r#"(module (import "wasi_snapshot_preview1" "x" (func)))"#, "component embed"),
            (r#"(module (import "wasi_unstable" "x" (func)))"#, "preview 1"),
            (r#"(module (@custom "component-type:a" "x"))"#, "one step"),
            ("(module)", "build it for wasm32-wasip2, or wrap it"),
        ] {
            let message = module(text);
            assert!(message.contains("core module") && message.contains(word), "{text}: {message}");
        }
    }

    fn wat(text: &str) -> Vec<u8> {
        // The few modules here, as the text format's tools would write them.
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }
}
