//! What is counted by how it ended: reloads, compiles, connections.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;

use super::series::encode_counter;

/// How a reload of the site file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reload {
    /// Something changed and is live.
    Published,
    /// Nothing that matters had changed.
    Unchanged,
    /// It was invalid: what was live stays live.
    Refused,
}

/// How a component was come by that was not live already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compile {
    /// It was compiled.
    Compiled,
    /// Its compiled code was kept from an earlier time.
    Cached,
    /// It was refused.
    Refused,
}

impl Compile {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Compiled => "compiled",
            Self::Cached => "cached",
            Self::Refused => "refused",
        }
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Closed {
    /// Its client ended it, or asked for its end, or did not speak HTTP.
    Client,
    /// Its client had as many as it may.
    TooMany,
    /// What comes before HTTP did not come, or not as it should.
    Handshake,
    /// Its client never asked for anything.
    Silent,
    /// The head of a request did not come in time.
    LateHead,
    /// Its client sent too much that asked for nothing.
    Flood,
    /// There was no request for too long.
    Idle,
    /// It was as old as one may be.
    Aged,
    /// Its client took too little of its answers, or nothing.
    Stalled,
    /// The host stopped, and it had no request, or its requests were finished.
    Drained,
    /// The host stopped, and its requests were not finished in time.
    Cut,
}

impl Closed {
    pub(super) const ALL: [Self; 11] = [
        Self::Client,
        Self::TooMany,
        Self::Handshake,
        Self::Silent,
        Self::LateHead,
        Self::Flood,
        Self::Idle,
        Self::Aged,
        Self::Stalled,
        Self::Drained,
        Self::Cut,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::TooMany => "too-many",
            Self::Handshake => "handshake",
            Self::Silent => "silent",
            Self::LateHead => "late-head",
            Self::Flood => "flood",
            Self::Idle => "idle",
            Self::Aged => "aged",
            Self::Stalled => "stalled",
            Self::Drained => "drained",
            Self::Cut => "cut",
        }
    }
}

/// A counter with a series for each result from the start.
#[derive(Debug)]
pub(super) struct Results<const N: usize> {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) label: &'static str,
    pub(super) results: [(&'static str, Counter); N],
}

impl<const N: usize> Collector for Results<N> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(self.name, self.help, None, MetricType::Counter)?;
        self.results.iter().try_for_each(|(result, counter)| {
            encode_counter(&mut family, &[(self.label, *result)], counter.get())
        })
    }
}
