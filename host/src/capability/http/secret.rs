//! Credentials that the host adds to a plugin's requests, so that the plugin never sees them.
//!
//! Owns the secret's cell, whose value can be replaced while requests run, and the rules for a credential's header.
//! Leaves to `outbound` when the header is set, and to the site file's reader the place of its value.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue};

use super::fields;
use super::origin::Origin;

/// A secret value. Clones share one cell, so that a new value reaches every revision at once; no form of it
/// shows the value.
#[derive(Clone)]
pub struct Secret {
    value: Arc<ArcSwap<Vec<u8>>>,
}

impl Secret {
    /// A cell with a value.
    pub fn new(value: Vec<u8>) -> Self {
        Self { value: Arc::new(ArcSwap::from_pointee(value)) }
    }

    /// Replaces the value. A request that took the earlier value is sent with that one.
    pub fn set(&self, value: Vec<u8>) {
        self.value.store(Arc::new(value));
    }

    /// The present value.
    pub fn bytes(&self) -> Arc<Vec<u8>> {
        self.value.load_full()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A header that the host sets on every request to one origin.
#[derive(Debug, Clone)]
pub struct Credential {
    origin: Origin,
    header: HeaderName,
    secret: Secret,
}

/// The errors of making a credential. None of them shows anything of the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The header belongs to the connection or to the message's framing.
    #[error("`{header}` cannot carry a credential: it is the host's own to set on a connection")]
    Header {
        /// The header.
        header: HeaderName,
    },
    /// There is no value.
    #[error("the secret for the header `{header}` of {origin} is empty")]
    Empty {
        /// The header.
        header: HeaderName,
        /// The origin.
        origin: Origin,
    },
    /// The value cannot be the value of a header.
    #[error(
        "the secret for the header `{header}` of {origin} has a control character, such as the end of a \
         line, and cannot be a header's value"
    )]
    Value {
        /// The header.
        header: HeaderName,
        /// The origin.
        origin: Origin,
    },
}

impl Credential {
    /// A credential: `secret` as the value of `header` on every request to `origin`. The secret is read each time
    /// that a request is sent, because it may be replaced.
    pub fn new(origin: Origin, header: HeaderName, secret: Secret) -> Result<Self, CredentialError> {
        if fields::belongs_to_the_host(&header) {
            return Err(CredentialError::Header { header });
        }
        Ok(Self { origin, header, secret })
    }

    /// The origin of the requests that get the header.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The header that carries the secret.
    pub fn header(&self) -> &HeaderName {
        &self.header
    }

    /// The header's present value, marked as sensitive: it is never shown, nor kept in HTTP/2's tables (RFC 7541
    /// §7.1.3).
    pub fn value(&self) -> Result<HeaderValue, CredentialError> {
        let bytes = self.secret.bytes();
        let (header, origin) = (self.header.clone(), self.origin.clone());
        if bytes.is_empty() {
            return Err(CredentialError::Empty { header, origin });
        }
        let mut value =
            HeaderValue::from_bytes(&bytes).map_err(|_| CredentialError::Value { header, origin })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(header: &'static str, secret: &Secret) -> Result<Credential, CredentialError> {
        let origin = "https://api.example.com".parse().unwrap();
        Credential::new(origin, HeaderName::from_static(header), secret.clone())
    }

    #[test]
    fn no_form_of_a_secret_shows_it() {
        let secret = Secret::new(b"hunter2".to_vec());
        let credential = credential("authorization", &secret).unwrap();
        let value = credential.value().unwrap();
        let shown = format!("{secret:?} {credential:?} {value:?} {:#?}", credential);
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(!shown.contains("104"), "its bytes neither: {shown}");
    }

    #[test]
    fn a_replaced_secret_reaches_every_credential_that_shares_it() {
        let secret = Secret::new(b"old".to_vec());
        let credential = credential("x-api-key", &secret).unwrap();
        let clone = credential.clone();
        secret.set(b"new".to_vec());
        assert_eq!(credential.value().unwrap(), "new");
        assert_eq!(clone.value().unwrap(), "new");
    }

    #[test]
    fn a_secret_that_is_no_headers_value_is_told_by_its_header_alone() {
        for (value, says) in
            [("", "is empty"), ("hunter2\n", "control character"), ("a\0b", "control character")]
        {
            let error = credential("x-api-key", &Secret::new(value.into())).unwrap().value().unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(told.contains(says) && told.contains("x-api-key"), "{told}");
            assert!(!told.contains("hunter"), "{told}");
        }
    }

    #[test]
    fn the_headers_of_the_connection_carry_no_credential() {
        for header in ["host", "connection", "transfer-encoding", "content-length", "te", "upgrade"] {
            let error = credential(header, &Secret::new(b"x".to_vec())).unwrap_err();
            assert!(error.to_string().contains(header), "{error}");
        }
        for header in ["authorization", "cookie", "x-api-key", "x-proxy-key"] {
            assert!(credential(header, &Secret::new(b"x".to_vec())).is_ok(), "{header}");
        }
    }
}
