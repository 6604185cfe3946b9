//! The fixed bounds of every connection, as far as several files or other rooms use them.

use std::time::Duration;

/// The largest head of a request.
pub const MAX_HEAD_BYTES: usize = 64 << 10;

/// The most fields of a head.
pub const MAX_HEAD_FIELDS: usize = 128;

/// The longest target of a request, path and query together.
pub const MAX_TARGET_BYTES: usize = 8 << 10;

/// The longest rest of an unwanted body that is read, so that its HTTP/1 connection is kept.
pub const MAX_DRAINED_BYTES: u64 = 256 << 10;

/// The most control frames that an HTTP/2 client may send at once. A few hundred are enough to cancel a page of a
/// hundred requests, to open the windows of all of them and to set their priorities.
pub const MAX_CONTROL_FRAMES: u32 = 1000;

/// The control frames that an HTTP/2 client may send each second after that.
pub const CONTROL_FRAMES_PER_SECOND: u32 = 100;

/// The longest time for which unwanted bytes are read from a client. A client reads a response well within it.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// The time for which an idle HTTP/1 connection is kept when the host stops: the next request may be on its way, and
/// is then answered with `connection: close`.
pub(super) const LAST_CALL: Duration = Duration::from_secs(1);

/// The pause before the next accept, after the system had no descriptor or memory for a connection.
pub const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(50);
