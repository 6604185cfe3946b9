//! WASI 0.2 as ordinary toolchains import it. Clocks and random are real; stdout and stderr go to the
//! plugin's log; there is no environment, no argument, no file, no network: every such operation answers
//! with the WIT's own error.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use wasmtime::component::{HasData, HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::cli::{stderr, stdin, stdout};
use wasmtime_wasi::p2::bindings::io;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, async_trait};

use super::random::{self, RANDOM_BYTES_AT_ONCE};
use crate::sandbox::output::{OpenStream, Stream};
use crate::sandbox::state::CallState;

/// The step of both clocks: too coarse to time what another tenant does on the same core.
const CLOCK_STEP: Duration = Duration::from_micros(100);

/// Bytes that a guest may hand over in one write to stdout or stderr.
const WRITE_BYTES: usize = 4096;

pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    // Random bytes are counted. wasmtime-wasi reaches the table through its context, which a guest that uses streams
    // and polls alone would have made for nothing: about 1 µs a call. And a guest may keep its standard streams from
    // one call to the next, of which the context knows nothing.
    linker.allow_shadowing(true);
    io::error::add_to_linker::<_, Io>(linker, |state| &mut state.table)?;
    io::poll::add_to_linker::<_, Io>(linker, |state| &mut state.table)?;
    io::streams::add_to_linker::<_, Io>(linker, |state| &mut state.table)?;
    stdin::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    stdout::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    stderr::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
    random::add_to_linker(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// `wasi:io`, which needs nothing but the table of resources.
struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// An empty world, but for what the first lines of this file say.
pub(in crate::sandbox) fn context() -> WasiCtx {
    WasiCtx::builder()
        .wall_clock(SteppedWallClock)
        .monotonic_clock(SteppedMonotonicClock { began: Instant::now() })
        .max_random_size(RANDOM_BYTES_AT_ONCE)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

struct SteppedWallClock;

impl HostWallClock for SteppedWallClock {
    fn resolution(&self) -> Duration {
        CLOCK_STEP
    }

    fn now(&self) -> Duration {
        // A clock set before 1970 has no WASI form; the epoch is the nearest that has.
        in_steps(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

/// Begins anew with each instance, so that it tells nothing of the host's uptime.
struct SteppedMonotonicClock {
    began: Instant,
}

impl HostMonotonicClock for SteppedMonotonicClock {
    fn resolution(&self) -> u64 {
        nanos(CLOCK_STEP)
    }

    fn now(&self) -> u64 {
        nanos(in_steps(self.began.elapsed()))
    }
}

fn in_steps(time: Duration) -> Duration {
    let past_step = time.as_nanos().checked_rem(CLOCK_STEP.as_nanos()).unwrap_or(0);
    time.saturating_sub(Duration::from_nanos(u64::try_from(past_step).unwrap_or(0)))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl stdin::Host for CallState {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<DynInputStream>> {
        self.standard_stream(|open| Box::new(NoInput { _open: open }) as DynInputStream)
    }
}

impl stdout::Host for CallState {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.standard_stream(|open| Box::new(Printed { open, stream: Stream::Stdout }) as DynOutputStream)
    }
}

impl stderr::Host for CallState {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.standard_stream(|open| Box::new(Printed { open, stream: Stream::Stderr }) as DynOutputStream)
    }
}

/// stdin of a guest: at its end from the beginning.
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

/// stdout or stderr of a guest: lines for its log. Never waits, for what is over the budget is dropped.
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
        // The WIT has a write of more than `check-write` allowed trap; it would also be megabytes of lines
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
