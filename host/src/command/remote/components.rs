//! The components of a tenant file: found, named by their digests, and sent to the host if it does not have them.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

use super::super::answer::Colours;
use super::failure::Failure;
use crate::admin::client::{TenantCalls, Upload, survey};
use crate::config::{Diagnostics, TenantFile};
use crate::document::{ComponentRef, Place};
use crate::sandbox::Digest;
use crate::tenant::PluginName;

/// The form of the bar, with a name of the file before it.
const BAR: &str = "{prefix} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}";

/// The components of a tenant file.
#[derive(Debug, Default)]
pub(super) struct Components {
    /// The digest of each plugin's component.
    pub(super) digests: BTreeMap<PluginName, Digest>,
    /// The files, each once.
    files: BTreeMap<Digest, Upload>,
}

impl Components {
    /// Reads all files that a tenant file names, or says which of them cannot be read.
    pub(super) fn of(file: &TenantFile) -> Result<Self, Diagnostics> {
        let mut components = Self::default();
        let mut seen: BTreeMap<PathBuf, Digest> = BTreeMap::new();
        let mut faults = Vec::new();
        for (name, plugin) in &file.document.plugins {
            let digest = match &plugin.component {
                ComponentRef::Artifact(digest) => *digest,
                ComponentRef::File(path) => match seen.get(path) {
                    Some(digest) => *digest,
                    None => match survey(path) {
                        Ok(upload) => {
                            let digest = upload.digest;
                            seen.insert(path.clone(), digest);
                            components.files.insert(digest, upload);
                            digest
                        }
                        Err(error) => {
                            let headline = match error.kind() {
                                io::ErrorKind::NotFound => format!("there is no file {}", path.display()),
                                _ => format!("the component {} cannot be read: {error}", path.display()),
                            };
                            let help =
                                "build it first, or correct the path, which is relative to the tenant file";
                            let place = Place::Component(name.clone());
                            faults.push(file.fault(&place, headline, Some(help.into())));
                            continue;
                        }
                    },
                },
            };
            components.digests.insert(name.clone(), digest);
        }
        if faults.is_empty() { Ok(components) } else { Err(faults.into()) }
    }

    /// Sends the files that the host does not have, and gives their digests. On a terminal a bar shows how far each is.
    pub(super) async fn send(
        &self,
        tenant: TenantCalls<'_>,
        colours: Colours,
    ) -> Result<Vec<Digest>, Failure> {
        let mut sent = Vec::new();
        for upload in self.files.values() {
            if tenant.artifact(upload.digest).await?.is_some() {
                continue;
            }
            let bar = bar(upload, colours);
            let told = bar.clone();
            let answer = tenant.upload(upload, move |bytes| told.inc(bytes)).await;
            bar.finish_and_clear();
            answer?;
            sent.push(upload.digest);
        }
        Ok(sent)
    }
}

/// The progress bar of one file, on standard error; a hidden one if that is no terminal.
fn bar(upload: &Upload, colours: Colours) -> ProgressBar {
    // It moves the cursor, which a terminal that has no colours may not be able to.
    if colours == Colours::Never || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(upload.bytes);
    if let Ok(style) = ProgressStyle::with_template(BAR) {
        bar.set_style(style.progress_chars("=> "));
    }
    let name = upload.path.file_name().map(|name| name.to_string_lossy().into_owned());
    bar.set_prefix(super::super::answer::one_line(&name.unwrap_or_default()));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_is_not_there_is_said_and_each_file_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let read = |text: &str| {
            write("tenant.toml", text);
            TenantFile::load(&folder.path().join("tenant.toml")).unwrap()
        };
        write("a.wasm", "a");
        write("b.wasm", "a");
        let of_host = format!("sha256:{}", "0".repeat(64));
        let file = read(&format!(
            "plugins.a.component = 'a.wasm'\nplugins.b.component = 'b.wasm'\nplugins.c.component = 'a.wasm'\n\
             plugins.d.component = '{of_host}'\n"
        ));
        let components = Components::of(&file).unwrap();
        let digests: Vec<_> = components.digests.values().map(ToString::to_string).collect();
        let a = Digest::of(b"a").to_string();
        assert_eq!(digests, [a.clone(), a.clone(), a, of_host]);
        assert_eq!(components.files.len(), 1);

        let file = read("plugins.a.component = 'none.wasm'\nplugins.b.component = '.'\n");
        let said = Components::of(&file).unwrap_err().to_string();
        assert!(said.contains("there is no file") && said.contains("tenant.toml:1:23"), "{said}");
        assert!(said.contains("it is not a file") && said.contains("tenant.toml:2:23"), "{said}");
    }
}
