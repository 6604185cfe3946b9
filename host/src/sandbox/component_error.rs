//! The reasons for which bytes are no component that can run here, with what their author can do.

use std::fmt;
use std::time::Duration;

use super::artifact::Size;

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
