//! The bounds of every connection that no operator changes, as far as several files or other rooms use them.

use std::time::Duration;

/// The largest head of a request.
pub const MAX_HEAD_BYTES: usize = 64 << 10;

/// The most fields of a head.
pub const MAX_HEAD_FIELDS: usize = 128;

/// The longest target of a request, path and query together.
pub const MAX_TARGET_BYTES: usize = 8 << 10;

/// The longest rest of a body that is read although nobody wants it, so that its HTTP/1 connection is kept.
pub const MAX_DRAINED_BYTES: u64 = 256 << 10;

/// The most control frames that an HTTP/2 client may send at once. To give up a page of a hundred requests, to open
/// windows for all of them and to set priorities takes a few hundred.
pub const MAX_CONTROL_FRAMES: u32 = 1000;

/// The control frames that such a client may send each second from then on.
pub const CONTROL_FRAMES_PER_SECOND: u32 = 100;

/// The longest time for which bytes that nobody wants are read from a client. A response is read well within it.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// The time for which an HTTP/1 connection that is idle when the host stops is kept: the next request may be on its
/// way, and is then answered with `connection: close`.
pub(super) const LAST_CALL: Duration = Duration::from_secs(1);

/// The pause before connections are accepted again, after the system had no descriptors or memory for one.
pub(super) const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(50);
