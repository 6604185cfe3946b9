//! The values of a tenant's secrets: where they are read, the plugins that they must suit, and the cells that keep
//! them.
//!
//! A value is in a [`Secret`], which never shows it, from where it is read to where it is used; messages about a
//! secret contain its name and its place. The site file's reader decides which plugin gets which secret.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use super::refusal::Fault;
use crate::capability::http::{Credential, Secret};
use crate::config::{MAX_CONFIG_BYTES, SecretSource};
use crate::document::{Place, PluginSpec, TenantDocument};
use crate::tenant::{PluginName, SecretName};

/// The longest value, in bytes: that of a request's whole head.
pub(super) const MAX_SECRET_BYTES: usize = 64 * 1024;

/// The environment that the process was started with, in which secrets may be. Its `Debug` shows no value.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// The secrets of a tenant, each with the value that was read last.
pub(super) type Secrets = BTreeMap<SecretName, Secret>;

/// Reads the secrets of a tenant. A secret that cannot be read, or does not suit a plugin that uses it, is a fault.
pub(super) fn read_secrets(
    document: &TenantDocument,
    sources: &BTreeMap<SecretName, SecretSource>,
    given: &Secrets,
    environment: &Environment,
    faults: &mut Vec<Fault>,
) -> Secrets {
    let at = |name: &SecretName| Place::Secret(name.clone());
    let mut secrets = given.clone();
    for (name, source) in sources {
        match read(source, environment) {
            Ok(value) => {
                secrets.insert(name.clone(), Secret::new(value));
            }
            Err(Unreadable { why, help }) => {
                faults.push(Fault::new(at(name), format!("secret `{name}`: {why}")).help(help));
            }
        }
    }
    faults.extend(unsuited(document, &secrets));
    secrets
}

/// The faults of secrets that do not suit a plugin that uses them.
pub(super) fn unsuited(document: &TenantDocument, secrets: &Secrets) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, plugin) in &document.plugins {
        for (secret, why) in misfits(plugin, secrets) {
            let headline = format!("plugin `{name}` cannot be given the secret `{secret}`: {why}");
            let place = Place::Secret(secret.clone());
            faults.push(Fault::new(place, headline).label("its value is here"));
        }
        faults.extend(oversized_config(name, plugin, secrets));
    }
    faults
}

/// The reason why a secret has no value.
struct Unreadable {
    why: String,
    help: Option<String>,
}

impl Unreadable {
    fn new(why: impl Into<String>, help: &str) -> Self {
        Self { why: why.into(), help: (!help.is_empty()).then(|| help.to_owned()) }
    }
}

fn read(source: &SecretSource, environment: &Environment) -> Result<Vec<u8>, Unreadable> {
    let (value, place) = match source {
        SecretSource::File(path) => (read_file(path)?, path.display().to_string()),
        SecretSource::Variable(name) => {
            let value = environment.0.get(&OsString::from(name)).cloned().ok_or_else(|| {
                let why = format!("the host was started without the variable {name}");
                Unreadable::new(
                    why,
                    "the environment is read once: set the variable and start the host again",
                )
            })?;
            (value.into_vec(), name.clone())
        }
    };
    if value.is_empty() {
        // A file is empty for a moment while it is written anew. Without this check, the secret would be empty too.
        return Err(Unreadable::new(format!("{place} is empty"), "a secret has one byte at least"));
    }
    if value.len() > MAX_SECRET_BYTES {
        return Err(Unreadable::new(format!("{place} has more than 64KiB"), "see that it is what you mean"));
    }
    Ok(value)
}

/// A file's content, without one line break at its end.
fn read_file(path: &Path) -> Result<Vec<u8>, Unreadable> {
    let cannot = |error: std::io::Error| {
        let is_missing = error.kind() == std::io::ErrorKind::NotFound;
        let help = if is_missing { "the path is relative to the site file's folder" } else { "" };
        Unreadable::new(format!("cannot read {}: {error}", path.display()), help)
    };
    // To open a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err(Unreadable::new(
            format!("{} is not a plain file", path.display()),
            "write the path of one",
        ));
    }
    let with_line_break = MAX_SECRET_BYTES.saturating_add("\r\n".len());
    let most = u64::try_from(with_line_break).unwrap_or(u64::MAX).saturating_add(1);
    let mut value = Vec::new();
    File::open(path).and_then(|file| file.take(most).read_to_end(&mut value)).map_err(cannot)?;
    if value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
    Ok(value)
}

/// The secrets that cannot be used as the plugin uses them, each with the reason.
fn misfits<'a>(plugin: &'a PluginSpec, secrets: &Secrets) -> Vec<(&'a SecretName, String)> {
    let sent = plugin.credentials.iter().filter_map(|site| {
        let secret = secrets.get(&site.secret)?.clone();
        let credential = Credential::new(site.origin.clone(), site.header.clone(), secret);
        let unfit = credential.and_then(|credential| credential.value()).err()?;
        Some((&site.secret, unfit.to_string()))
    });
    let read = plugin.config_secrets().filter_map(|(key, name)| {
        let is_text = std::str::from_utf8(&secrets.get(name)?.bytes()).is_ok();
        (!is_text).then(|| (name, format!("it is not UTF-8, as the value of `{key}` in `config` is")))
    });
    sent.chain(read).collect()
}

/// The fault of a plugin whose configuration is too large: all that it reads through `wasi:config/store` has one
/// bound, secrets included.
fn oversized_config(name: &PluginName, plugin: &PluginSpec, secrets: &Secrets) -> Option<Fault> {
    let plain = plugin.config_texts().map(|(key, value)| key.len().saturating_add(value.len()));
    let secret = plugin.config_secrets().map(|(key, name)| {
        let value = secrets.get(name).map_or(0, |secret| secret.bytes().len());
        key.len().saturating_add(value)
    });
    let size = plain.chain(secret).fold(0, usize::saturating_add);
    (size > MAX_CONFIG_BYTES).then(|| {
        let headline =
            format!("plugin `{name}`: `config` has more than 64KiB of keys and values, its secrets included");
        Fault::new(Place::Plugin(name.clone()), headline).help("give it shorter secrets, or fewer".to_owned())
    })
}

/// The live secrets of a tenant, over its revisions: each cell has the latest value.
#[derive(Default)]
pub(super) struct LiveSecrets(Secrets);

impl LiveSecrets {
    /// Takes over the values that were read last. Returns the names of the secrets with another value.
    pub(super) fn renew(&mut self, read: Secrets) -> Vec<SecretName> {
        self.0.retain(|name, _| read.contains_key(name));
        let mut changed = Vec::new();
        for (name, latest) in read {
            match self.0.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(latest);
                }
                Entry::Occupied(kept) if kept.get().bytes() != latest.bytes() => {
                    kept.get().set(latest.bytes().to_vec());
                    changed.push(kept.key().clone());
                }
                Entry::Occupied(_) => {}
            }
        }
        changed
    }

    /// The credentials that are added to a plugin's requests.
    pub(super) fn credentials(&self, plugin: &PluginSpec) -> Vec<Credential> {
        let with_secrets = plugin.credentials.iter().filter_map(|site| {
            let secret = self.0.get(&site.secret)?.clone();
            // The site file's reader has refused headers that cannot carry a credential.
            Credential::new(site.origin.clone(), site.header.clone(), secret).ok()
        });
        with_secrets.collect()
    }

    /// The secrets that a plugin reads as its configuration, by key.
    pub(super) fn of_config(&self, plugin: &PluginSpec) -> BTreeMap<String, Secret> {
        let named = plugin.config_secrets();
        named.filter_map(|(key, name)| Some((key.clone(), self.0.get(name)?.clone()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::Site;
    use crate::deploy::refusal::diagnostics;

    const SITE: &str = r#"
[tenants.a]
hosts = ["*"]
[tenants.a.quota]
grants = { http = ["https://api.example"] }
[tenants.a.secrets]
token = { file = "token" }
[tenants.a.plugins.p]
component = "p.wasm"
grants = { http = ["https://api.example"] }
outbound = [{ origin = "https://api.example", header = "authorization", secret = "token" }]
config = { key = { secret = "token" } }
"#;

    /// A folder for a secret's file, and the site that names it.
    struct Place(tempfile::TempDir);

    impl Place {
        fn with(value: &[u8]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("token"), value).unwrap();
            Self(folder)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// The secrets that are read, and the text of the faults.
        fn read(&self, site: &str, environment: &Environment) -> (Secrets, String) {
            let site = Site::parse(&self.path("site.toml"), site.to_owned());
            let site = site.unwrap_or_else(|found| panic!("{found}"));
            let mut faults = Vec::new();
            let (name, tenant) = site.tenants.first_key_value().unwrap();
            let secrets =
                read_secrets(&tenant.document, &tenant.secrets, &Secrets::new(), environment, &mut faults);
            let found = diagnostics(faults, name, &site.source, &site.spans);
            (secrets, found.iter().map(ToString::to_string).collect())
        }

        fn value(&self) -> Result<Vec<u8>, String> {
            let (secrets, said) = self.read(SITE, &Environment::default());
            if said.is_empty() { Ok(secrets.values().next().unwrap().bytes().to_vec()) } else { Err(said) }
        }
    }

    #[test]
    fn a_secret_is_what_its_file_has_but_for_one_line_break() {
        for (written, value) in [
            (&b"hunter2"[..], &b"hunter2"[..]),
            (b"hunter2\n", b"hunter2"),
            (b"hunter2\r\n", b"hunter2"),
            (b" hunter 2 ", b" hunter 2 "),
        ] {
            assert_eq!(Place::with(written).value().as_deref(), Ok(value));
        }
        let longest = [b"x".repeat(MAX_CONFIG_BYTES - "key".len()), b"\n".to_vec()].concat();
        assert!(Place::with(&longest).value().is_ok());
    }

    #[test]
    fn a_secret_that_does_not_suit_is_refused_at_its_place_and_never_shown() {
        for (written, says) in [
            (b"".to_vec(), "token is empty"),
            (b"\n".to_vec(), "token is empty"),
            (b"hunter2\n\n".to_vec(), "has a control character"),
            (b"hunter2\nhunter3".to_vec(), "has a control character"),
            (b"hunter2\xff".to_vec(), "it is not UTF-8, as the value of `key` in `config` is"),
            (b"hunter2".repeat(10_000), "token has more than 64KiB"),
            (vec![b'x'; MAX_SECRET_BYTES], "more than 64KiB of keys and values, its secrets included"),
        ] {
            let said = Place::with(&written).value().unwrap_err();
            assert!(said.contains(says) && said.contains("site.toml:"), "{said}");
            assert!(!said.contains("hunter") && !said.contains("xxx"), "{said}");
        }
    }

    #[test]
    fn a_secret_that_is_not_there_is_refused_at_its_place() {
        let place = Place::with(b"hunter2");
        std::fs::remove_file(place.path("token")).unwrap();
        let said = place.value().unwrap_err();
        assert!(said.contains("secret `token`: cannot read") && said.contains("site.toml:7:18"), "{said}");
        std::fs::create_dir(place.path("token")).unwrap();
        assert!(place.value().unwrap_err().contains("is not a plain file"));
    }

    #[test]
    fn a_secret_may_be_in_the_environment_that_the_host_was_started_with() {
        let place = Place::with(b"");
        let site = SITE.replace("file = \"token\"", "env = \"TOKEN\"");
        let environment = Environment::from_iter([("TOKEN".into(), "hunter2".into())]);
        let (secrets, said) = place.read(&site, &environment);
        assert_eq!((said.as_str(), &**secrets.values().next().unwrap().bytes()), ("", &b"hunter2"[..]));
        let (_, said) = place.read(&site, &Environment::default());
        assert!(said.contains("the host was started without the variable TOKEN"), "{said}");
    }

    #[test]
    fn a_changed_secret_reaches_those_who_were_given_it_before() {
        let name = |text: &str| SecretName::parse(text).unwrap();
        let read = |value: &str| Secrets::from([(name("token"), Secret::new(value.into()))]);
        let site = Site::parse(Path::new("/srv/site.toml"), SITE.to_owned()).unwrap();
        let plugin = site.tenants.values().next().unwrap().document.plugins.values().next().unwrap();
        let mut live = LiveSecrets::default();
        assert!(live.renew(read("hunter2")).is_empty(), "the first value is no change");
        let (sent, config) = (live.credentials(plugin), live.of_config(plugin));
        assert!(live.renew(read("hunter2")).is_empty());
        assert_eq!(live.renew(read("hunter3")), [name("token")]);
        assert_eq!(sent.first().unwrap().value().unwrap(), "hunter3");
        assert_eq!(**config["key"].bytes(), b"hunter3"[..]);
        live.renew(Secrets::new());
        assert!(live.credentials(plugin).is_empty(), "what is removed is given to nobody any more");
    }
}
