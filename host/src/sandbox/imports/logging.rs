//! The interface `wasi:logging`: lines for the plugin's log.

use wasmtime::component::{HasData, Linker};

use crate::observe::Level;
use crate::sandbox::bindings::imports::wasi::logging::logging;
use crate::sandbox::output::Output;

/// The part of a context that is kept: enough of a name to find lines by.
const MAX_CONTEXT_BYTES: usize = 64;

/// The output of the call.
pub(in crate::sandbox) struct PluginLines<'a>(pub(in crate::sandbox) &'a Output);

/// The key by which bindings find the view.
struct Borrowed;

impl HasData for Borrowed {
    type Data<'a> = PluginLines<'a>;
}

pub(in crate::sandbox) fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> PluginLines<'_>,
) -> wasmtime::Result<()> {
    logging::add_to_linker::<_, Borrowed>(linker, view)
}

impl logging::Host for PluginLines<'_> {
    fn log(&mut self, level: logging::Level, context: String, message: String) -> wasmtime::Result<()> {
        let level = match level {
            logging::Level::Trace | logging::Level::Debug => Level::Debug,
            logging::Level::Info => Level::Info,
            logging::Level::Warn => Level::Warn,
            logging::Level::Error | logging::Level::Critical => Level::Error,
        };
        let end = context.floor_char_boundary(MAX_CONTEXT_BYTES);
        self.0.line(level, context.get(..end).unwrap_or_default(), &message);
        Ok(())
    }
}
