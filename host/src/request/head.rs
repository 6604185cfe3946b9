//! The head of a request on its way through a chain: the parts as they came, and plain data for the plugs that take
//! it.

use std::sync::Arc;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version, header};

use super::error::{AnswerError, MessageError};
use super::fields::{
    self, CONNECTION_FIELDS, append, check_changes, check_fields, field, named_by_connection,
};
use crate::sandbox::message::{HeaderChange, RequestHead};

/// The head of a request as the next link sees it, without the fields that belong to the connection.
pub(super) struct Head {
    parts: Parts,
    /// The head as plain data. It is made when a plug first asks for it, and made anew after a change.
    values: Option<Arc<RequestHead>>,
}

/// The part of an answer that a plugin was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerScope {
    /// An answer with its body.
    Whole,
    /// The head that a GET's answer would have: `HEAD`, by a route that takes it itself.
    HeadAlone,
}

impl AnswerScope {
    pub(super) fn by(method: &Method) -> Self {
        if method == Method::HEAD { Self::HeadAlone } else { Self::Whole }
    }
}

impl Head {
    /// The head of a request that a route takes by this method.
    pub(super) fn new(mut parts: Parts, method: Method) -> Self {
        parts.method = method;
        let named = named_by_connection(&parts.headers);
        fields::retain(&mut parts.headers, |name| !CONNECTION_FIELDS.contains(name) && !named.contains(name));
        Self { parts, values: None }
    }

    pub(super) fn version(&self) -> Version {
        self.parts.version
    }

    /// True if the caller sends its body only when told to go on, and can be told (RFC 9110 §10.1.1).
    pub(super) fn asks_first(&self) -> bool {
        self.parts.version == Version::HTTP_11 && self.parts.headers.contains_key(header::EXPECT)
    }

    pub(super) fn asked(&self) -> AnswerScope {
        AnswerScope::by(&self.parts.method)
    }

    /// The head in plain data, as handlers with whole bodies and filters take it.
    pub(super) fn values(&mut self) -> Arc<RequestHead> {
        let Self { parts, values } = self;
        values.get_or_insert_with(|| Arc::new(in_values(parts))).clone()
    }

    /// The head in plain data, for the last plug that takes it.
    pub(super) fn into_values(self) -> RequestHead {
        self.values.map_or_else(|| in_values(&self.parts), Arc::unwrap_or_clone)
    }

    /// The request for a plugin that reads its body as a stream. The sandbox takes the authority that the caller
    /// asked for from `Host`.
    pub(super) fn into_request<B>(self, authority: &str, body: B) -> Result<Request<B>, MessageError> {
        let mut parts = self.parts;
        let host = HeaderValue::from_str(authority);
        let host = host.map_err(|_| MessageError::Malformed("the host is not acceptable"))?;
        parts.headers.insert(header::HOST, host);
        parts.uri = origin_form(parts.uri)?;
        Ok(Request::from_parts(parts, body))
    }

    /// Makes a filter's changes. A name that HTTP does not allow is an error, for the handler could make nothing of
    /// it.
    pub(super) fn change(&mut self, changes: Vec<HeaderChange>) -> Result<(), AnswerError> {
        check_changes(&changes)?;
        if changes.is_empty() {
            return Ok(());
        }
        self.values = None;
        let headers = &mut self.parts.headers;
        for change in changes {
            match change {
                HeaderChange::Set((name, value)) => {
                    let (name, value) = field(&name, &value)?;
                    fields::retain(headers, |known| *known != name);
                    append(headers, name, value)?;
                }
                HeaderChange::Append((name, value)) => {
                    let (name, value) = field(&name, &value)?;
                    append(headers, name, value)?;
                }
                HeaderChange::Remove(name) => {
                    // A text that is no field name has no field to take away.
                    if let Ok(name) = HeaderName::try_from(name) {
                        fields::retain(headers, |known| *known != name);
                    }
                }
            }
        }
        check_fields(headers)
    }
}

fn in_values(parts: &Parts) -> RequestHead {
    let headers = parts.headers.iter();
    RequestHead {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: headers
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_owned()))
            .collect(),
    }
}

/// The target without scheme and authority (RFC 9112 §3.2.1), for any form of target.
fn origin_form(target: Uri) -> Result<Uri, MessageError> {
    if target.authority().is_none() {
        return Ok(target);
    }
    let refused = |_| MessageError::Malformed("the target is not acceptable");
    let path = match target.into_parts().path_and_query {
        Some(path) if path.as_str().starts_with('/') => path,
        // An absolute URI may have nothing, or a query alone, behind its authority.
        Some(path) => format!("/{path}").parse::<PathAndQuery>().map_err(refused)?,
        None => PathAndQuery::from_static("/"),
    };
    Ok(Uri::from(path))
}
