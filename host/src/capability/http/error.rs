//! The reasons why an outbound request, or the body of its answer, failed.
//!
//! Owns the one list of reasons, the party to blame for each, and the mapping of the libraries' errors to them.
//! Leaves the guest's error to the sandbox, and the caller's to `request`.

use std::error::Error;
use std::io;

use super::address::Prohibited;
use super::origin::{Origin, OriginError};
use super::secret::CredentialError;

/// The reason why an outbound request failed. The texts are for the operator's log; none contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The plugin was not granted the origin.
    #[error("{origin} is not among the origins that the plugin was granted")]
    Denied {
        /// The origin.
        origin: Origin,
    },
    /// The target has no origin that a plugin could be granted.
    #[error("the request's target cannot be granted: {0}")]
    UriInvalid(#[from] OriginError),
    /// The method makes a tunnel, or makes the answer show what the host added.
    #[error("a plugin cannot send a {method} request")]
    MethodInvalid {
        /// The method.
        method: http::Method,
    },
    /// The request's head contradicts itself.
    #[error("the request to {origin} has {reason}")]
    HeadInvalid {
        /// The origin of the request.
        origin: Origin,
        /// The error in the field.
        reason: &'static str,
    },
    /// Requests may not be sent to any address of the origin.
    #[error(
        "{origin} is not on the open Internet: {prohibited}; `[host.outbound] allow` can make exceptions"
    )]
    AddressProhibited {
        /// The origin.
        origin: Origin,
        /// The first of the origin's addresses, and its kind.
        prohibited: Prohibited,
    },
    /// The origin's name could not be resolved.
    #[error("the name of {origin} could not be resolved: {reason}")]
    DnsError {
        /// The origin.
        origin: Origin,
        /// The resolver's error.
        reason: String,
    },
    /// The origin's name was not resolved in time.
    #[error("the name of {origin} was not resolved in time")]
    DnsTimeout {
        /// The origin.
        origin: Origin,
    },
    /// The server does not listen on the port.
    #[error("{origin} refused the connection")]
    ConnectionRefused {
        /// The origin.
        origin: Origin,
    },
    /// There is no route to the server.
    #[error("{origin} could not be reached: {reason}")]
    Unreachable {
        /// The origin.
        origin: Origin,
        /// The system's error.
        reason: String,
    },
    /// The connection was not made in time.
    #[error("no connection to {origin} was made in time")]
    ConnectionTimeout {
        /// The origin.
        origin: Origin,
    },
    /// The most connections or requests that may exist are under way, and none ended in time.
    #[error("{limit} {what} are under way already, as many as there may be")]
    ConnectionLimit {
        /// The noun for what is counted.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The connection ended before the answer did.
    #[error("{origin} broke off: {reason}")]
    ConnectionTerminated {
        /// The origin.
        origin: Origin,
        /// The TLS error.
        reason: String,
    },
    /// The certificate is not valid for this origin.
    #[error("the certificate of {origin} is refused: {reason}")]
    TlsCertificate {
        /// The origin.
        origin: Origin,
        /// The reason.
        reason: String,
    },
    /// TLS failed otherwise.
    #[error("TLS with {origin} failed: {reason}")]
    TlsProtocol {
        /// The origin.
        origin: Origin,
        /// The reason.
        reason: String,
    },
    /// The answer did not begin in time.
    #[error("{origin} did not begin its answer in time")]
    ResponseTimeout {
        /// The origin.
        origin: Origin,
    },
    /// The answer's body paused for too long.
    #[error("{origin} sent nothing more of its answer in time")]
    BetweenBytesTimeout {
        /// The origin.
        origin: Origin,
    },
    /// The server's message is not a valid answer.
    #[error("what {origin} sent is not HTTP as it should be: {reason}")]
    HttpProtocol {
        /// The origin.
        origin: Origin,
        /// The error in the message.
        reason: String,
    },
    /// The answer's head is too large.
    #[error("the head of the answer of {origin} is larger than 64 KiB or has more than 128 fields")]
    ResponseHeadTooLarge {
        /// The origin.
        origin: Origin,
    },
    /// The plugin did not finish the body that it had begun.
    #[error("the body of the request to {origin} was not sent whole: {reason}")]
    RequestBody {
        /// The origin.
        origin: Origin,
        /// The reason.
        reason: String,
    },
    /// The call has sent all requests that it may.
    #[error("the call has sent {limit} outbound requests already, as many as its limit `outbound` allows")]
    TooManyRequests {
        /// The limit.
        limit: u32,
    },
    /// The call has sent and received all bytes that it may.
    #[error("the outbound bodies of the call are over {limit} bytes, its limit `outbound-bytes`")]
    TooManyBytes {
        /// The limit.
        limit: u64,
    },
    /// A credential for the origin cannot be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

impl OutboundError {
    /// True if the server, or the network on the way to it, is to blame, and not the plugin, its grants or its
    /// limits.
    pub fn is_upstreams(&self) -> bool {
        match self {
            Self::DnsError { .. }
            | Self::DnsTimeout { .. }
            | Self::ConnectionRefused { .. }
            | Self::Unreachable { .. }
            | Self::ConnectionTimeout { .. }
            | Self::ConnectionTerminated { .. }
            | Self::TlsCertificate { .. }
            | Self::TlsProtocol { .. }
            | Self::ResponseTimeout { .. }
            | Self::BetweenBytesTimeout { .. }
            | Self::HttpProtocol { .. }
            | Self::ResponseHeadTooLarge { .. } => true,
            Self::Denied { .. }
            | Self::UriInvalid(_)
            | Self::MethodInvalid { .. }
            | Self::HeadInvalid { .. }
            | Self::AddressProhibited { .. }
            | Self::ConnectionLimit { .. }
            | Self::RequestBody { .. }
            | Self::TooManyRequests { .. }
            | Self::TooManyBytes { .. }
            | Self::Credential(_) => false,
        }
    }

    /// True if a deadline passed.
    pub fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::DnsTimeout { .. }
                | Self::ConnectionTimeout { .. }
                | Self::ResponseTimeout { .. }
                | Self::BetweenBytesTimeout { .. }
        )
    }

    /// The error of a connection to `origin`, found among the causes of the library's error.
    pub(super) fn sort(origin: &Origin, error: &(dyn Error + 'static)) -> Self {
        let origin = origin.clone();
        let reason = causes(error).map(ToString::to_string).reduce(|all, cause| {
            // The text of a wrapper is often the text of its cause.
            if all.ends_with(&cause) { all } else { format!("{all}: {cause}") }
        });
        let reason = reason.unwrap_or_default();
        for cause in causes(error) {
            if let Some(own) = cause.downcast_ref::<Self>() {
                return own.clone();
            }
            match cause.downcast_ref::<rustls::Error>() {
                Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
                    return Self::TlsCertificate { origin, reason: cause.to_string() };
                }
                Some(_) => return Self::TlsProtocol { origin, reason: cause.to_string() },
                None => {}
            }
        }
        for cause in causes(error) {
            if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
                if hyper.is_parse_too_large() {
                    return Self::ResponseHeadTooLarge { origin };
                }
                if hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled() {
                    return Self::ConnectionTerminated { origin, reason };
                }
            }
            if cause.is::<io::Error>() {
                return Self::ConnectionTerminated { origin, reason };
            }
        }
        Self::HttpProtocol { origin, reason }
    }
}

/// The error and its causes, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    /// More causes than any library nests; ends a circle of causes.
    const DEEPEST: usize = 16;
    std::iter::successors(Some(error), |error| cause(*error)).take(DEEPEST)
}

/// The cause of an error. For an `io::Error` it is the inner error: `source` skips the inner error, and returns the
/// inner error's own `source`.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        Some(wrapper) => wrapper.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}
