//! `wasi:logging`: lines for the plugin's log.

use crate::sandbox::bindings::imports::wasi::logging::logging;
use crate::sandbox::state::CallState;

/// How much a guest's line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// `trace` and `debug`.
    Debug,
    /// `info`, and stdout.
    Info,
    /// `warn`, and stderr.
    Warn,
    /// `error` and `critical`.
    Error,
}

impl logging::Host for CallState {
    fn log(&mut self, level: logging::Level, context: String, message: String) -> wasmtime::Result<()> {
        let level = match level {
            logging::Level::Trace | logging::Level::Debug => Level::Debug,
            logging::Level::Info => Level::Info,
            logging::Level::Warn => Level::Warn,
            logging::Level::Error | logging::Level::Critical => Level::Error,
        };
        self.output.line(level, &context, &message);
        Ok(())
    }
}
