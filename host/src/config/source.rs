//! The text of a site file or a tenant file, and places in it.
//!
//! Owns the kind of the file, lines and columns. `load` reads the file; other modules read its meaning.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a file's text, from the first up to but not including the last.
pub type Span = Range<usize>;

/// The kind of a file: it decides which keys the file has, and the words of its findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// A site file: the host, and all of its tenants.
    Site,
    /// A tenant file: the plugins and routes of one tenant, which are published over the admin API.
    Tenant,
}

impl FileKind {
    /// The words for such a file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Site => "site file",
            Self::Tenant => "tenant file",
        }
    }

    /// The keys before those of a tenant: `tenants.NAME.`, if the file has several tenants.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Site => "tenants.NAME.",
            Self::Tenant => "",
        }
    }
}

/// The text and path of a site file or a tenant file.
pub struct Source {
    kind: FileKind,
    path: PathBuf,
    folder: PathBuf,
    text: String,
    /// The offset of each line's first byte.
    lines: Vec<usize>,
}

/// A place as people count it: line and column from 1, a column being a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Source {
    /// Makes a source of a text, as that of the site file at `path`.
    pub(super) fn new(path: &Path, text: String) -> Arc<Self> {
        Self::of_kind(FileKind::Site, path, text)
    }

    /// Makes a source of a text, as that of the file at `path`.
    pub(super) fn of_kind(kind: FileKind, path: &Path, text: String) -> Arc<Self> {
        // An empty path, or a working folder that is gone: paths in the file are then relative to the working folder.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = absolute.parent().map(Path::to_owned).unwrap_or_default();
        let after_breaks = text.match_indices('\n').map(|(at, _)| at.saturating_add(1));
        let lines = std::iter::once(0).chain(after_breaks).collect();
        Arc::new(Self { kind, path: path.to_owned(), folder, text, lines })
    }

    pub(super) fn kind(&self) -> FileKind {
        self.kind
    }

    /// The path, as it was given to the program.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The absolute folder of the file. Paths in the file are relative to it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The text as read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same span inside the text, at the bounds of characters and on one line: the first, if it has several.
    pub(super) fn on_one_line(&self, span: &Span) -> Span {
        let start = self.text.floor_char_boundary(span.start.min(self.text.len()));
        let line_end = self.line(self.line_index(start)).end;
        let end = self.text.ceil_char_boundary(span.end.min(self.text.len())).min(line_end);
        start..end.max(start)
    }

    /// The line and column of an offset; the end of the text if it lies beyond.
    pub(super) fn position(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset.min(self.text.len()));
        let line = self.line_index(offset);
        let column = self.text_before(offset).chars().count().saturating_add(1);
        Position { line: line.saturating_add(1), column }
    }

    /// The text before an offset on its line.
    pub(super) fn text_before(&self, offset: usize) -> &str {
        self.text.get(self.line(self.line_index(offset)).start..offset).unwrap_or_default()
    }

    /// The line, counted from 0, of an offset.
    pub(super) fn line_index(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// The bytes of a line, counted from 0, without its line break.
    pub(super) fn line(&self, index: usize) -> Span {
        let start = self.lines.get(index).copied().unwrap_or(self.text.len());
        let next = self.lines.get(index.saturating_add(1)).copied();
        let end = next.map_or(self.text.len(), |next| next.saturating_sub(1)).max(start);
        let line = self.text.get(start..end).unwrap_or_default();
        start..start.saturating_add(line.strip_suffix('\r').unwrap_or(line).len())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_counted_from_one_in_characters() {
        let source = Source::new(Path::new("site.toml"), "ab\r\näöü = 1\n\nend".into());
        for (offset, line, column) in
            [(0, 1, 1), (1, 1, 2), (4, 2, 1), (6, 2, 2), (10, 2, 4), (15, 3, 1), (16, 4, 1), (99, 4, 4)]
        {
            assert_eq!(source.position(offset), Position { line, column }, "offset {offset}");
        }
        assert_eq!(source.text().get(source.line(0)), Some("ab"));
        assert_eq!(source.line(9), 19..19);
    }

    #[test]
    fn a_span_is_cut_to_its_first_line_and_to_characters() {
        let source = Source::new(Path::new("site.toml"), "hosts = [\n\"ä\"]".into());
        assert_eq!(source.on_one_line(&(8..14)), 8..9);
        assert_eq!(source.on_one_line(&(12..12)), 11..13);
        assert_eq!(source.on_one_line(&(70..90)), 15..15);
    }
}
