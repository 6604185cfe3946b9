//! Events that are counted by result: reloads, compiles, connections.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;

use super::series::encode_counter;

/// The result of a reload of the site file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reload {
    /// Something changed and is live.
    Published,
    /// Nothing relevant had changed.
    Unchanged,
    /// The site was invalid: the live one stays live.
    Refused,
}

/// The origin of a component that was not live already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compile {
    /// The component was compiled.
    Compiled,
    /// The component's compiled code was in the cache.
    Cached,
    /// The component was refused.
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

/// The reason why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Closed {
    /// The client ended the connection, or asked for its end, or did not speak HTTP.
    Client,
    /// The client had as many connections as it may.
    TooMany,
    /// The PROXY header or the TLS handshake did not come, or was faulty.
    Handshake,
    /// The client never sent a request.
    Silent,
    /// The head of a request did not come in time.
    LateHead,
    /// The client sent too much that was not a request.
    Flood,
    /// There was no request for too long.
    Idle,
    /// The connection reached the greatest age.
    Aged,
    /// The client read too little of its answers, or nothing.
    Stalled,
    /// The host stopped, and the connection had no request, or its requests were finished.
    Drained,
    /// The host stopped, and the connection's requests were not finished in time.
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
