//! The errors that keep a request from its plugin's answer, sorted by whose fault they are.
//!
//! The statuses and problem types of `docs/errors.md` are here and nowhere else; `respond.rs` alone turns an error
//! into an answer.

use std::time::Duration;

use http::{HeaderValue, StatusCode};

use crate::observe::Blame;
use crate::sandbox::{BodyFault, CallError};
use crate::snapshot::PathError;
use crate::tenant::Refused;

/// The reason why the host answers a request itself.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// The request is not acceptable as HTTP, or its body did not come as it should.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// No plugin is to answer the request.
    #[error(transparent)]
    Routing(#[from] RoutingError),
    /// The request was not admitted.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// A plugin did not answer, or its answer is not acceptable.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

/// A fault in the request's message, which is the caller's.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MessageError {
    /// The message breaks a rule of HTTP.
    #[error("{0}")]
    Malformed(&'static str),
    /// The path cannot be read.
    #[error("the request's path is not acceptable: {0}")]
    Path(#[from] PathError),
    /// The expectation is not `100-continue`.
    #[error("only `Expect: 100-continue` is understood")]
    Expectation,
    /// The transfer coding is not `chunked`.
    #[error("the only transfer coding understood is `chunked`, once")]
    Coding,
    /// The method is `CONNECT` or `TRACE`, or longer than any method that is served.
    #[error("this host serves neither CONNECT nor TRACE, nor a method of such a length")]
    Method,
    /// The version of HTTP is not one that the host serves.
    #[error("this host speaks HTTP/1.0, HTTP/1.1 and HTTP/2, and the request names another version")]
    Version,
    /// The request's target is too long.
    #[error("the request's target is longer than {most} bytes")]
    TargetLength {
        /// The longest target that is served.
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
        /// The plugin's `request-body`.
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

/// The reason why there is no route for a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoutingError {
    /// No tenant has the host.
    #[error("no site is served at this host name")]
    NoTenant,
    /// The host belongs to another tenant than the one whose name the connection was made for.
    #[error("this connection was made for another site: ask on one of its own")]
    Misdirected,
    /// The tenant has no route for the path.
    #[error("nothing is served at this path")]
    NoRoute,
    /// The path has routes, but for other methods.
    #[error("this method is not served at this path")]
    Method {
        /// The methods that the path's routes take.
        allow: HeaderValue,
    },
}

/// The gate that turned a request away.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdmissionError {
    /// The tenant's quota is full.
    #[error("the tenant has as many requests in flight as its quota allows: {0}")]
    Tenant(Refused),
    /// The plugin's limit is reached.
    #[error("the plugin has as many calls in flight as its limit allows: {0}")]
    Plugin(Refused),
    /// The host has no free slot.
    #[error("the host has as many calls in flight as it has slots: {0}")]
    Host(Refused),
    /// The tenant's part of the slots beside streams is taken.
    #[error(
        "the tenant has as many calls of filters beside streams as is its part of the slots for them: {0}"
    )]
    Part(Refused),
    /// The tenant's quota `cpu` is used up.
    #[error("the tenant has used up its quota `cpu`, and has some again in {wait:?}")]
    Cpu {
        /// The time until the tenant has CPU again.
        wait: Duration,
    },
    /// The request's revision was replaced, and too many others after it.
    #[error("its revision was replaced, and is too old to go on")]
    Draining,
}

/// A plugin's failure to give an answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum PluginError {
    /// The plugin's call did not end with an answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The plugin's answer cannot be sent.
    #[error("its answer cannot be sent: {0}")]
    Answer(AnswerError),
    /// The answer's body is larger than `response-body`.
    #[error("its answer's body is {bytes} bytes long, and {limit_bytes} are the most")]
    BodyTooLarge {
        /// The body's size.
        bytes: usize,
        /// The plugin's `response-body`.
        limit_bytes: u64,
    },
}

/// The reason why an answer cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    /// The status is not a final one.
    #[error("its status is {0}, not one of 200 to 599")]
    Status(u16),
    /// The text is not a header's name.
    #[error("`{0}` is not a header name")]
    Name(String),
    /// The header's value has bytes that no value may have.
    #[error("the value of `{0}` has control characters")]
    Value(String),
    /// The answer has too many header fields, or too many bytes of them.
    #[error("it has more than {fields} header fields, or more than {bytes} bytes of them")]
    Fields {
        /// The most fields that an answer may have.
        fields: usize,
        /// The most bytes that the fields may have.
        bytes: usize,
    },
    /// The filter makes too many changes to header fields.
    #[error("it makes more than {most} changes to header fields")]
    Changes {
        /// The most changes that a filter may make.
        most: usize,
    },
    /// The `content-length` is not the body's length.
    #[error("it states a content-length of `{stated}`, and its body has {actual} bytes")]
    Length {
        /// The length as the answer states it.
        stated: String,
        /// The body's length.
        actual: usize,
    },
}

/// An error as the caller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The last part of the problem type's URN.
    pub(super) name: &'static str,
    /// The status.
    pub(super) status: StatusCode,
    /// A short sentence that is the same for every problem of this type.
    pub(super) title: &'static str,
    /// The time after which another try is worth it.
    pub(super) retry_after: Option<Duration>,
}

/// The wait that is asked of a caller who was turned away for want of room.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl RequestError {
    /// The party whose fault the error is.
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
                // The stream's deadline passes after the answer's head only: no caller is ever sent this problem.
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

    /// The text that the caller is told beyond the title. It has neither a plugin's words nor anything of the host's
    /// insides.
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
    /// The owner of the queue that was full, or the other thing to wait for, in words.
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
