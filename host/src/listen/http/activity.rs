//! The activity of a connection: the reports of its layers about its requests, and the connection's commands to the
//! layers.
//!
//! Owns the counts and notes; `phase` decides what follows from them, and when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::listen::socket::WireHandle;
use crate::observe::Closed;
use crate::request::MessageError;

/// The activity of one connection.
pub(super) struct Activity {
    pub(super) wire: Arc<WireHandle>,
    state: Mutex<State>,
}

struct State {
    signs: Signs,
    /// The number of the request whose head was refused, counted from 0, and the reason.
    refused: Option<(u64, MessageError)>,
    /// True if responses say that they are the last.
    is_last: bool,
}

/// The position of HTTP/1 in the client's requests. HTTP/2's position is known only to h2, and stays at `Between`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// All bytes so far belong to whole requests.
    Between,
    /// A head has begun to come.
    Head {
        /// The time at which the first bytes of the head came.
        since: Instant,
        /// True if the head takes too long, and is to be refused.
        is_late: bool,
    },
    /// A request is handed on, or its body comes, or nothing more is read.
    Message,
}

/// An event that a layer reports.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// A head has begun to come.
    HeadBegan,
    /// A request is handed on, or refused, or its body comes.
    InMessage,
    /// All that has come was handed on.
    BetweenMessages,
    /// The client has taken something of a response.
    ResponseTaken,
    /// The client takes too little of a response, or nothing.
    Stalled,
    /// The client sent more control frames than it may.
    Flooded,
}

/// A command of the connection to its layers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Command {
    /// Refuse the head that is not yet whole.
    RefuseHead,
    /// Say with each response over HTTP/1 that it is the last.
    SayLast,
}

/// The signs of life of a connection.
#[derive(Debug, Clone)]
pub(super) struct Signs {
    pub(super) began: Instant,
    /// Requests begun.
    pub(super) begun: u64,
    /// The number of requests among them whose response was taken to the last piece, or that were given up.
    ended: u64,
    /// The last time at which a request ended, or a piece of a response was taken: the end of a response outlives its
    /// request.
    active_at: Instant,
    pub(super) reading: Reading,
    /// The responses over HTTP/2 whose next piece may be taken, each with the time since when: a client that opens no
    /// window stalls a response, and the socket does not show it.
    offered: BTreeMap<u64, Instant>,
    /// The fault of the client for which the connection ends.
    pub(super) fault: Option<Closed>,
}

impl Activity {
    pub(super) fn new(wire: Arc<WireHandle>) -> Self {
        let now = Instant::now();
        let signs = Signs {
            began: now,
            begun: 0,
            ended: 0,
            active_at: now,
            reading: Reading::Between,
            offered: BTreeMap::new(),
            fault: None,
        };
        Self { wire, state: Mutex::new(State { signs, refused: None, is_last: false }) }
    }

    pub(super) fn report(&self, event: Event) {
        let mut state = self.state();
        let signs = &mut state.signs;
        match event {
            Event::HeadBegan => {
                if !matches!(signs.reading, Reading::Head { .. }) {
                    signs.reading = Reading::Head { since: Instant::now(), is_late: false };
                }
            }
            Event::InMessage => signs.reading = Reading::Message,
            Event::BetweenMessages => signs.reading = Reading::Between,
            Event::ResponseTaken => signs.active_at = Instant::now(),
            Event::Stalled => signs.fault = signs.fault.or(Some(Closed::Stalled)),
            Event::Flooded => signs.fault = signs.fault.or(Some(Closed::Flood)),
        }
    }

    pub(super) fn command(&self, command: Command) {
        let mut state = self.state();
        match command {
            Command::RefuseHead => {
                if let Reading::Head { is_late, .. } = &mut state.signs.reading {
                    *is_late = true;
                }
            }
            Command::SayLast => state.is_last = true,
        }
    }

    pub(super) fn signs(&self) -> Signs {
        self.state().signs.clone()
    }

    /// True if responses are to say that they are the last.
    pub(super) fn is_last(&self) -> bool {
        self.state().is_last
    }

    /// True if the head that is not yet whole is to be refused.
    pub(super) fn is_head_late(&self) -> bool {
        matches!(self.state().signs.reading, Reading::Head { is_late: true, .. })
    }

    /// The number of requests that were answered or given up.
    pub(super) fn ended(&self) -> u64 {
        self.state().signs.ended
    }

    /// Notes that the head of the request of this number is refused. There is at most one: nothing after it is read.
    pub(super) fn refuse(&self, number: u64, why: MessageError) {
        self.state().refused = Some((number, why));
    }

    /// The reason why the head of the request of this number was refused, if it was.
    pub(super) fn refusal_of(&self, number: u64) -> Option<MessageError> {
        self.state().refused.as_ref().filter(|(refused, _)| *refused == number).map(|(_, why)| why.clone())
    }

    /// Notes that the client is waited for, to take the next piece of a response over HTTP/2.
    pub(super) fn offer(&self, number: u64) {
        self.state().signs.offered.insert(number, Instant::now());
    }

    /// Notes that the client is no longer waited for. Returns the time since when it was.
    pub(super) fn withdraw(&self, number: u64) -> Option<Instant> {
        self.state().signs.offered.remove(&number)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signs {
    pub(super) fn is_under_way(&self) -> bool {
        self.begun != self.ended
    }

    /// The time since which there is no request; none if there is a request, or a body that its response did not wait
    /// for.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (!self.is_under_way() && self.reading == Reading::Between).then_some(self.active_at)
    }

    /// The time since when the longest offered response has been offered.
    pub(super) fn offered_since(&self) -> Option<Instant> {
        self.offered.values().min().copied()
    }

    /// The time since which a head has been coming; none if no head is coming.
    pub(super) fn head_since(&self) -> Option<Instant> {
        match self.reading {
            Reading::Head { since, .. } => Some(since),
            Reading::Between | Reading::Message => None,
        }
    }
}

/// A request on a connection, from its head until it is dropped: with the last piece of its response, or earlier.
pub(super) struct RequestInFlight {
    activity: Arc<Activity>,
    number: u64,
}

impl RequestInFlight {
    pub(super) fn begin(activity: Arc<Activity>) -> Self {
        let mut state = activity.state();
        let number = state.signs.begun;
        state.signs.begun = number.saturating_add(1);
        drop(state);
        Self { activity, number }
    }

    /// The request's number on its connection, from 0.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn activity(&self) -> &Activity {
        &self.activity
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.signs.active_at = Instant::now();
        state.signs.ended = state.signs.ended.saturating_add(1);
    }
}
