//! The keys of a site file, and those that another text of it leaves out.
//!
//! Knows nothing of the meaning of a key, so a key that is added to the grammar needs no change here.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::source::Source;

impl Source {
    /// The first key of this text, such as `tenants.shop.routes`, that the other text does not have, or has fewer
    /// times. Values do not count, nor does the order of tables in an array.
    pub fn first_key_left_out_by(&self, other: &Self) -> Option<String> {
        let there = keys(other.text());
        let is_left_out = |(key, times): &(String, usize)| there.get(key).copied().unwrap_or(0) < *times;
        keys(self.text()).into_iter().find(is_left_out).map(|(key, _)| key)
    }
}

/// The number of times that each key stands in a text. A table of an array counts under its array's name.
fn keys(text: &str) -> BTreeMap<String, usize> {
    let mut keys = BTreeMap::new();
    let (document, _) = DeTable::parse_recoverable(text);
    count(document.get_ref(), "", &mut keys);
    keys
}

fn count(table: &DeTable<'_>, path: &str, keys: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let key =
            if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
        match value.get_ref() {
            DeValue::Array(items) => {
                let tables: Vec<_> = items.iter().filter_map(|item| item.get_ref().as_table()).collect();
                add(&key, tables.len().max(1), keys);
                tables.into_iter().for_each(|table| count(table, &key, keys));
            }
            DeValue::Table(table) => {
                add(&key, 1, keys);
                count(table, &key, keys);
            }
            _ => add(&key, 1, keys),
        }
    }
}

fn add(key: &str, times: usize, keys: &mut BTreeMap<String, usize>) {
    let so_far = keys.entry(key.to_owned()).or_default();
    *so_far = so_far.saturating_add(times);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const WHOLE: &str = r#"
        [tenants.shop]
        hosts = ["shop.example"]
        [tenants.shop.plugins.page]
        component = "page.wasm"
        [[tenants.shop.routes]]
        path = "/"
        plugin = "page"
        filters = ["limit"]
        [[tenants.shop.routes]]
        path = "/about"
        plugin = "page"
    "#;

    fn left_out(after: &str) -> Option<String> {
        let source = |text: &str| Source::new(Path::new("site.toml"), text.to_owned());
        source(WHOLE).first_key_left_out_by(&source(after))
    }

    #[test]
    fn a_text_that_breaks_off_at_the_end_of_any_line_leaves_something_out() {
        let whole = WHOLE.trim_end();
        for (at, _) in whole.match_indices('\n') {
            assert!(left_out(&whole[..at]).is_some(), "{}", &whole[..at]);
        }
        assert_eq!(left_out(""), Some("tenants".to_owned()));
    }

    #[test]
    fn what_is_changed_added_or_moved_leaves_nothing_out() {
        let (first, second) = WHOLE.split_once("[[tenants.shop.routes]]").unwrap();
        let (one, other) = second.split_once("[[tenants.shop.routes]]").unwrap();
        let route = "[[tenants.shop.routes]]";
        for text in [
            WHOLE.to_owned(),
            WHOLE.replace("/about", "/other"),
            WHOLE.replace("[\"limit\"]", "[]"),
            format!("{WHOLE}\n[tenants.mill]\nhosts = [\"mill.example\"]"),
            format!("{first}{route}{other}\n{route}{one}"),
            format!("{first}{route}\npath = \"/new\"\nplugin = \"page\"\n{route}{second}"),
        ] {
            assert_eq!(left_out(&text), None, "{text}");
        }
    }

    #[test]
    fn what_is_left_out_is_named() {
        for (text, key) in [
            (WHOLE.replace("tenants.shop", "tenants.mill"), "tenants.shop"),
            (WHOLE.replace("filters = [\"limit\"]", ""), "tenants.shop.routes.filters"),
            (WHOLE.replace("hosts = [\"shop.example\"]", ""), "tenants.shop.hosts"),
        ] {
            assert_eq!(left_out(&text).as_deref(), Some(key));
        }
    }
}
