//! WASI 0.2 as ordinary toolchains import it. Clocks and random are real; stdout and stderr go to the
//! plugin's log; there is no environment, no argument, no file, no network: every such operation answers
//! with the WIT's own error.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::AsyncWrite;
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::bindings::io;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, async_trait};

use crate::sandbox::output::{Outlet, Stream};
use crate::sandbox::state::CallState;

/// The step of both clocks: too coarse to time what another tenant does on the same core.
const CLOCK_STEP: Duration = Duration::from_micros(100);

/// Random bytes that one call of `wasi:random` gives.
const MAX_RANDOM_BYTES: u64 = 64 << 10;

/// Bytes that a guest may hand over in one write to stdout or stderr.
const WRITE_BYTES: usize = 4096;

pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    // wasmtime-wasi reaches the table through its context, which a guest that uses streams and polls alone
    // would have made for nothing: about 1 µs a call.
    linker.allow_shadowing(true);
    io::error::add_to_linker::<_, Io>(linker, |state| &mut state.table)?;
    io::poll::add_to_linker::<_, Io>(linker, |state| &mut state.table)?;
    io::streams::add_to_linker::<_, Io>(linker, |state| &mut state.table)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// `wasi:io`, which needs nothing but the table of resources.
struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// An empty world, but for what the first lines of this file say.
pub(in crate::sandbox) fn context(outlet: &Outlet) -> WasiCtx {
    WasiCtx::builder()
        .stdout(Printed { outlet: outlet.clone(), stream: Stream::Stdout })
        .stderr(Printed { outlet: outlet.clone(), stream: Stream::Stderr })
        .wall_clock(SteppedWallClock)
        .monotonic_clock(SteppedMonotonicClock { began: Instant::now() })
        .max_random_size(MAX_RANDOM_BYTES)
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

/// stdout or stderr of a guest: lines for its log. Never waits, for what is over the budget is dropped.
#[derive(Clone)]
struct Printed {
    outlet: Outlet,
    stream: Stream,
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Printed {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        // The WIT has a write of more than `check-write` allowed trap; it would also be megabytes of lines
        // to look at, with no chance to stop the guest in between.
        if bytes.len() > WRITE_BYTES {
            return Err(StreamError::trap("cannot write more than `check-write` allows"));
        }
        self.outlet.print(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}
