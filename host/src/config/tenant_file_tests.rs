//! The tenant file as its authors see it.

use std::path::Path;

use super::{Diagnostics, TenantFile};
use crate::document::{ComponentRef, Place, TenantDocument};
use crate::tenant::PluginName;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/testdata/tenant");

fn golden(name: &str) -> String {
    std::fs::read_to_string(format!("{FOLDER}/{name}.toml")).unwrap()
}

/// Each `NAME.toml` gives the diagnostics in `NAME.txt`. `SNAPSHOTS=overwrite cargo test` writes the latter.
#[test]
fn everything_wrong_with_a_tenant_file_is_said_in_one_go() {
    let files = std::fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    files.sort();
    assert!(files.len() > 4);
    for file in files {
        let name = Path::new(file.file_name().unwrap());
        let said = match TenantFile::parse(name, std::fs::read_to_string(&file).unwrap()) {
            Ok(read) => Diagnostics::from(read.warnings),
            Err(found) => found,
        };
        let mut text = said.render(false);
        if !text.is_empty() {
            text.push('\n');
        }
        let expected = snapbox::Data::read_from(&file.with_extension("txt"), None).raw();
        snapbox::Assert::new().action_env(snapbox::assert::DEFAULT_ACTION_ENV).eq(text, expected);
    }
}

#[test]
fn a_whole_tenant_file_is_the_document_that_the_host_takes() {
    let read = TenantFile::parse(Path::new("/srv/shop/tenant.toml"), golden("whole")).unwrap();
    let plugin = |name: &str| &read.document.plugins[&PluginName::parse(name).unwrap()];
    assert_eq!(plugin("books").component, ComponentRef::File("/srv/shop/target/books.wasm".into()));
    let digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
    assert_eq!(plugin("limit").component, ComponentRef::Artifact(digest));

    let artifacts = [(PluginName::parse("books").unwrap(), digest)].into();
    let json = serde_json::to_value(read.document.with_artifacts(&artifacts)).unwrap();
    let books = &json["plugins"]["books"];
    assert_eq!(books["component"], digest.to_string());
    assert_eq!(books["config"]["token"]["secret"], "api-token");
    assert_eq!(books["limits"], serde_json::json!({ "cpu": 20_000_000 }));
    assert_eq!(json["routes"][0]["hosts"][0], "shop.example");
    let back: TenantDocument = serde_json::from_value(json).unwrap();
    assert_eq!(back, read.document.with_artifacts(&artifacts));
}

#[test]
fn a_fault_that_is_found_later_is_shown_at_its_place() {
    let read = TenantFile::parse(Path::new("tenant.toml"), golden("whole")).unwrap();
    let place = Place::Component(PluginName::parse("books").unwrap());
    let said = read.fault(&place, "there is no such file".into(), None).to_string();
    assert!(said.contains("tenant.toml:2:13") && said.contains("target/books.wasm"), "{said}");
}
