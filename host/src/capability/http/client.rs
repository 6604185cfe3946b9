//! The host's outbound client: the part of outbound HTTP that all plugins share.
//!
//! Owns the certificates that are trusted, the addresses that are allowed and the bound on lookups. Leaves to
//! each plugin's `Outbound` its connections, which no two plugins share.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::address::AddressPolicy;
use super::connect::Network;

/// TLS sessions that a plugin's connections may resume, by origin.
const RESUMABLE_SESSIONS: usize = 32;

/// The operator's settings for outbound requests.
#[derive(Debug, Clone, Default)]
pub struct HttpSettings {
    /// Address ranges that requests may be sent to, beside the open Internet.
    pub allow: Vec<IpNet>,
    /// Certificate authorities that are trusted, beside those of the web.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The most connections of all plugins together, of which one plugin has at most half; no bound if left out.
    pub connections: Option<usize>,
}

/// The errors of making a client.
#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    /// A certificate that cannot be trusted as an authority.
    #[error("the outbound certificate {number} cannot be trusted as an authority: {source}")]
    Certificate {
        /// The certificate's number in the settings, from 1.
        number: usize,
        /// The error in the certificate.
        source: rustls::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS for outbound requests cannot be set up: {0}")]
    Tls(rustls::Error),
}

/// The one client of a host. Cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    network: Arc<Network>,
    tls: Arc<ClientConfig>,
}

impl HttpClient {
    /// A client with these settings. No connection is made yet.
    pub fn new(settings: HttpSettings) -> Result<Self, HttpClientError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for (before, certificate) in settings.certificates.into_iter().enumerate() {
            let number = before.saturating_add(1);
            roots.add(certificate).map_err(|source| HttpClientError::Certificate { number, source })?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(HttpClientError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let network = Network::new(AddressPolicy { allow: settings.allow }, settings.connections);
        Ok(Self { network: Arc::new(network), tls: Arc::new(tls) })
    }

    pub(super) fn network(&self) -> Arc<Network> {
        self.network.clone()
    }

    /// The TLS configuration for one plugin: the sessions that it resumes are the plugin's own.
    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        let mut tls = (*self.tls).clone();
        tls.resumption = Resumption::in_memory_sessions(RESUMABLE_SESSIONS);
        Arc::new(tls)
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("network", &self.network).finish_non_exhaustive()
    }
}
