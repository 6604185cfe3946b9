//! WASI 0.2 as ordinary toolchains import it. Clocks and random are real. stdout and stderr go to the plugin's log.
//! There is no environment, no argument, no network: every such operation answers with the WIT's own error. The file
//! system is `filesystem.rs`'s.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::cli::{stderr, stdin, stdout};
use wasmtime_wasi::p2::bindings::io;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};
use wasmtime_wasi::{WasiView, async_trait};

use crate::sandbox::output::{OpenStream, Output, StandardStreams, Stream};

/// The most bytes that a guest may hand over in one write to stdout or stderr.
const WRITE_BYTES: usize = 4096;

/// Adds all interfaces of WASI 0.2. wasmtime-wasi reaches the table through its context. For a guest that uses
/// streams and polls alone, the context would be made for nothing: about 1 µs a call. And a guest may keep its
/// standard streams from one call to the next, of which the context knows nothing. So the interfaces of streams,
/// polls and standard streams replace wasmtime-wasi's own.
pub(in crate::sandbox) fn add_to_linker<T: WasiView>(
    linker: &mut Linker<T>,
    table: fn(&mut T) -> &mut ResourceTable,
    streams: fn(&mut T) -> StandardView<'_>,
) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    io::error::add_to_linker::<_, Io>(linker, table)?;
    io::poll::add_to_linker::<_, Io>(linker, table)?;
    io::streams::add_to_linker::<_, Io>(linker, table)?;
    stdin::add_to_linker::<_, Standard>(linker, streams)?;
    stdout::add_to_linker::<_, Standard>(linker, streams)?;
    stderr::add_to_linker::<_, Standard>(linker, streams)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The key by which bindings of `wasi:io` find the table of resources, which is all that they need.
struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// The instance's standard streams, the output of its call, and its table.
pub(in crate::sandbox) struct StandardView<'a> {
    pub(in crate::sandbox) streams: &'a mut StandardStreams,
    pub(in crate::sandbox) output: &'a Arc<Output>,
    pub(in crate::sandbox) table: &'a mut ResourceTable,
}

struct Standard;

impl HasData for Standard {
    type Data<'a> = StandardView<'a>;
}

impl StandardView<'_> {
    fn give<S: Send + 'static>(
        &mut self,
        make: impl FnOnce(OpenStream) -> S,
    ) -> wasmtime::Result<Resource<S>> {
        Ok(self.streams.give(self.output, self.table, make)?)
    }
}

impl stdin::Host for StandardView<'_> {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<DynInputStream>> {
        self.give(|open| Box::new(NoInput { _open: open }) as DynInputStream)
    }
}

impl stdout::Host for StandardView<'_> {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.give(|open| Box::new(Printed { open, stream: Stream::Stdout }) as DynOutputStream)
    }
}

impl stderr::Host for StandardView<'_> {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.give(|open| Box::new(Printed { open, stream: Stream::Stderr }) as DynOutputStream)
    }
}

/// The stdin of a guest: at its end from the beginning.
struct NoInput {
    _open: OpenStream,
}

#[async_trait]
impl Pollable for NoInput {
    async fn ready(&mut self) {}
}

impl InputStream for NoInput {
    fn read(&mut self, _: usize) -> StreamResult<Bytes> {
        Err(StreamError::Closed)
    }
}

/// The stdout or stderr of a guest: lines for its log. It never waits, for lines over the budget are dropped.
struct Printed {
    open: OpenStream,
    stream: Stream,
}

#[async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        // By the WIT, a write of more than `check-write` allowed traps. Such a write would also be megabytes of lines
        // to look at, with no chance to stop the guest in between.
        if bytes.len() > WRITE_BYTES {
            return Err(StreamError::trap("cannot write more than `check-write` allows"));
        }
        self.open.print(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}
