//! The ways to get a site: from its file, from a text, or from one component without a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::findings::Findings;
use super::site::{Site, TenantSettings};
use super::source::{FileKind, Source};
use super::visible::quoted;
use super::{read, resolve};
use crate::capability::Grants;
use crate::document::{ComponentRef, PluginSpec, RouteSpec, TenantDocument};
use crate::snapshot::{HostPattern, RoutePattern};
use crate::tenant::{PluginName, Quota, TenantName};

/// The longest site file, in bytes.
const MAX_SOURCE_BYTES: usize = 4 * 1024 * 1024;

impl Site {
    /// Reads the site file at `path`: a site, or all of its faults.
    pub fn load(path: &Path) -> Result<Self, Diagnostics> {
        Self::from_source(read_source(FileKind::Site, path)?)
    }

    /// Reads `text` as a site file at `path`, which need not exist.
    pub fn parse(path: &Path, text: String) -> Result<Self, Diagnostics> {
        Self::from_source(Source::new(path, text))
    }

    /// The site of one component without a site file: the component answers every path of every host, with every
    /// grant but origins.
    ///
    /// The tenant is `default`; the plugin is named after the file, or `plugin` if the file's name is not valid.
    /// State is kept beside the component.
    pub fn for_component(path: &Path) -> Self {
        let source = Source::new(path, String::new());
        let component = source.folder().join(path.file_name().unwrap_or(path.as_os_str()));
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let named = read::name_like(&stem).and_then(|name| PluginName::parse(&name).ok());
        let mut plugin = PluginSpec::new(ComponentRef::File(component));
        plugin.grants = Grants { keyvalue: true, keyvalue_shared: true, limiter: true };
        let patterns = ["/", "/{*rest}"].into_iter().filter_map(|path| RoutePattern::parse(path).ok());
        let plugin_name = named.or_else(|| PluginName::parse("plugin").ok());
        let tenant = plugin_name.map(|name| TenantSettings {
            hosts: HostPattern::parse("*").into_iter().collect(),
            quota: Quota::default(),
            secrets: BTreeMap::new(),
            document: TenantDocument {
                routes: patterns.map(|pattern| RouteSpec::new(pattern, name.clone())).collect(),
                plugins: BTreeMap::from([(name, plugin)]),
            },
        });
        let (host, spans) = resolve::host_settings(&Default::default(), &mut Findings::new(source.clone()));
        let tenants = TenantName::parse("default").ok().zip(tenant).into_iter().collect();
        Self { source, host, tenants, spans: Arc::new(spans), warnings: Vec::new() }
    }

    fn from_source(source: Arc<Source>) -> Result<Self, Diagnostics> {
        let mut findings = Findings::new(source.clone());
        let document = read::document(&mut findings);
        // With half a file, references cannot be checked.
        let resolved = (!findings.is_broken()).then(|| resolve::site(&document, &mut findings));
        match resolved {
            Some((host, tenants, spans)) if findings.errors() == 0 => {
                let warnings = Diagnostics::from(findings.into_list()).into_iter().collect();
                Ok(Self { source, host, tenants, spans: Arc::new(spans), warnings })
            }
            _ => Err(findings.into_list().into()),
        }
    }
}

/// Reads the file at `path`: at most 4 MiB of UTF-8.
pub(super) fn read_source(kind: FileKind, path: &Path) -> Result<Arc<Source>, Diagnostics> {
    let nowhere = |headline: String, help: &str| {
        let source = Source::of_kind(kind, path, String::new());
        Diagnostics::from(Diagnostic::without_place(source, headline, Some(help.into())))
    };
    let (what, name) = (kind.name(), quoted(&path.to_string_lossy()));
    let (another, reader) = match kind {
        FileKind::Site => ("`serve` takes another one by `--config FILE`", "the user that runs the host"),
        FileKind::Tenant => ("`jackfield new NAME --tenant` writes one", "the user that runs this command"),
    };
    let bytes = read_bounded(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => nowhere(format!("there is no {what} {name}"), another),
        io::ErrorKind::IsADirectory => {
            nowhere(format!("{name} is a folder"), &format!("name the {what} inside it"))
        }
        io::ErrorKind::PermissionDenied => {
            nowhere(format!("this process may not read the {what} {name}"), &format!("let {reader} read it"))
        }
        _ => nowhere(
            format!("the {what} {name} cannot be read: {error}"),
            "see that it is a plain file on a disk that works",
        ),
    })?;
    if bytes.len() > MAX_SOURCE_BYTES {
        return Err(nowhere(
            format!("the {what} {name} is longer than 4 MiB"),
            match kind {
                FileKind::Site => {
                    "divide its tenants among several hosts; see also that it is the file that you mean"
                }
                FileKind::Tenant => "see that it is the file that you mean",
            },
        ));
    }
    String::from_utf8(bytes).map(|text| Source::of_kind(kind, path, text)).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let found = Source::of_kind(kind, path, text).diagnostic(
            &(at..at.saturating_add(char::REPLACEMENT_CHARACTER.len_utf8())),
            format!("the {what} is not UTF-8"),
            "these bytes are not a character",
            Some("save the file in the encoding UTF-8".into()),
        );
        found.into()
    })
}

/// Reads at most one byte more than a site file may have, so that the caller sees that the file is too large.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let bound = u64::try_from(MAX_SOURCE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path)?.take(bound).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_a_site_file_is_one_clear_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        for (path, expected) in [
            (folder.path().join("none.toml"), "there is no site file"),
            (folder.path().to_owned(), "is a folder"),
            (file("long.toml", &vec![b'#'; MAX_SOURCE_BYTES + 1]), "is longer than 4 MiB"),
            (file("latin1.toml", b"# fine\n# caf\xe9\n"), "latin1.toml:2:6"),
        ] {
            let text = read_source(FileKind::Site, &path).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
        assert!(read_source(FileKind::Site, &file("whole.toml", &vec![b'#'; MAX_SOURCE_BYTES])).is_ok());
    }
}
