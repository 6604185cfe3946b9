//! The files that a site is made from, and their stamps at the time of reading.
//!
//! Stamps are taken before the reading: a file that changes while it is read has another stamp afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Origin;
use crate::config::{SecretSource, Site, TenantSettings};
use crate::document::ComponentRef;
use crate::stamp::Stamp;

/// Some files and their stamps.
pub(super) struct Files(BTreeMap<PathBuf, Stamp>);

impl Files {
    /// These files with their present stamps.
    pub(super) fn look(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(BTreeMap::new()).instead(paths)
    }

    /// The same files with their present stamps.
    pub(super) fn look_again(&self) -> Self {
        Self::look(self.0.keys().cloned())
    }

    /// Other files: a file that is among these keeps its stamp, the others get their present one.
    pub(super) fn instead(mut self, paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let stamped = paths.into_iter().map(|path| {
            let stamp = self.0.remove(&path).unwrap_or_else(|| Stamp::of(&path));
            (path, stamp)
        });
        Self(stamped.collect())
    }

    /// Marks a file as changed since it was read.
    pub(super) fn distrust(&mut self, path: &Path) {
        self.0.insert(path.to_owned(), Stamp::default());
    }

    /// True if the present stamp of any file is another one.
    pub(super) fn have_changed(&self) -> bool {
        self.0.iter().any(|(path, stamp)| Stamp::of(path) != *stamp)
    }

    /// The files' paths.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.0.keys().cloned().collect()
    }
}

/// The files that a site is made from: the site file or the component, all components and the secrets.
pub(super) fn paths(origin: &Origin, site: &Site) -> Vec<PathBuf> {
    let (Origin::SiteFile(path) | Origin::Component(path)) = origin;
    site.tenants.values().flat_map(tenant_paths).chain([path.clone()]).collect()
}

/// The files that a tenant is made from.
pub(super) fn tenant_paths(tenant: &TenantSettings) -> Vec<PathBuf> {
    let components = tenant.document.plugins.values().filter_map(|plugin| match &plugin.component {
        ComponentRef::File(path) => Some(path.clone()),
        ComponentRef::Artifact(_) => None,
    });
    let secrets = tenant.secrets.values().filter_map(|source| match source {
        SecretSource::File(path) => Some(path.clone()),
        SecretSource::Variable(_) => None,
    });
    let mounts = tenant.document.plugins.values().flat_map(|plugin| plugin.mounts.values());
    // A folder that is there is looked at by each request.
    let missing = mounts.filter(|folder| !folder.is_dir()).cloned();
    components.chain(secrets).chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_while_it_is_read_has_changed_since() {
        let folder = tempfile::tempdir().unwrap();
        let [site, plugin] = ["site.toml", "plugin.wasm"].map(|name| folder.path().join(name));
        std::fs::write(&site, "first").unwrap();
        let looked = Files::look([site.clone()]);
        std::fs::write(&site, "second edit").unwrap();
        // The text that was read names one more file.
        let files = looked.instead([site.clone(), plugin.clone()]);
        assert!(files.have_changed());
        let files = files.look_again();
        assert!(!files.have_changed());
        std::fs::write(&plugin, "built at last").unwrap();
        assert!(files.have_changed());
        assert_eq!(files.paths(), [plugin, site]);
    }
}
