//! `wasi:logging`: lines for the plugin's log.

use crate::observe::Level;
use crate::sandbox::bindings::imports::wasi::logging::logging;
use crate::sandbox::state::CallState;

/// What is kept of a context: enough of a name to find lines by.
const MAX_CONTEXT_BYTES: usize = 64;

impl logging::Host for CallState {
    fn log(&mut self, level: logging::Level, context: String, message: String) -> wasmtime::Result<()> {
        let level = match level {
            logging::Level::Trace | logging::Level::Debug => Level::Debug,
            logging::Level::Info => Level::Info,
            logging::Level::Warn => Level::Warn,
            logging::Level::Error | logging::Level::Critical => Level::Error,
        };
        let end = context.floor_char_boundary(MAX_CONTEXT_BYTES);
        self.call.output.line(level, context.get(..end).unwrap_or_default(), &message);
        Ok(())
    }
}
