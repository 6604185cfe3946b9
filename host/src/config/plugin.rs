//! Plugins and secrets, from the text of a site file to the document: `[tenants.NAME.plugins.NAME]` and
//! `[tenants.NAME.secrets.NAME]`.
//!
//! Owns the keys of a plugin, and of grants, which tenants have too; the keys of limits come from their table
//! (`limits`). Leaves to `resolve` whether a plugin's requests are allowed, and whether the things that it names
//! exist.

use super::document::{
    ConfigDocument, CredentialDocument, GrantsDocument, PluginDocument, SecretDocument, SecretReference,
};
use super::findings::Findings;
use super::forms::{
    component_path, component_reference, credential_header, folder_path, origin, secret_path, variable,
};
use super::limits::limits;
use super::lists::each_is_there_once;
use super::reuse;
use super::source::FileKind;
use super::value::{Spanned, Table, Value, array, boolean, named, no_help, parsed, string, table};
use super::visible::quoted;
use crate::capability::files::MountName;
use crate::capability::http::Origin;

/// The most bytes of keys and values of one plugin's configuration.
pub const MAX_CONFIG_BYTES: usize = 64 * 1024;

/// The most origins of one table of grants.
pub const MAX_ORIGINS: usize = 1000;

/// The most header fields that the host adds to one plugin's requests.
pub const MAX_CREDENTIALS: usize = 32;

/// The most folders of one plugin.
const MAX_MOUNTS: usize = 16;

/// The help for mounts in a tenant file: the folders of a host are not for those who publish on it.
const NO_MOUNTS: &str =
    "folders of the host are mounted by its site file alone: build the files into the component";

pub(super) fn plugin(
    name: &Spanned<String>,
    value: &Value<'_>,
    findings: &mut Findings,
) -> Option<PluginDocument> {
    let read = table(|table: &mut Table<'_>, findings: &mut Findings| {
        let kind = findings.source().kind();
        let component: fn(&str) -> Result<String, String> = match kind {
            FileKind::Site => component_path,
            FileKind::Tenant => component_reference,
        };
        let component = table.required(
            "component",
            "`component = \"plugins/NAME.wasm\"`",
            findings,
            parsed("a path", "plugins/books.wasm", component, no_help),
        );
        let before = findings.errors();
        let grants = table.optional("grants", findings, grants);
        let has_sound_grants = findings.errors() == before;
        let before = findings.errors();
        let instances = table.optional("instances", findings, reuse::instances);
        let has_sound_instances = findings.errors() == before;
        let reuse = table.optional("reuse", findings, reuse::reuse);
        PluginDocument {
            component,
            grants,
            outbound: table.optional("outbound", findings, credentials).unwrap_or_default(),
            config: table.optional("config", findings, config).unwrap_or_default(),
            mounts: match kind {
                FileKind::Site => table.optional("mounts", findings, mounts).unwrap_or_default(),
                FileKind::Tenant => {
                    table.refuse("mounts", "a tenant file has no `mounts`".into(), NO_MOUNTS, findings);
                    Vec::new()
                }
            },
            limits: table.optional("limits", findings, limits),
            instances,
            reuse: reuse.filter(|_| has_sound_instances),
            place: name.span.clone(),
            has_sound_grants,
        }
    });
    read(value, findings)
}

pub(super) fn grants(value: &Value<'_>, findings: &mut Findings) -> Option<GrantsDocument> {
    let read = table(|table: &mut Table<'_>, findings: &mut Findings| GrantsDocument {
        keyvalue: table.optional("keyvalue", findings, boolean),
        keyvalue_shared: table.optional("keyvalue-shared", findings, boolean),
        limiter: table.optional("limiter", findings, boolean),
        http: table.optional("http", findings, origins),
    });
    read(value, findings)
}

fn origins(value: &Value<'_>, findings: &mut Findings) -> Option<Spanned<Vec<Spanned<Origin>>>> {
    let item = parsed("an origin", "https://api.example.com", origin, no_help);
    let origins = array("an array of origins", item)(value, findings)?;
    if origins.value.len() > MAX_ORIGINS {
        let headline = format!("`http` has more than {MAX_ORIGINS} origins");
        findings.error(
            &origins.span,
            headline,
            "",
            "let the plugin ask one server that asks others".to_owned(),
        );
        return None;
    }
    each_is_there_once("origin", &origins.value, findings);
    Some(origins)
}

fn credentials(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<CredentialDocument>> {
    let credentials = array("an array of tables", credential)(value, findings)?;
    if credentials.value.len() > MAX_CREDENTIALS {
        let headline = format!("`outbound` has more than {MAX_CREDENTIALS} entries");
        findings.error(&credentials.span, headline, "", "divide the plugin in two".to_owned());
        return None;
    }
    Some(credentials.value)
}

fn credential(value: &Value<'_>, findings: &mut Findings) -> Option<CredentialDocument> {
    let read = table(|table: &mut Table<'_>, findings: &mut Findings| CredentialDocument {
        origin: table.required(
            "origin",
            "`origin = \"https://api.example.com\"`",
            findings,
            parsed("an origin", "https://api.example.com", origin, no_help),
        ),
        header: table.required(
            "header",
            "`header = \"authorization\"`",
            findings,
            parsed("a header name", "authorization", credential_header, no_help),
        ),
        secret: table.required("secret", "`secret = \"NAME\"`", findings, string),
    });
    read(value, findings)
}

fn mounts(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<(Spanned<MountName>, Spanned<String>)>> {
    let folder = parsed("a path", "public", folder_path, no_help);
    let read = named(|key, value, findings| {
        let name = match key.value.parse() {
            Ok(name) => Some(Spanned { value: name, span: key.span.clone() }),
            Err(error) => {
                let headline = format!("{} is not a name of a mount: {error}", quoted(&key.value));
                let help = "the plugin finds the folder by it: `\"/\" = \"public\"` for the usual one folder";
                findings.error(&key.span, headline, "", help.to_owned());
                None
            }
        };
        Some((name?, folder(value, findings)?))
    });
    let mounts = read(value, findings)?;
    if mounts.len() > MAX_MOUNTS {
        let headline = format!("`mounts` has more than {MAX_MOUNTS} folders");
        findings.error(&value.name_or_span(), headline, "", "mount a folder that holds them".to_owned());
        return None;
    }
    Some(mounts)
}

fn config(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<(Spanned<String>, ConfigDocument)>> {
    let read = named(|key, value, findings| Some((key.clone(), config_value(value, findings)?)));
    let config = read(value, findings)?;
    let sizes = config.iter().map(|(key, value)| {
        let value = match value {
            ConfigDocument::Text(text) => text.value.len(),
            // The size of a secret is known when the secret is read; the sum is checked again then.
            ConfigDocument::Secret(_) => 0,
        };
        key.value.len().saturating_add(value)
    });
    let size = sizes.fold(0_usize, usize::saturating_add);
    if size > MAX_CONFIG_BYTES {
        let headline = format!("`config` has {size} bytes of keys and values; at most 64KiB are taken");
        let help = "keep data in the key-value store, or in the component itself";
        findings.error(&value.name_or_span(), headline, "", help.to_owned());
    }
    Some(config)
}

fn config_value(value: &Value<'_>, findings: &mut Findings) -> Option<ConfigDocument> {
    if !value.is_table() {
        return string(value, findings).map(ConfigDocument::Text);
    }
    let read = table(|table: &mut Table<'_>, findings: &mut Findings| {
        table.required("secret", "`secret = \"NAME\"`", findings, string)
    });
    let secret = read(value, findings)??;
    Some(ConfigDocument::Secret(SecretReference { secret }))
}

pub(super) fn secret(
    name: &Spanned<String>,
    value: &Value<'_>,
    findings: &mut Findings,
) -> Option<SecretDocument> {
    let before = findings.errors();
    let read = table(|table: &mut Table<'_>, findings: &mut Findings| SecretDocument {
        file: table.optional("file", findings, parsed("a path", "secrets/api-token", secret_path, no_help)),
        env: table.optional("env", findings, parsed("a variable's name", "API_TOKEN", variable, no_help)),
    });
    let secret = read(value, findings)?;
    // A faulty key may be the one that is missing.
    if findings.errors() == before && !findings.is_broken() {
        match (&secret.file, &secret.env) {
            (Some(file), Some(env)) => {
                let headline = format!("the secret {} is in two places", quoted(&name.value));
                let help = "take `file` or `env` away";
                let found = findings.source().diagnostic(&env.span, headline, "", Some(help.into()));
                findings.push(found.with_secondary(&file.span, "the other one"));
            }
            (None, None) => {
                let headline = format!("the secret {} has neither `file` nor `env`", quoted(&name.value));
                let help =
                    "say where its value is: `file = \"secrets/NAME\"` or `env = \"VARIABLE\"`".to_owned();
                findings.error(&name.span, headline, "", help);
            }
            _ => {}
        }
    }
    Some(secret)
}
