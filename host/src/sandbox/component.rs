//! A compiled component: which plugs it is, what it imports, and what it lacks to run here; and why bytes are none.
//!
//! How bytes are compiled is for `compiler/`.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component as WasmComponent, InstancePre};
use wasmtime_wasi_http::p2::bindings::ProxyIndices;

use super::bindings::{handler, request_filter, response_filter};
use super::engine::Sandbox;
use super::fit;
use super::footprint::Footprint;
use super::imports::{self, Need};
use super::intake;
use super::state::CallState;
use crate::capability::Grants;
use crate::observe::{FEW, Plug, few};

/// The name of an artifact: the SHA-256 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest: write `sha256:` and its 64 digits of 0-9 and a-f")]
pub struct DigestError(String);

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let error = || DigestError(text.to_owned());
        let digits = text.strip_prefix("sha256:").ok_or_else(error)?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let mut sum = [0; 32];
        if digits.len() != 64 || !digits.bytes().all(is_digit) {
            return Err(error());
        }
        for (byte, pair) in sum.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| error())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| error())?;
        }
        Ok(Self(sum))
    }
}

impl From<[u8; 32]> for Digest {
    fn from(sum: [u8; 32]) -> Self {
        Self(sum)
    }
}

/// Its digits alone.
impl fmt::LowerHex for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self:x}")
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
    /// The import's full name.
    pub fn import(&self) -> &str {
        match self {
            Self::NotGranted { import, .. } | Self::Unknown { import } => import,
        }
    }

    /// What would be right, of an interface that no grant opens.
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

    /// The grant that is missing, if one would do.
    pub fn grant(&self) -> Option<&'static str> {
        match self {
            Self::NotGranted { grant, .. } => Some(grant),
            Self::Unknown { .. } => None,
        }
    }
}

/// Why bytes are no component that can be used here. What is of a limit names it as `[host.intake]` does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComponentError {
    /// Too many bytes.
    #[error("it is longer than {most}, the most that `artifact` of [host.intake] allows")]
    TooLarge {
        /// The limit.
        most: Size,
    },
    /// No bytes.
    #[error("it is empty: was it built, and copied to its end?")]
    Empty,
    /// Not WebAssembly.
    #[error("it does not begin as WebAssembly does; is it really a component file?")]
    NotWasm,
    /// A core module.
    #[error("it is a core module, not a component: {0}")]
    CoreModule(CoreModule),
    /// Intake did not let it through to the compiler.
    #[error("it is not compiled: {0}")]
    NotTaken(String),
    /// It passed intake, and yet the compiler refuses it.
    #[error("it does not compile: {0}")]
    Invalid(String),
    /// Compiling it took too much CPU.
    #[error(
        "it takes more than {most:?} of CPU to compile, the most that `compile-time` of [host.intake] allows"
    )]
    CompileTime {
        /// The limit.
        most: Duration,
    },
    /// Compiling it took too long by the clock on the wall.
    #[error(
        "it was not compiled after {wall:?}, on a machine too busy to give it the {most:?} of CPU that \
         `compile-time` of [host.intake] allows: try again when the machine is less busy, or raise it"
    )]
    CompileWall {
        /// The limit.
        most: Duration,
        /// How long it was waited for.
        wall: Duration,
    },
    /// Compiling it took too much memory.
    #[error(
        "it takes more than {most} of memory to compile, the most that `compile-memory` of \
         [host.intake] allows"
    )]
    CompileMemory {
        /// The limit.
        most: Size,
    },
    /// The compiler did not survive it.
    #[error("the compiler failed over it: {0}")]
    Crashed(String),
    /// There was no compiler, or it was ended from without.
    #[error("the compiler's process failed, not over it: {0}")]
    NoCompiler(String),
    /// The system refused what an instance of it takes.
    #[error("no instance of it can be started: {0}")]
    NoInstance(String),
    /// The host is stopping.
    #[error("it was not compiled: the host is stopping")]
    Stopped,
    /// An export has the right name and another type.
    #[error("its export `{interface}` has {has}, and this host wants {wants}")]
    ExportMismatch {
        /// The export's name.
        interface: &'static str,
        /// Its function, with its type, and what differs.
        has: String,
        /// What it is to have.
        wants: String,
    },
    /// An import has the right name and another type.
    #[error("its import `{import}` has {has}, and {offers}")]
    ImportMismatch {
        /// The import's name.
        import: String,
        /// The item that differs, with its type.
        has: String,
        /// What there is instead.
        offers: String,
    },
}

/// Bytes, as the site file writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
        let whole = units.into_iter().find(|(_, bits)| self.0.trailing_zeros() >= *bits && self.0 > 0);
        match whole {
            Some((unit, bits)) => write!(f, "{}{unit}", self.0.wrapping_shr(bits)),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl ComponentError {
    /// Whether the same bytes would be refused again, at the same cost.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::NotTaken(_) | Self::Invalid(_) => true,
            Self::ExportMismatch { .. } | Self::ImportMismatch { .. } => true,
            Self::CompileTime { .. } | Self::CompileMemory { .. } | Self::Crashed(_) => true,
            // Looking at these again costs nothing.
            Self::TooLarge { .. } | Self::Empty | Self::NotWasm | Self::CoreModule(_) => false,
            Self::CompileWall { .. } | Self::NoCompiler(_) | Self::NoInstance(_) | Self::Stopped => false,
        }
    }

    /// Whether it is the host's fault, or its system's, and not the component's.
    pub fn is_of_host(&self) -> bool {
        matches!(self, Self::NoCompiler(_) | Self::NoInstance(_) | Self::Stopped)
    }
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

/// A component that is kept by others, or gone.
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

/// What calls start from: imports resolved and exports found, once.
pub(super) struct Ready {
    pub(super) instance: InstancePre<CallState>,
    pub(super) handler: Option<handler::PlugIndices>,
    pub(super) incoming_handler: Option<ProxyIndices>,
    pub(super) request_filter: Option<request_filter::PlugIndices>,
    pub(super) response_filter: Option<response_filter::PlugIndices>,
}

impl Sandbox {
    /// Compiles `bytes` in this process, whatever time and memory that takes: for bytes of one's own, and for tests.
    /// Those of strangers go through a [`Compiler`](super::Compiler).
    pub fn compile_here(&self, bytes: &[u8]) -> Result<Component, ComponentError> {
        check_preamble(bytes)?;
        intake::check(bytes).map_err(|error| ComponentError::NotTaken(error.to_string()))?;
        let compiled = WasmComponent::new(&self.engine, bytes);
        let compiled = compiled.map_err(|error| ComponentError::Invalid(format!("{error:#}")))?;
        self.component(&compiled, bytes, Digest::of(bytes))
    }

    /// What compiled code is, and the artifact that it was compiled from.
    pub(super) fn component(
        &self,
        compiled: &WasmComponent,
        artifact: &[u8],
        digest: Digest,
    ) -> Result<Component, ComponentError> {
        let footprint =
            Footprint::of(artifact).map_err(|error| ComponentError::Invalid(error.to_string()))?;
        let kind = compiled.component_type();
        let mut imports: Vec<Import> = Vec::new();
        for (name, import) in kind.imports(&self.engine) {
            imports.push(Import {
                name: name.to_owned(),
                need: imports::need(name, is_types_only(&import.ty, &self.engine)),
            });
        }
        let is_of_use = |item: &ComponentItem| !is_types_only(item, &self.engine);
        let exports = kind.exports(&self.engine).filter(|(_, export)| is_of_use(&export.ty));
        let exports = exports.map(|(name, _)| name.to_owned()).collect();
        let interfaces: Vec<_> =
            Interface::ALL.into_iter().filter(|interface| interface.is_exported_by(compiled)).collect();
        let ready = if imports.iter().any(|import| import.need == Need::Unknown) {
            None
        } else {
            Some(self.prepare(compiled, &interfaces)?)
        };
        let bytes = artifact.len();
        Ok(Component(Arc::new(Inner { digest, bytes, footprint, imports, exports, interfaces, ready })))
    }

    fn prepare(&self, compiled: &WasmComponent, interfaces: &[Interface]) -> Result<Ready, ComponentError> {
        let invalid = |error: wasmtime::Error| ComponentError::Invalid(format!("{error:#}"));
        let instance = self.linker.instantiate_pre(compiled);
        let instance = instance.map_err(|error| fit::explain_imports(compiled, &error))?;
        let mut ready = Ready {
            instance,
            handler: None,
            incoming_handler: None,
            request_filter: None,
            response_filter: None,
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

impl Component {
    /// The artifact's name.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The artifact's size.
    pub fn len_bytes(&self) -> usize {
        self.0.bytes
    }

    /// What each of its instances begins with.
    pub fn footprint(&self) -> Footprint {
        self.0.footprint
    }

    /// What of use here it exports; empty if it is nothing that a route can use.
    pub fn interfaces(&self) -> &[Interface] {
        &self.0.interfaces
    }

    /// All that it exports but types, by name.
    pub fn exports(&self) -> &[String] {
        &self.0.exports
    }

    /// What its author can do if it exports nothing that a route can use.
    pub fn hint(&self) -> Option<&'static str> {
        if self.0.interfaces.is_empty() { fit::hint(&self.0.exports) } else { None }
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

    /// What of its imports no grant covers: all of them, by name.
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
pub(super) fn check_preamble(bytes: &[u8]) -> Result<(), ComponentError> {
    match bytes {
        [] => Err(ComponentError::Empty),
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
