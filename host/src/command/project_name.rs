//! The name of a new project.

use std::str::FromStr;

use thiserror::Error;

/// Reserved words of Rust or WIT, and names of crates: a project of that name would not build.
#[rustfmt::skip]
pub(super) const RESERVED: [&str; 92] = [
    "abstract", "alloc", "as", "async", "await", "become", "bool", "borrow", "box", "break", "char", "const",
    "constructor", "continue", "core", "crate", "do", "dyn", "else", "enum", "export", "extern", "f32", "f64",
    "false", "final", "flags", "float32", "float64", "fn", "for", "from", "func", "future", "gen", "if", "impl",
    "import", "in", "include", "interface", "let", "list", "loop", "macro", "map", "match", "mod", "move", "mut",
    "option", "override", "own", "package", "priv", "pub", "record", "ref", "resource", "result", "return", "s16",
    "s32", "s64", "s8", "self", "static", "std", "stream", "string", "struct", "super", "test", "trait", "true",
    "try", "tuple", "type", "typeof", "u16", "u32", "u64", "u8", "unsafe", "unsized", "use", "variant", "virtual",
    "where", "while", "with", "world",
];

/// The name of a new project: valid for packages of every language, WIT worlds and plugins of the site file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProjectName(pub(super) String);

/// The reason why a text is not a project's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum NameError {
    #[error("it has {0} characters; it may have 63")]
    Length(usize),
    #[error("a name is words of a-z and 0-9 that begin with a letter, with `-` between them: `my-plugin`")]
    Form,
    #[error("a language keeps this word for itself; `my-{0}` can be had")]
    Reserved(String),
}

impl FromStr for ProjectName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_word = |word: &str| {
            word.starts_with(|first: char| first.is_ascii_lowercase())
                && word.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
        };
        if !text.split('-').all(is_word) {
            return Err(NameError::Form);
        }
        if text.len() > 63 {
            return Err(NameError::Length(text.len()));
        }
        if RESERVED.contains(&text) {
            return Err(NameError::Reserved(text.into()));
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_that_every_language_takes() {
        for name in ["a", "my-plugin", "b2b-shop", "x".repeat(63).as_str()] {
            assert!(ProjectName::from_str(name).is_ok(), "{name}");
        }
        for name in ["", "-", "a-", "-a", "a--b", "2b", "a-2", "A", "a_b", "a b", "a/b", "..", "é", "a.b"] {
            assert_eq!(ProjectName::from_str(name), Err(NameError::Form), "{name}");
        }
        assert_eq!(ProjectName::from_str(&"x".repeat(64)), Err(NameError::Length(64)));
        assert_eq!(ProjectName::from_str("list"), Err(NameError::Reserved("list".into())));
    }
}
