//! The reasons for which bytes are no component that can run here, with the advice to their author.

use std::fmt;
use std::time::Duration;

use super::artifact::Size;

/// The reason why bytes are no component that can be used here. An error of a limit names the limit as
/// `[host.intake]` does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComponentError {
    /// The artifact has too many bytes.
    #[error("it is longer than {most}, the most that `artifact` of [host.intake] allows")]
    TooLarge {
        /// The limit `artifact`.
        most: Size,
    },
    /// The artifact has no bytes.
    #[error("it is empty: was it built, and copied to its end?")]
    Empty,
    /// The bytes are not WebAssembly.
    #[error("it does not begin as WebAssembly does; is it really a component file?")]
    NotWasm,
    /// The bytes are a core module.
    #[error("it is a core module, not a component: {0}")]
    CoreModule(CoreModule),
    /// Intake did not let the component through to the compiler.
    #[error("it is not compiled: {0}")]
    NotTaken(String),
    /// The component passed intake, but the compiler refuses it.
    #[error("it does not compile: {0}")]
    Invalid(String),
    /// Compiling took too much CPU.
    #[error(
        "it takes more than {most:?} of CPU to compile, the most that `compile-time` of [host.intake] allows"
    )]
    CompileTime {
        /// The limit `compile-time`.
        most: Duration,
    },
    /// Compiling took too long by the wall clock.
    #[error(
        "it was not compiled after {wall:?}, on a machine too busy to give it the {most:?} of CPU that \
         `compile-time` of [host.intake] allows: try again when the machine is less busy, or raise it"
    )]
    CompileWall {
        /// The limit `compile-time`.
        most: Duration,
        /// The time that the host waited.
        wall: Duration,
    },
    /// Compiling took too much memory.
    #[error(
        "it takes more than {most} of memory to compile, the most that `compile-memory` of \
         [host.intake] allows"
    )]
    CompileMemory {
        /// The limit `compile-memory`.
        most: Size,
    },
    /// The compiler crashed on the component.
    #[error("the compiler failed over it: {0}")]
    Crashed(String),
    /// There was no compiler, or something else ended it.
    #[error("the compiler's process failed, not over it: {0}")]
    NoCompiler(String),
    /// The system refused the resources of an instance.
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
        /// The export's function with its type, and the difference.
        has: String,
        /// The function and type that the host wants.
        wants: String,
    },
    /// An import has the right name and another type.
    #[error("its import `{import}` has {has}, and {offers}")]
    ImportMismatch {
        /// The import's name.
        import: String,
        /// The item that differs, with its type.
        has: String,
        /// The item that the host has instead.
        offers: String,
    },
}

impl ComponentError {
    /// True if the same bytes would be refused again, at the same cost.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::NotTaken(_) | Self::Invalid(_) => true,
            Self::ExportMismatch { .. } | Self::ImportMismatch { .. } => true,
            Self::CompileTime { .. } | Self::CompileMemory { .. } | Self::Crashed(_) => true,
            // Checking these again costs nothing.
            Self::TooLarge { .. } | Self::Empty | Self::NotWasm | Self::CoreModule(_) => false,
            Self::CompileWall { .. } | Self::NoCompiler(_) | Self::NoInstance(_) | Self::Stopped => false,
        }
    }

    /// True if the fault is the host's, or its system's, and not the component's.
    pub fn is_of_host(&self) -> bool {
        matches!(self, Self::NoCompiler(_) | Self::NoInstance(_) | Self::Stopped)
    }
}

/// The kind of a core module, which decides how it becomes a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreModule {
    /// The module was built for WASI 0.1 (`wasi_snapshot_preview1`, `wasi_unstable`), and exports a program's
    /// `_start`.
    Command,
    /// The module was built for WASI 0.1, as a library.
    Reactor,
    /// The module names its WIT world in a custom section.
    Embedded,
    /// The module is none of these.
    Plain,
}

impl CoreModule {
    /// The kind of a module, by texts in its bytes; the module is not compiled for it.
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

/// Tells the usual mix-ups apart before the compiler reports them in obscure words.
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
        // The few modules of this test, as the text format's tools would write them.
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }
}
