//! The account of a request, written once when the request is over: answered, broken off, or given up by a caller who
//! hung up.
//!
//! [`Account`] is a drop guard, so there is no way out of a request that skips it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::{Instant, SystemTime};

use http::{Method, StatusCode, Uri, Version};

use super::error::RequestError;
use super::place::QuotaPlace;
use crate::observe::{AccessLine, Blame, GaugeGuard, Log, Metrics};
use crate::snapshot::{Plugin, Revision};
use crate::tenant::PluginName;

/// The status that is counted for a request whose caller left before it had a status. It is never sent.
const CLIENT_GONE: u16 = 499;

/// The log and the counters that accounts are written to.
#[derive(Clone)]
pub struct Ledger {
    /// The log.
    pub log: Log,
    /// The counters.
    pub metrics: Metrics,
}

/// The facts of one request, for the access log and the counters.
pub(super) struct Account {
    ledger: Arc<Ledger>,
    began: Instant,
    time: SystemTime,
    method: Method,
    uri: Uri,
    version: Version,
    host: Arc<str>,
    client: Option<IpAddr>,
    request_id: Arc<str>,
    trace_id: Option<Box<str>>,
    routed: Option<Routed>,
    cpu: Duration,
    answer: Option<SentAnswer>,
    failure: Option<(&'static str, Blame)>,
    _in_flight: GaugeGuard,
}

struct Routed {
    revision: Arc<Revision>,
    /// The plugin and the route that take the request. None if the tenant has no route for the request.
    target: Option<(Arc<Plugin>, Arc<str>)>,
}

struct SentAnswer {
    status: u16,
    written_bytes: u64,
    is_whole: bool,
}

impl Account {
    /// Opens an account for a request that has just arrived.
    pub(super) fn open(
        ledger: &Arc<Ledger>,
        head: &http::request::Parts,
        client: Option<IpAddr>,
        request_id: Arc<str>,
        trace_id: Option<&str>,
    ) -> Box<Self> {
        Box::new(Self {
            ledger: ledger.clone(),
            began: Instant::now(),
            time: SystemTime::now(),
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            host: Arc::default(),
            client,
            request_id,
            trace_id: trace_id.map(Into::into),
            routed: None,
            cpu: Duration::ZERO,
            answer: None,
            failure: None,
            _in_flight: ledger.metrics.request_guard(),
        })
    }

    /// Notes the host name that the caller asked for.
    pub(super) fn asked_for(&mut self, host: &Arc<str>) {
        self.host = host.clone();
    }

    /// Notes the revision of the tenant that has the host name.
    pub(super) fn of_tenant(&mut self, revision: &Arc<Revision>) {
        self.routed = Some(Routed { revision: revision.clone(), target: None });
    }

    /// Notes the plugin that is to answer the request, and the pattern of its route.
    pub(super) fn takes(&mut self, plugin: &Arc<Plugin>, route: &Arc<str>) {
        if let Some(routed) = &mut self.routed {
            routed.target = Some((plugin.clone(), route.clone()));
        }
    }

    /// The CPU time that the request's calls have used until the answer's head.
    pub(super) fn cpu(&mut self) -> &mut Duration {
        &mut self.cpu
    }

    /// Notes a failure, and writes its full story to the log: the caller is told less. After several failures, the
    /// caller is answered with the last.
    pub(super) fn failed(&mut self, error: &RequestError, plugin: Option<&PluginName>) {
        let (problem, blame) = (error.problem().name, error.blame());
        self.failure = Some((problem, blame));
        if blame == Blame::Client {
            return;
        }
        self.ledger
            .log
            .warn("request failed")
            .tenant(self.routed.as_ref().map(|routed| &routed.revision.tenant))
            .field("plugin", plugin)
            .field("problem", problem)
            .field("blame", blame)
            .field("error", format_args!("{error}"))
            .field("request-id", &*self.request_id)
            .send();
    }

    /// Notes that a plugin gave a body where HTTP allows none.
    pub(super) fn dropped_body(&self, status: StatusCode, bytes: Option<usize>) {
        let routed = self.routed.as_ref();
        self.ledger
            .log
            .warn("a body was dropped, for its status has none")
            .tenant(routed.map(|routed| &routed.revision.tenant))
            .field("plugin", routed.and_then(|routed| Some(&routed.target.as_ref()?.0.name)))
            .field("status", status.as_u16())
            .field("dropped-bytes", bytes.and_then(|bytes| u64::try_from(bytes).ok()))
            .field("request-id", &*self.request_id)
            .send();
    }

    /// Notes the answer that is about to be sent. An answer without a body is whole already.
    pub(super) fn answered(&mut self, status: u16, is_whole: bool) {
        self.answer = Some(SentAnswer { status, written_bytes: 0, is_whole });
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let duration = self.began.elapsed();
        let (status, response_bytes, is_whole) = match &self.answer {
            Some(answer) => (answer.status, answer.written_bytes, answer.is_whole),
            None => (CLIENT_GONE, 0, false),
        };
        if !is_whole && self.failure.is_none() {
            self.failure = Some(("client-gone", Blame::Client));
        }
        let blame = self.failure.map(|(_, blame)| blame);
        let target = self.routed.as_ref().and_then(|routed| routed.target.as_ref());
        match (&self.routed, target) {
            (_, Some((plugin, _))) => plugin.metrics.request(status, blame, duration, response_bytes),
            (Some(routed), None) => routed.revision.metrics.request(status, blame, duration, response_bytes),
            (None, None) => self.ledger.metrics.unrouted_request(status, blame, duration, response_bytes),
        }
        let line = AccessLine {
            time: self.time,
            method: &self.method,
            host: Some(&*self.host),
            path: self.uri.path(),
            version: self.version,
            status,
            response_bytes,
            duration,
            cpu: (target.is_some() || !self.cpu.is_zero()).then_some(self.cpu),
            tenant: self.routed.as_ref().map(|routed| &routed.revision.tenant),
            plugin: target.map(|(plugin, _)| &plugin.name),
            route: target.map(|(_, route)| &**route),
            problem: self.failure.map(|(problem, _)| problem),
            blame,
            request_id: &self.request_id,
            trace_id: self.trace_id.as_deref(),
            client: self.client,
        };
        line.write_to(&self.ledger.log);
    }
}

/// The state that a request holds until the last byte of its answer's body is taken: its account, its place in the
/// tenant's quota, and (through the account) its revision.
pub(super) struct Exchange {
    account: Box<Account>,
    _place: Option<Arc<QuotaPlace>>,
}

impl Exchange {
    pub(super) fn new(account: Box<Account>, place: Option<Arc<QuotaPlace>>) -> Self {
        Self { account, _place: place }
    }

    /// True if the revision that the plugin's answer comes from was ended: the answer is then broken off. An answer
    /// of the host itself is sent to its end; it may be the very one that says that the revision was ended.
    pub(super) fn is_over(&self) -> bool {
        let Account { routed, failure, .. } = &*self.account;
        failure.is_none() && routed.as_ref().is_some_and(|routed| routed.revision.is_ended())
    }

    /// Notes that the answer is broken off.
    pub(super) fn failed(&mut self, error: &RequestError, plugin: Option<&PluginName>) {
        self.account.failed(error, plugin);
    }

    /// Notes that `bytes` more bytes of the body were taken to be written.
    pub(super) fn took(&mut self, bytes: usize) {
        if let Some(answer) = &mut self.account.answer {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            answer.written_bytes = answer.written_bytes.saturating_add(bytes);
        }
    }

    /// Notes that the last byte of the body was taken.
    pub(super) fn took_all(&mut self) {
        if let Some(answer) = &mut self.account.answer {
            answer.is_whole = true;
        }
    }
}
