//! The phases of a connection, and its deadlines: each look at a connection gives the next step, and the time of the
//! next look.
//!
//! Owns every deadline of a connection that no request's own limits cover. Does nothing itself: a look is a function
//! of the signs of life, the settings and the time.

use std::time::Duration;

use tokio::time::Instant;

use super::activity::{Reading, Signs};
use super::protocol::Protocol;
use crate::listen::bounds::LAST_CALL;
use crate::listen::settings::Settings;
use crate::listen::socket::{WireSigns, Writing};
use crate::observe::Closed;

/// The longest time in which a client learns that a connection takes no further request.
const TIME_TO_KNOW: Duration = Duration::from_secs(3);

/// The longest time that a request goes on after its client has closed its sending side, while nothing can be sent to
/// the client. Only sending shows whether the client has closed the other side too: then it resets the connection.
const AFTER_CLIENTS_END: Duration = Duration::from_secs(5);

/// The interval at which a connection with a closed sending side is looked at, for that reset.
const LOOK_FOR_RESET: Duration = Duration::from_millis(500);

/// The time after which an HTTP/1 connection without a request rests, without hyper: most connections are idle for
/// most of their time, and hyper's buffers are most of their memory.
const REST_AFTER: Duration = Duration::from_secs(5);

/// The phase of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum ConnectionPhase {
    /// The connection takes requests.
    Open,
    /// The next response is the last. A request that may be on its way is waited for.
    LastCall { why: Closed, until: Instant },
    /// hyper was told to take no further request, and ends after the present ones.
    Closing {
        why: Closed,
        since: Instant,
        /// The requests that had begun when the client had to know.
        begun_in_time: Option<u64>,
    },
}

/// The end of a client that has closed its sending side.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientEnd {
    pub(super) at: Instant,
    /// The bytes that the client had taken by then.
    pub(super) written_bytes: u64,
}

/// The signs by which a connection is looked at.
pub(super) struct Scene<'a> {
    pub(super) signs: Signs,
    pub(super) wire: WireSigns,
    pub(super) client_end: Option<ClientEnd>,
    pub(super) protocol: Protocol,
    pub(super) settings: &'a Settings,
}

/// The next step with a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The connection goes on until the next look.
    GoOn(Instant),
    /// The connection has had no request for a while, and goes on without hyper.
    Rest,
    /// The head is late, and is to be refused.
    RefuseHead,
    /// The next response is the last.
    LastCall(Closed),
    /// The connection is to end with its present requests.
    Close(Closed),
    /// The connection is cut.
    Cut(Closed),
}

impl ConnectionPhase {
    /// The reason why the connection is to end, if it is to end.
    pub(super) fn why(&self) -> Option<Closed> {
        match self {
            Self::Open => None,
            Self::LastCall { why, .. } | Self::Closing { why, .. } => Some(*why),
        }
    }

    /// Makes each further response over HTTP/1 say that it is the last. hyper is not told during a request: if the
    /// head of its response has been sent, the client expects that the connection is kept, and may send another
    /// request.
    pub(super) fn call_last(&mut self, why: Closed, now: Instant) {
        if let Self::Open = self {
            *self = Self::LastCall { why, until: after(now, LAST_CALL) };
        }
    }

    /// Notes that hyper takes no further request from now on.
    pub(super) fn close(&mut self, why: Closed, now: Instant) {
        *self = Self::Closing { why, since: now, begun_in_time: None };
    }

    /// Looks at the connection.
    pub(super) fn look(&mut self, now: Instant, scene: &Scene<'_>) -> Step {
        let mut look = Look { now, next: after(now, tick(scene.settings)) };
        let step = self.rest(&mut look, scene);
        let step = step.or_else(|| fault(&mut look, scene));
        let step = step.or_else(|| late_head(&mut look, scene));
        let step = step.or_else(|| self.idle(&mut look, scene));
        step.or_else(|| self.proceed(&mut look, scene)).unwrap_or(Step::GoOn(look.next))
    }

    /// The step to rest, if hyper is not needed for now: there is no request, and all responses were taken.
    fn rest(&self, look: &mut Look, scene: &Scene<'_>) -> Option<Step> {
        let is_quiet = scene.protocol == Protocol::Http1
            && scene.wire.writing != Writing::Waiting
            && matches!(self, Self::Open);
        let since = scene.signs.idle_since().filter(|_| is_quiet)?;
        look.is_over(since, REST_AFTER).then_some(Step::Rest)
    }

    fn idle(&self, look: &mut Look, scene: &Scene<'_>) -> Option<Step> {
        let Scene { signs, settings, .. } = scene;
        let (patience, why) = match signs.begun {
            0 => (settings.head, Closed::Silent),
            _ => (settings.idle, Closed::Idle),
        };
        if !look.is_over(signs.idle_since()?, patience) {
            return None;
        }
        Some(match self {
            Self::Closing { why, .. } => Step::Cut(*why),
            Self::Open | Self::LastCall { .. } => Step::Close(why),
        })
    }

    /// Goes from one phase to the next.
    fn proceed(&mut self, look: &mut Look, scene: &Scene<'_>) -> Option<Step> {
        let signs = &scene.signs;
        match self {
            Self::Open => {
                look.is_over(signs.began, scene.settings.age).then_some(Step::LastCall(Closed::Aged))
            }
            Self::LastCall { why, until } => {
                // Over HTTP/2 a client is told which of its requests count, so no further request is waited for.
                let is_free = !signs.is_under_way() && signs.head_since().is_none();
                let is_over =
                    scene.protocol == Protocol::Http2 || (is_free && look.is_over(*until, Duration::ZERO));
                is_over.then_some(Step::Close(*why))
            }
            // h2 (0.4.20) goes on taking requests until the client has acknowledged the GOAWAY, which it may never
            // do.
            Self::Closing { why, since, begun_in_time } => {
                let is_cut = look.is_over(*since, TIME_TO_KNOW)
                    && signs.begun > *begun_in_time.get_or_insert(signs.begun);
                is_cut.then_some(Step::Cut(*why))
            }
        }
    }
}

/// The step for a client that takes nothing, or is gone.
fn fault(look: &mut Look, scene: &Scene<'_>) -> Option<Step> {
    let takes_nothing =
        scene.signs.offered_since().is_some_and(|since| look.is_over(since, scene.settings.write));
    if takes_nothing || scene.wire.writing == Writing::Stalled || scene.signs.fault == Some(Closed::Stalled) {
        return Some(Step::Cut(Closed::Stalled));
    }
    let end = scene.client_end?;
    let is_sent_nothing = scene.wire.written_bytes == end.written_bytes;
    if is_sent_nothing && look.is_over(end.at, AFTER_CLIENTS_END) {
        return Some(Step::Cut(Closed::Client));
    }
    look.again_after(LOOK_FOR_RESET);
    None
}

/// The step for a head that does not come whole.
fn late_head(look: &mut Look, scene: &Scene<'_>) -> Option<Step> {
    let Reading::Head { since, is_late } = scene.signs.reading else { return None };
    let step = if is_late { Step::Cut(Closed::LateHead) } else { Step::RefuseHead };
    look.is_over(since, scene.settings.head).then_some(step)
}

/// A look at a connection: the moment, and the next of its deadlines.
struct Look {
    now: Instant,
    next: Instant,
}

impl Look {
    /// True if the time `patience` after `since` is over; if not, the next look is then at the latest.
    fn is_over(&mut self, since: Instant, patience: Duration) -> bool {
        let end = after(since, patience);
        if end > self.now {
            self.next = self.next.min(end);
        }
        end <= self.now
    }

    fn again_after(&mut self, interval: Duration) {
        self.next = self.next.min(after(self.now, interval));
    }
}

/// The longest time between two looks: no deadline is shorter.
pub(super) fn tick(settings: &Settings) -> Duration {
    let Settings { head, idle, write, age, .. } = settings;
    *head.min(idle).min(write).min(age).min(&REST_AFTER)
}

pub(super) fn after(since: Instant, patience: Duration) -> Instant {
    since.checked_add(patience).unwrap_or(since)
}
