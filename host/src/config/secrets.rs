//! The secrets of a tenant, and the references from its plugins to them.
//!
//! Owns references from plugins to secrets, and to the origins that secrets are sent to. Values are not in the file,
//! and are not read here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use http::HeaderName;

use super::document::{ConfigDocument, CredentialDocument, PluginDocument, TenantDocument};
use super::findings::Findings;
use super::similar::did_you_mean;
use super::site::SecretSource;
use super::source::Span;
use super::value::Spanned;
use super::visible::quoted;
use crate::capability::http::Origin;
use crate::document::{ConfigValue, CredentialSpec};
use crate::tenant::SecretName;

/// The secrets that plugins may name.
pub(super) enum Known<'a> {
    /// Those of the file, by the name as written.
    Written(HashMap<&'a str, &'a Option<SecretName>>),
    /// Those that the host has, which are not known here.
    OnHost,
}

impl<'a> Known<'a> {
    pub(super) fn of(tenant: &'a TenantDocument) -> Self {
        let secrets = &tenant.secrets.0;
        Self::Written(secrets.iter().map(|secret| (secret.key.value.as_str(), &secret.name)).collect())
    }

    fn named(&self, name: &Spanned<String>, findings: &mut Findings) -> Option<SecretName> {
        let known = match self {
            Self::Written(known) => known,
            Self::OnHost => {
                let parsed = SecretName::parse(&name.value);
                return parsed.map_err(|error| findings.error(&name.span, error.to_string(), "", None)).ok();
            }
        };
        if let Some(found) = known.get(name.value.as_str()) {
            return (*found).clone();
        }
        let mut names: Vec<&str> = Vec::new();
        if !findings.is_full() {
            names.extend(known.keys());
            names.sort_unstable();
        }
        let help = did_you_mean(&name.value, &names, "the tenant's secrets are", findings)
            .unwrap_or_else(|| "the tenant has no secrets: add one as `[tenants.NAME.secrets.NAME]`".into());
        findings.error(&name.span, format!("unknown secret {}", quoted(&name.value)), "", help);
        None
    }
}

/// Resolves the places of a tenant's secrets, and the spans of these places. Faulty secrets are left out of the
/// result, and were reported.
pub(super) fn secrets(
    tenant: &TenantDocument,
    findings: &Findings,
) -> BTreeMap<SecretName, (SecretSource, Span)> {
    let sites = tenant.secrets.0.iter().filter_map(|secret| {
        let (source, span) = match (&secret.value.file, &secret.value.env) {
            (Some(file), _) => (SecretSource::File(findings.source().folder().join(&file.value)), &file.span),
            (None, Some(variable)) => (SecretSource::Variable(variable.value.clone()), &variable.span),
            (None, None) => return None,
        };
        Some((secret.name.clone()?, (source, span.clone())))
    });
    sites.collect()
}

/// Resolves the credentials that are added to a plugin's requests. Faulty ones are reported and left out of the
/// result.
pub(super) fn credentials(
    plugin: &PluginDocument,
    origins: &BTreeSet<Origin>,
    secrets: &Known<'_>,
    findings: &mut Findings,
) -> Vec<CredentialSpec> {
    let mut seen: HashMap<(&Origin, &HeaderName), &Span> = HashMap::new();
    let mut resolved = Vec::new();
    for CredentialDocument { origin, header, secret } in &plugin.outbound {
        // If the grants could not be read, it is unknown whether the origin is granted.
        if let Some(origin) = origin
            && plugin.has_sound_grants
            && !origins.contains(&origin.value)
        {
            let text = origin.value.to_string();
            let granted: Vec<String> = origins.iter().map(ToString::to_string).collect();
            let help = did_you_mean(&text, &granted, "it is granted", findings).unwrap_or_else(|| {
                format!("add it to the plugin's grants: `grants = {{ http = [\"{text}\"] }}`")
            });
            findings.error(
                &origin.span,
                format!("the plugin is not granted the origin {}", quoted(&text)),
                "",
                help,
            );
        }
        let secret = secret.as_ref().and_then(|secret| secrets.named(secret, findings));
        let (Some(origin), Some(header)) = (origin, header) else { continue };
        if let Some(first) = seen.insert((&origin.value, &header.value), &header.span) {
            let headline = format!(
                "the header {} for the origin {} is there twice",
                quoted(header.value.as_str()),
                quoted(&origin.value.to_string())
            );
            let found =
                findings.source().diagnostic(&header.span, headline, "again", Some("take one away".into()));
            findings.push(found.with_secondary(first, "here already"));
        }
        let (origin, header) = (origin.value.clone(), header.value.clone());
        resolved.extend(secret.map(|secret| CredentialSpec { origin, header, secret }));
    }
    resolved
}

/// Resolves a plugin's configuration. Faulty entries are reported and left out of the result.
pub(super) fn config(
    plugin: &PluginDocument,
    secrets: &Known<'_>,
    findings: &mut Findings,
) -> BTreeMap<String, ConfigValue> {
    let config = plugin.config.iter().filter_map(|(key, value)| {
        let value = match value {
            ConfigDocument::Text(text) => ConfigValue::Text(text.value.clone()),
            ConfigDocument::Secret(reference) => {
                ConfigValue::secret(secrets.named(&reference.secret, findings)?)
            }
        };
        Some((key.value.clone(), value))
    });
    config.collect()
}

/// Warns of secrets that no plugin is given.
pub(super) fn unused_secrets_are_told(tenant: &TenantDocument, findings: &mut Findings) {
    // If there are errors, the part that uses the secret may be among them.
    if findings.errors() > 0 {
        return;
    }
    let plugins = || tenant.plugins.0.iter().map(|plugin| &plugin.value);
    let sent =
        plugins().flat_map(|plugin| &plugin.outbound).filter_map(|credential| credential.secret.as_ref());
    let told = plugins().flat_map(|plugin| &plugin.config).filter_map(|(_, value)| match value {
        ConfigDocument::Secret(reference) => Some(&reference.secret),
        ConfigDocument::Text(_) => None,
    });
    let used: BTreeSet<&str> = sent.chain(told).map(|name| name.value.as_str()).collect();
    for secret in tenant.secrets.0.iter().filter(|secret| !used.contains(secret.key.value.as_str())) {
        let headline = format!("no plugin uses the secret {}", quoted(&secret.key.value));
        let help = format!(
            "name it in a plugin's `outbound`, or in its `config` as `{{ secret = \"{}\" }}`",
            secret.key.value
        );
        let found = findings.source().diagnostic(&secret.key.span, headline, "", Some(help));
        findings.push(found.into_warning());
    }
}
