//! Why an outbound request, or the body of its answer, failed.
//!
//! Owns the one list of reasons, whose doing each is, and how those of the libraries below are sorted into
//! it. Leaves to the sandbox what a guest is told, and to `request` what the caller is.

use std::error::Error;
use std::io;

use super::address::Prohibited;
use super::origin::{Origin, OriginError};
use super::secret::CredentialError;

/// Why an outbound request failed. The texts are for the operator's log; no secret is in any.
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
    /// The method makes a tunnel, or has the answer show what the host added.
    #[error("a plugin cannot send a {method} request")]
    MethodInvalid {
        /// The method.
        method: http::Method,
    },
    /// The request's head contradicts itself.
    #[error("the request to {origin} has {reason}")]
    HeadInvalid {
        /// Where it was to go.
        origin: Origin,
        /// What it has.
        reason: &'static str,
    },
    /// Every address of the origin is one that requests are not sent to.
    #[error(
        "{origin} is not on the open Internet: {prohibited}; `[host.outbound] allow` can make exceptions"
    )]
    AddressProhibited {
        /// The origin.
        origin: Origin,
        /// The first of its addresses, and what that is.
        prohibited: Prohibited,
    },
    /// The origin's name could not be resolved.
    #[error("the name of {origin} could not be resolved: {reason}")]
    DnsError {
        /// The origin.
        origin: Origin,
        /// What the resolver said.
        reason: String,
    },
    /// The origin's name was not resolved in time.
    #[error("the name of {origin} was not resolved in time")]
    DnsTimeout {
        /// The origin.
        origin: Origin,
    },
    /// Nobody listens there.
    #[error("{origin} refused the connection")]
    ConnectionRefused {
        /// The origin.
        origin: Origin,
    },
    /// There is no way there.
    #[error("{origin} could not be reached: {reason}")]
    Unreachable {
        /// The origin.
        origin: Origin,
        /// What the system said.
        reason: String,
    },
    /// The connection was not made in time.
    #[error("no connection to {origin} was made in time")]
    ConnectionTimeout {
        /// The origin.
        origin: Origin,
    },
    /// As many connections or requests are under way as there may be, and none ended in time.
    #[error("{limit} {what} are under way already, as many as there may be")]
    ConnectionLimit {
        /// What is counted.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// The connection ended before the answer did.
    #[error("{origin} broke off: {reason}")]
    ConnectionTerminated {
        /// The origin.
        origin: Origin,
        /// How it did.
        reason: String,
    },
    /// The certificate is not one for this origin.
    #[error("the certificate of {origin} is refused: {reason}")]
    TlsCertificate {
        /// The origin.
        origin: Origin,
        /// Why.
        reason: String,
    },
    /// TLS failed otherwise.
    #[error("TLS with {origin} failed: {reason}")]
    TlsProtocol {
        /// The origin.
        origin: Origin,
        /// Why.
        reason: String,
    },
    /// The answer did not begin in time.
    #[error("{origin} did not begin its answer in time")]
    ResponseTimeout {
        /// The origin.
        origin: Origin,
    },
    /// The answer's body did not go on in time.
    #[error("{origin} sent nothing more of its answer in time")]
    BetweenBytesTimeout {
        /// The origin.
        origin: Origin,
    },
    /// What came is no answer.
    #[error("what {origin} sent is not HTTP as it should be: {reason}")]
    HttpProtocol {
        /// The origin.
        origin: Origin,
        /// What is wrong.
        reason: String,
    },
    /// The answer's head is too large.
    #[error("the head of the answer of {origin} is larger than 64 KiB or has more than 128 fields")]
    ResponseHeadTooLarge {
        /// The origin.
        origin: Origin,
    },
    /// The plugin did not give the body that it had begun.
    #[error("the body of the request to {origin} was not sent whole: {reason}")]
    RequestBody {
        /// The origin.
        origin: Origin,
        /// Why.
        reason: String,
    },
    /// The call has sent all the requests that it may.
    #[error("the call has sent {limit} outbound requests already, as many as its limit `outbound` allows")]
    TooManyRequests {
        /// The limit.
        limit: u32,
    },
    /// The call has sent and received all the bytes that it may.
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
    /// Whether this is the doing of the server or of the network on the way there, and not of the plugin, its
    /// grants or its limits.
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

    /// Whether something did not come in time.
    pub fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::DnsTimeout { .. }
                | Self::ConnectionTimeout { .. }
                | Self::ResponseTimeout { .. }
                | Self::BetweenBytesTimeout { .. }
        )
    }

    /// What a connection to `origin` failed with, by the causes of the libraries' error.
    pub(super) fn sort(origin: &Origin, error: &(dyn Error + 'static)) -> Self {
        let origin = origin.clone();
        let reason = causes(error).map(ToString::to_string).reduce(|all, cause| {
            // Wrappers often say no more than what they wrap.
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

/// An error, and one after another what caused it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    /// No library nests as deep; a circle would.
    const DEEPEST: usize = 16;
    std::iter::successors(Some(error), |error| cause(*error)).take(DEEPEST)
}

/// What an `io::Error` wraps is not its `source` but its inner error, whose source it passes on as its own.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        Some(wrapper) => wrapper.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}
