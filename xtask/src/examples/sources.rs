//! The files of an example that it is built from.
//!
//! Owns what counts as one, and how a change of them is noticed; leaves building to the command.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Path and content of each file, in the order of the paths.
pub(super) struct Sources(Vec<(PathBuf, Vec<u8>)>);

impl Sources {
    /// Everything below a folder but what its `.gitignore` names, which is what builds leave, and what no build of a
    /// fresh clone reads.
    pub(super) fn read(example: &Path) -> Result<Self> {
        let ignored = fs::read_to_string(example.join(".gitignore"))
            .with_context(|| format!("cannot read .gitignore in {}", example.display()))?;
        let ignored: Vec<&str> =
            ignored.lines().map(|line| line.trim_matches('/')).filter(|name| !name.is_empty()).collect();
        let (mut files, mut folders) = (Vec::new(), vec![example.to_owned()]);
        while let Some(folder) = folders.pop() {
            let cannot_read = || format!("cannot read {}", folder.display());
            for entry in fs::read_dir(&folder).with_context(cannot_read)? {
                let path = entry.with_context(cannot_read)?.path();
                let inside = path.strip_prefix(example)?.to_owned();
                let not_read = [".gitignore", ".jackfield", "Cargo.lock", "README.md"]
                    .iter()
                    .any(|name| inside.starts_with(name));
                if not_read || ignored.iter().any(|name| inside.starts_with(name)) {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let content =
                        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                    files.push((inside, content));
                }
            }
        }
        files.sort();
        Ok(Self(files))
    }

    /// What changes whenever they, or the commands that build them, do: FNV-1a of 64 bits, which is to notice
    /// edits, not forgeries.
    pub(super) fn digest(&self, commands: &[&str]) -> String {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut add = |part: &[u8]| {
            for byte in u64::to_le_bytes(part.len() as u64).iter().chain(part) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        commands.iter().for_each(|word| add(word.as_bytes()));
        for (path, content) in &self.0 {
            add(path.as_os_str().as_encoded_bytes());
            add(content);
        }
        format!("{hash:016x}\n")
    }

    pub(super) fn copy_to(&self, folder: &Path) -> Result<()> {
        for (path, content) in &self.0 {
            let file = folder.join(path);
            let cannot_write = || format!("cannot write {}", file.display());
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent).with_context(cannot_write)?;
            }
            fs::write(&file, content).with_context(cannot_write)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Sources;

    #[test]
    fn what_a_build_leaves_is_not_a_source_and_every_edit_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let file = folder.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let digest = |commands: &[&str]| Sources::read(folder.path()).unwrap().digest(commands);
        write(".gitignore", "/build/\n/hello.wasm\n");
        write("main.c", "int a;");
        write("wit/world.wit", "world hello {}");
        let before = digest(&["make"]);

        write("build/main.o", "a build");
        write("hello.wasm", "a component");
        write(".jackfield/state", "a host's");
        write("README.md", "words");
        assert_eq!(digest(&["make"]), before);
        let copy = tempfile::tempdir().unwrap();
        Sources::read(folder.path()).unwrap().copy_to(copy.path()).unwrap();
        assert!(copy.path().join("wit/world.wit").is_file() && !copy.path().join("build").exists());

        assert_ne!(digest(&["make", "all"]), before);
        write("wit/world.wit", "world hello { }");
        assert_ne!(digest(&["make"]), before);
        write("wit/world.wit", "world hello {}");
        fs::rename(folder.path().join("main.c"), folder.path().join("other.c")).unwrap();
        assert_ne!(digest(&["make"]), before);
    }
}
