//! Outbound HTTP of the live plugins: `[host.outbound]` → the client behind all plugins, and each plugin's own
//! connections, which stay over revisions.
//!
//! The client is made once, at start. Leaves to `capability` where it may connect to, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::capability::http::{Credential, HttpClient, HttpSettings, Origin, Outbound};
use crate::config::{Diagnostics, Site};
use crate::document::{CredentialSpec, PluginSpec, TenantDocument};
use crate::tenant::PluginName;

/// The longest file of certificates, in bytes; all the public authorities take a quarter of a MiB.
const MAX_CERTIFICATES_BYTES: u64 = 4 * 1024 * 1024;

/// Makes the client of a site's `[host.outbound]`, with at most `connections` connections, or returns the faults of
/// its certificates.
pub fn http_client(site: &Site, connections: Option<usize>) -> Result<HttpClient, Diagnostics> {
    let settings = &site.host.outbound;
    let path = settings.certificates.as_deref();
    let refused = |why: String| {
        let headline = match path {
            Some(path) => format!("the certificates in {} cannot be trusted: {why}", path.display()),
            None => format!("plugins cannot be given a way out: {why}"),
        };
        let help =
            path.map(|_| "write the path of a PEM file that begins with `-----BEGIN CERTIFICATE-----`");
        let found = site.source.diagnostic(&site.spans.certificates, headline, "", help.map(Into::into));
        Diagnostics::from(found)
    };
    let certificates = path.map(certificates).transpose().map_err(refused)?.unwrap_or_default();
    HttpClient::new(HttpSettings { allow: settings.allow.clone(), certificates, connections })
        .map_err(|error| refused(error.to_string()))
}

/// The certificates of a PEM file, at least one; anything else in the file is skipped.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut pem = Vec::new();
    let most = MAX_CERTIFICATES_BYTES.saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut pem))
        .map_err(|error| format!("it cannot be read: {error}"))?;
    if u64::try_from(pem.len()).unwrap_or(u64::MAX) > MAX_CERTIFICATES_BYTES {
        return Err("it has more than 4MiB".into());
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| format!("it is not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("it has none".into());
    }
    Ok(certificates)
}

/// The outbound clients of one tenant's plugins. Their connections stay through a swap, and so does the bound on
/// their number.
#[derive(Default)]
pub(super) struct WaysOut(BTreeMap<PluginName, WayOut>);

/// A plugin's outbound client, and the settings that it was made from.
struct WayOut {
    origins: BTreeSet<Origin>,
    credentials: Vec<CredentialSpec>,
    outbound: Outbound,
}

impl WaysOut {
    /// Forgets the clients of plugins that need none by this document.
    pub(super) fn keep_only(&mut self, document: &TenantDocument) {
        self.0.retain(|plugin, _| document.plugins.get(plugin).is_some_and(|plugin| !plugin.http.is_empty()));
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The plugin's outbound client: the present one, with its connections and bounds, if its settings are the same.
    pub(super) fn of(
        &mut self,
        name: &PluginName,
        spec: &PluginSpec,
        client: &HttpClient,
        credentials: impl FnOnce() -> Vec<Credential>,
    ) -> Outbound {
        if let Some(way) = self.0.get(name)
            && (&way.origins, &way.credentials) == (&spec.http, &spec.credentials)
        {
            return way.outbound.clone();
        }
        let outbound = Outbound::new(client, spec.http.clone(), credentials());
        let way = WayOut {
            origins: spec.http.clone(),
            credentials: spec.credentials.clone(),
            outbound: outbound.clone(),
        };
        self.0.insert(name.clone(), way);
        outbound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_cannot_be_read_are_refused_at_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let site = |certificates: &str| {
            let text = format!("[host.outbound]\ncertificates = \"{certificates}\"\n");
            Site::parse(&folder.path().join("site.toml"), text).unwrap()
        };
        let begun = "-----BEGIN CERTIFICATE-----\n";
        let of_nothing = format!("{begun}AAAA\n-----END CERTIFICATE-----\n");
        for (name, content, says) in [
            ("none.pem", None, "it cannot be read"),
            ("empty.pem", Some(""), "it has none"),
            ("key.pem", Some("some text\n"), "it has none"),
            ("half.pem", Some(begun), "it is not PEM"),
            ("wrong.pem", Some(of_nothing.as_str()), "cannot be trusted"),
        ] {
            if let Some(content) = content {
                std::fs::write(folder.path().join(name), content).unwrap();
            }
            let said = http_client(&site(name), None).err().unwrap().to_string();
            assert!(said.contains(says) && said.contains("site.toml:2:16"), "{name}: {said}");
        }
    }
}
