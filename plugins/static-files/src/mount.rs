//! The folders that are served, and which of them a path is in.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::fault::Fault;
use crate::files::{Entry, Folder, folders};

/// A folder with the place that it has among the paths.
pub(crate) struct Mount {
    /// `/assets` as its segments.
    name: Vec<String>,
    folder: Folder,
}

/// The folders that the plugin was given.
pub(crate) struct Mounts(Vec<Mount>);

/// A place in a folder: it need not be there.
pub(crate) struct Place<'a> {
    folder: &'a Folder,
    /// Where in the folder; nothing for the folder itself.
    path: String,
}

impl Mounts {
    /// All of them; if there are none, the reason for the operator.
    pub(crate) fn all() -> Result<Self, String> {
        let mount = |(folder, name): (Folder, String)| Mount { name: segments(&name), folder };
        let mounts: Vec<_> = folders().into_iter().map(mount).collect();
        if mounts.is_empty() {
            return Err(
                "there is no folder to serve: give the plugin one, as `mounts = { \"/\" = \"public\" }`"
                    .into(),
            );
        }
        Ok(Self(mounts))
    }

    /// The place that a path stands for: in the folder with the longest name that the path begins with.
    pub(crate) fn place(&self, path: &[String]) -> Option<Place<'_>> {
        let candidates =
            self.0.iter().filter_map(|mount| Some((mount, path.strip_prefix(mount.name.as_slice())?)));
        let (mount, names) = candidates.max_by_key(|(mount, _)| mount.name.len())?;
        Some(Place { folder: &mount.folder, path: names.join("/") })
    }
}

impl Place<'_> {
    /// Opens what is there.
    pub(crate) fn open(&self) -> Result<Entry, Fault> {
        if self.path.is_empty() { Ok(Entry::Folder) } else { self.folder.open(&self.path) }
    }

    /// Opens what has this extension beside what is there.
    pub(crate) fn open_beside(&self, extension: &str) -> Result<Entry, Fault> {
        self.folder.open(&format!("{}.{extension}", self.path))
    }
}

/// `/`, `.` and the like are the root.
fn segments(name: &str) -> Vec<String> {
    name.split('/').filter(|segment| !matches!(*segment, "" | ".")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_files::{self, Content};

    #[test]
    fn a_path_is_in_the_folder_with_the_longest_name_that_it_begins_with() {
        memory_files::put("/", "a", Content::text("root"));
        memory_files::put("/assets", "a", Content::text("assets"));
        memory_files::put("assets/new/", "a", Content::text("new"));
        let mounts = Mounts::all().expect("there are folders");
        for (path, expected) in [
            (&["a"][..], Some("root")),
            (&["assets", "a"], Some("assets")),
            (&["assets", "new", "a"], Some("new")),
            (&["assets", "old", "a"], None),
            (&["assetsa"], None),
        ] {
            let path: Vec<_> = path.iter().map(|name| name.to_string()).collect();
            let place = mounts.place(&path).expect("the root is a folder");
            let text = match place.open() {
                Ok(Entry::File(file)) => Some(file.text()),
                _ => None,
            };
            assert_eq!(text.as_deref(), expected, "{path:?}");
        }
    }

    #[test]
    fn without_a_folder_the_operator_is_told_how_to_give_one() {
        let reason = Mounts::all().err().unwrap_or_default();
        assert!(reason.contains("mounts = "), "{reason}");
    }

    #[test]
    fn a_name_is_read_as_a_path() {
        for (name, expected) in
            [("/", &[][..]), (".", &[]), ("", &[]), ("/a", &["a"]), ("a/b/", &["a", "b"]), ("./a", &["a"])]
        {
            assert_eq!(segments(name), expected, "{name}");
        }
    }
}
