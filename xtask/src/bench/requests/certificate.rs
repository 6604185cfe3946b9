//! The certificate of the servers that speak TLS, made anew for each run, and the client that trusts it alone.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::load::SERVER_NAME;

/// Two files in PEM, removed when this is dropped.
pub(super) struct Certificate {
    folder: TempDir,
    pub(super) client: Arc<ClientConfig>,
}

impl Certificate {
    pub(super) fn new() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])?;
        let folder = tempfile::tempdir().context("cannot make a folder for the certificate")?;
        let mut trusted = RootCertStore::empty();
        trusted.add(made.cert.der().clone())?;
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(trusted)
            .with_no_client_auth();
        let certificate = Self { folder, client: Arc::new(client) };
        fs::write(certificate.certificate(), made.cert.pem())?;
        fs::write(certificate.key(), made.signing_key.serialize_pem())?;
        Ok(certificate)
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}
