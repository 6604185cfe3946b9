//! docs/limits.md: made of the code, whole, and about tests that are there. docs/site-file.md: whole.

use std::collections::BTreeSet;
use std::path::Path;

use jackfield::config::json_schema;
use jackfield::reference::{page, sections};
use serde_json::Value;

use crate::house::{room_of, rust_files, sources};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/limits.md");

const SITE_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/site-file.md");

#[test]
fn the_committed_page_is_current() {
    let expected = snapbox::Data::read_from(Path::new(PAGE), Some(snapbox::data::DataFormat::Text)).raw();
    snapbox::Assert::new().action_env(snapbox::assert::DEFAULT_ACTION_ENV).eq(page(), expected);
}

#[test]
fn every_limit_that_the_site_file_takes_has_a_row() {
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    let keys = |table: &str| -> BTreeSet<String> {
        let keys = schema["$defs"][table]["properties"].as_object().unwrap();
        keys.keys().map(|key| format!("`{key}`")).collect()
    };
    let rows = |title: &str| -> BTreeSet<String> {
        let section = sections().into_iter().find(|section| section.title == title).unwrap();
        section.rows.iter().map(|row| row.name.to_owned()).collect()
    };
    assert_eq!(rows("Of a plugin"), keys("Limits"));
    assert_eq!(rows("Of a plugin"), keys("Ceilings"));
    let mut quota = keys("Quota");
    // These are tables: what plugins may be given has keys of its own, and so has the store.
    assert!(quota.remove("`grants`") && quota.remove("`limits`") && quota.remove("`storage`"));
    quota.extend(["bytes", "keys"].map(|key| format!("`storage.{key}`")));
    assert_eq!(rows("Of a tenant"), quota);
}

/// Limits are on a page of their own.
#[test]
fn the_page_of_the_site_file_names_every_key() {
    let page = std::fs::read_to_string(SITE_FILE).unwrap();
    let schema: Value = serde_json::from_str(&json_schema()).unwrap();
    let mut keys = 0;
    for (table, definition) in schema["$defs"].as_object().unwrap() {
        if ["Limits", "Ceilings"].contains(&table.as_str()) {
            continue;
        }
        let Some(properties) = definition["properties"].as_object() else { continue };
        for key in properties.keys() {
            keys += 1;
            let forms = [format!("{key} ="), format!(".{key}]"), format!(".{key}."), format!("[{key}")];
            assert!(
                forms.iter().any(|form| page.contains(form)),
                "docs/site-file.md lacks `{key}` of {table}"
            );
        }
    }
    assert!(keys > 50, "only {keys} keys were found");
}

#[test]
fn no_row_is_there_twice_or_breaks_the_table() {
    let mut names = BTreeSet::new();
    for section in sections() {
        for row in section.rows {
            assert!(names.insert((section.title, row.name)), "{} is there twice", row.name);
            assert!(!row.broken_by.is_empty(), "nobody breaks {}", row.name);
            assert_eq!(row.to_string().matches('|').count(), 8, "{row}");
        }
    }
}

#[test]
fn each_limit_is_held_where_its_row_says_and_broken_by_the_tests_that_it_names() {
    let sources = sources();
    let suite = rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("suite"));
    for row in sections().into_iter().flat_map(|section| section.rows) {
        let held_in = Path::new(row.held_in);
        assert!(sources.iter().any(|(file, _)| file == held_in), "{}: no {}", row.name, row.held_in);
        for test in row.broken_by {
            let (module, name) = test.rsplit_once("::").expect("a test has a module or a room");
            let module = module.split("::").next().unwrap_or(module);
            let text = format!("fn {name}()");
            let mut files = suite.iter().chain(&sources).filter(|(file, _)| room_of(file) == module);
            assert!(files.any(|(_, source)| source.contains(&text)), "{}: no test {test}", row.name);
        }
    }
}
