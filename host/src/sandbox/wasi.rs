//! The WASI 0.2 context of an instance: stepped clocks and random bytes; no environment, no argument, no
//! network. Files are `imports/filesystem.rs`'s.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx};

/// The step of both clocks: too coarse to time another tenant's work on the same core.
const CLOCK_STEP: Duration = Duration::from_micros(100);

/// The most random bytes that a guest may ask for at once: they are made without a look at its CPU.
pub const RANDOM_BYTES_AT_ONCE: u64 = 64 << 10;

/// The context that every instance begins with.
pub(super) fn context() -> WasiCtx {
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
        // A clock set before 1970 has no WASI form; the epoch is the nearest time that has.
        in_steps(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

/// The monotonic clock of an instance. It begins anew with each instance, so that it tells nothing of the host's
/// uptime.
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
