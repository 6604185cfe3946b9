//! The compiler of `check` and `inspect`, which keeps nothing.

use crate::limits::IntakeLimits;
use crate::observe::{Format, Level, Log};
use crate::sandbox::{Compiler, CompilerProgram, CompilerSettings, PoolSettings, Sandbox};

/// A compiler with a sandbox of these settings.
pub(super) fn compiler(pool: PoolSettings, limits: IntakeLimits) -> Result<Compiler, String> {
    let sandbox = Sandbox::new(pool).map_err(|error| error.to_string())?;
    let program = CompilerProgram::this();
    let program = program.map_err(|error| format!("cannot tell which program this is: {error}"))?;
    let log = Log::new(Format::Text, Level::Warn, Box::new(std::io::stderr()));
    let log = log.map_err(|error| format!("cannot start the thread that writes the log: {error}"))?;
    let settings = CompilerSettings { program, limits, is_confined: true, cache: None, log };
    Compiler::new(sandbox, settings).map_err(|error| format!("cannot set up the compiler: {error}"))
}
