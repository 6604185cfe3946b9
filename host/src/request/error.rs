//! Everything that can keep a request from its plugin's answer, sorted by whose fault it is.
//!
//! The statuses and problem types of `docs/errors.md` are here and nowhere else; `respond.rs`
//! alone turns one into an answer.

use std::time::Duration;

use http::{HeaderValue, StatusCode};

use crate::observe::Blame;
use crate::sandbox::{BodyFault, CallError};
use crate::snapshot::PathError;
use crate::tenant::Refused;

/// Why a request is answered by the host itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// It is not acceptable as HTTP, or its body did not come as it should.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// No plugin is to answer it.
    #[error(transparent)]
    Routing(#[from] RoutingError),
    /// Its turn did not come.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// A plugin did not answer, or not acceptably.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

/// What the caller did wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MessageError {
    /// A rule of HTTP is broken.
    #[error("{0}")]
    Malformed(&'static str),
    /// The path cannot be read.
    #[error("the request's path is not acceptable: {0}")]
    Path(#[from] PathError),
    /// An expectation other than `100-continue`.
    #[error("only `Expect: 100-continue` is understood")]
    Expectation,
    /// A transfer coding other than `chunked`.
    #[error("the only transfer coding understood is `chunked`, once")]
    Coding,
    /// `CONNECT` or `TRACE`, or a method longer than any that is served.
    #[error("this host serves neither CONNECT nor TRACE, nor a method of such a length")]
    Method,
    /// A version of HTTP other than those that are served.
    #[error("this host speaks HTTP/1.0, HTTP/1.1 and HTTP/2, and the request names another version")]
    Version,
    /// The request's target is too long.
    #[error("the request's target is longer than {most} bytes")]
    TargetLength {
        /// The most.
        most: usize,
    },
    /// The request's head is too large, or has too many fields.
    #[error("the request's head is too large, or has too many fields")]
    HeadTooLarge,
    /// The head stopped coming.
    #[error("the request's head did not arrive in time")]
    HeadTimeout,
    /// The body is larger than the plugin's `request-body`.
    #[error("the request's body is larger than {limit_bytes} bytes")]
    BodyTooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The body stopped coming.
    #[error("the request's body did not arrive in time")]
    BodyTimeout,
    /// The body broke off.
    #[error("the request's body broke off")]
    BodyBroken,
}

impl From<BodyFault> for MessageError {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::TooLarge { limit_bytes } => Self::BodyTooLarge { limit_bytes },
            BodyFault::TimedOut => Self::BodyTimeout,
            BodyFault::BrokenOff => Self::BodyBroken,
        }
    }
}

/// Why there is no route.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoutingError {
    /// No tenant has the host.
    #[error("no site is served at this host name")]
    NoTenant,
    /// The host is another tenant's than the name that the connection was made for.
    #[error("this connection was made for another site: ask on one of its own")]
    Misdirected,
    /// The tenant has no route for the path.
    #[error("nothing is served at this path")]
    NoRoute,
    /// The path has routes, for other methods.
    #[error("this method is not served at this path")]
    Method {
        /// Those that are.
        allow: HeaderValue,
    },
}

/// Which of the gates turned the request away.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdmissionError {
    /// The tenant's quota.
    #[error("the tenant has as many requests in flight as its quota allows: {0}")]
    Tenant(Refused),
    /// The plugin's limit.
    #[error("the plugin has as many calls in flight as its limit allows: {0}")]
    Plugin(Refused),
    /// The host's slots.
    #[error("the host has as many calls in flight as it has slots: {0}")]
    Host(Refused),
    /// The tenant's part of the slots that are divided.
    #[error(
        "the tenant has as many calls of filters beside streams as is its part of the slots for them: {0}"
    )]
    Part(Refused),
    /// The tenant's quota `cpu`.
    #[error("the tenant has used up its quota `cpu`, and has some again in {wait:?}")]
    Cpu {
        /// Until it has some again.
        wait: Duration,
    },
    /// Its revision was replaced, and too many others after it.
    #[error("its revision was replaced, and is too old to go on")]
    Draining,
}

/// What a plugin did wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum PluginError {
    /// Its call did not end with an answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Its answer is not one that can be sent.
    #[error("its answer cannot be sent: {0}")]
    Answer(AnswerError),
    /// Its answer's body is larger than `response-body`.
    #[error("its answer's body is {bytes} bytes long, and {limit_bytes} are the most")]
    BodyTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit_bytes: u64,
    },
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    /// A status that is not final.
    #[error("its status is {0}, not one of 200 to 599")]
    Status(u16),
    /// A header's name is none.
    #[error("`{0}` is not a header name")]
    Name(String),
    /// A header's value has bytes that none may have.
    #[error("the value of `{0}` has control characters")]
    Value(String),
    /// Too many headers, or too many bytes of them.
    #[error("it has more than {fields} header fields, or more than {bytes} bytes of them")]
    Fields {
        /// The most fields.
        fields: usize,
        /// The most bytes.
        bytes: usize,
    },
    /// Too many changes to header fields.
    #[error("it makes more than {most} changes to header fields")]
    Changes {
        /// The most.
        most: usize,
    },
    /// `content-length` that is not the body's.
    #[error("it states a content-length of `{stated}`, and its body has {actual} bytes")]
    Length {
        /// As stated.
        stated: String,
        /// The body's length.
        actual: usize,
    },
}

/// What an error looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The last part of the problem type's URN.
    pub(super) name: &'static str,
    /// The status.
    pub(super) status: StatusCode,
    /// A short sentence that is the same for every problem of this type.
    pub(super) title: &'static str,
    /// When it is worth another try.
    pub(super) retry_after: Option<Duration>,
}

/// When a caller that was turned away for want of room may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl RequestError {
    /// Whose fault it is.
    pub(super) fn blame(&self) -> Blame {
        match self {
            Self::Message(_) | Self::Routing(_) => Blame::Client,
            Self::Admission(
                AdmissionError::Tenant(_)
                | AdmissionError::Plugin(_)
                | AdmissionError::Part(_)
                | AdmissionError::Cpu { .. },
            ) => Blame::Quota,
            Self::Admission(AdmissionError::Host(_) | AdmissionError::Draining) => Blame::Host,
            Self::Plugin(PluginError::Call(error)) => match error {
                CallError::Host(_) => Blame::Host,
                CallError::Upstream { .. } => Blame::Upstream,
                CallError::Cpu { .. }
                | CallError::Wall
                | CallError::Stream { .. }
                | CallError::Memory { .. }
                | CallError::Beyond { .. }
                | CallError::Trap(_)
                | CallError::Exit(_)
                | CallError::Returned(_)
                | CallError::Unset
                | CallError::Unfinished
                | CallError::GaveUp { .. }
                | CallError::TooLarge(_) => Blame::Plugin,
            },
            Self::Plugin(PluginError::Answer(_) | PluginError::BodyTooLarge { .. }) => Blame::Plugin,
        }
    }

    /// The problem document's type, status and title.
    pub(super) fn problem(&self) -> Problem {
        let problem = |status: StatusCode, name, title| Problem { name, status, title, retry_after: None };
        match self {
            Self::Message(error) => match error {
                MessageError::Malformed(_) | MessageError::Path(_) | MessageError::BodyBroken => {
                    problem(StatusCode::BAD_REQUEST, "bad-request", "The request is malformed")
                }
                MessageError::Expectation => {
                    problem(StatusCode::EXPECTATION_FAILED, "expectation", "The expectation is not supported")
                }
                MessageError::Coding => problem(
                    StatusCode::NOT_IMPLEMENTED,
                    "unsupported-coding",
                    "The transfer coding is not supported",
                ),
                MessageError::Method => {
                    problem(StatusCode::NOT_IMPLEMENTED, "unsupported-method", "The method is not supported")
                }
                MessageError::Version => problem(
                    StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                    "version",
                    "The version of HTTP is not supported",
                ),
                MessageError::HeadTooLarge => problem(
                    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                    "headers",
                    "The request's head is too large",
                ),
                MessageError::TargetLength { .. } => {
                    problem(StatusCode::URI_TOO_LONG, "target-length", "The request's target is too long")
                }
                MessageError::BodyTooLarge { .. } => {
                    problem(StatusCode::PAYLOAD_TOO_LARGE, "request-body", "The request's body is too large")
                }
                MessageError::HeadTimeout | MessageError::BodyTimeout => problem(
                    StatusCode::REQUEST_TIMEOUT,
                    "request-timeout",
                    "The request took too long to arrive",
                ),
            },
            Self::Routing(error) => match error {
                RoutingError::NoTenant => {
                    problem(StatusCode::NOT_FOUND, "no-tenant", "No site is served at this host name")
                }
                RoutingError::Misdirected => problem(
                    StatusCode::MISDIRECTED_REQUEST,
                    "misdirected",
                    "The connection is for another site",
                ),
                RoutingError::NoRoute => {
                    problem(StatusCode::NOT_FOUND, "no-route", "Nothing is served at this path")
                }
                RoutingError::Method { .. } => {
                    problem(StatusCode::METHOD_NOT_ALLOWED, "method", "The method is not served at this path")
                }
            },
            Self::Admission(AdmissionError::Draining) => Problem {
                retry_after: Some(RETRY_AFTER),
                ..problem(StatusCode::SERVICE_UNAVAILABLE, "draining", "The site was changed")
            },
            Self::Admission(AdmissionError::Cpu { wait }) => Problem {
                retry_after: Some(*wait),
                ..problem(StatusCode::SERVICE_UNAVAILABLE, "quota-cpu", "The site has used up its CPU")
            },
            Self::Admission(_) => Problem {
                retry_after: Some(RETRY_AFTER),
                ..problem(StatusCode::SERVICE_UNAVAILABLE, "queue", "Too many requests are in flight")
            },
            Self::Plugin(PluginError::Call(error)) => match error {
                CallError::Cpu { .. } => {
                    problem(StatusCode::GATEWAY_TIMEOUT, "cpu", "The plugin used more CPU than it may")
                }
                CallError::Wall => WALL,
                // Met after the head alone: no caller is ever sent it.
                CallError::Stream { .. } => problem(
                    StatusCode::GATEWAY_TIMEOUT,
                    "stream",
                    "The answer's body took longer than it may",
                ),
                CallError::TooLarge(_) => RESPONSE_BODY,
                CallError::Unfinished => PLUGIN_ANSWER,
                CallError::Upstream { is_timeout, .. } => {
                    let status =
                        if *is_timeout { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY };
                    problem(status, "upstream", "A server that the plugin asked failed")
                }
                CallError::Memory { .. }
                | CallError::Beyond { .. }
                | CallError::Trap(_)
                | CallError::Exit(_)
                | CallError::Unset
                | CallError::GaveUp { .. }
                | CallError::Returned(_) => {
                    problem(StatusCode::INTERNAL_SERVER_ERROR, "plugin-failed", "The plugin failed")
                }
                CallError::Host(_) => {
                    problem(StatusCode::INTERNAL_SERVER_ERROR, "plugin-failed", "The plugin could not be run")
                }
            },
            Self::Plugin(PluginError::Answer(_)) => PLUGIN_ANSWER,
            Self::Plugin(PluginError::BodyTooLarge { .. }) => RESPONSE_BODY,
        }
    }

    /// What the caller is told beyond the title. Never a plugin's words, and nothing of the host's insides.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::Message(error) => error.to_string(),
            Self::Routing(error) => error.to_string(),
            Self::Admission(error) => format!("{} Try again in a moment.", error.whose()),
            Self::Plugin(_) => "The operator finds the reason in the log under this request's id.".into(),
        }
    }
}

impl AdmissionError {
    /// Whose queue it was, or what else is to be waited for.
    fn whose(&self) -> &'static str {
        match self {
            Self::Tenant(_) | Self::Part(_) => "The site has as many requests in flight as it may.",
            Self::Plugin(_) => "What answers at this path has as many requests in flight as it may.",
            Self::Host(_) => "The host has as many requests in flight as it can.",
            Self::Cpu { .. } => "The site has used up its CPU.",
            Self::Draining => "The site was changed while the request was under way.",
        }
    }
}

const WALL: Problem = Problem {
    name: "wall",
    status: StatusCode::GATEWAY_TIMEOUT,
    title: "The plugin took longer than it may",
    retry_after: None,
};

const PLUGIN_ANSWER: Problem = Problem {
    name: "plugin-answer",
    status: StatusCode::BAD_GATEWAY,
    title: "The plugin's answer cannot be sent",
    retry_after: None,
};

const RESPONSE_BODY: Problem = Problem {
    name: "response-body",
    status: StatusCode::BAD_GATEWAY,
    title: "The plugin's answer is too large",
    retry_after: None,
};
