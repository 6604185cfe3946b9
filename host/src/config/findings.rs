//! The findings so far while a file is read.
//!
//! Owns the bound on findings, and suppresses a finding that only echoes an earlier one. Leaves their form to
//! `diagnostic`.

use std::sync::Arc;

use super::diagnostic::{Diagnostic, Severity};
use super::source::{Source, Span};

/// The most findings that one reading keeps; the rest are counted.
const MAX_FINDINGS: usize = 100;

/// The findings in a file, and in the files that it names: a bounded number.
pub struct Findings {
    source: Arc<Source>,
    list: Vec<Diagnostic>,
    errors: usize,
    beyond: usize,
    /// The lines that are not TOML: other findings on them are echoes.
    broken_lines: Vec<usize>,
    /// The keys that were read, by table.
    #[cfg(test)]
    pub(super) asked: std::collections::BTreeMap<String, std::collections::BTreeSet<&'static str>>,
}

impl Findings {
    /// No findings in `source`.
    pub fn new(source: Arc<Source>) -> Self {
        Self {
            source,
            list: Vec::new(),
            errors: 0,
            beyond: 0,
            broken_lines: Vec::new(),
            #[cfg(test)]
            asked: Default::default(),
        }
    }

    pub(super) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// The number of errors. If it is the same before and after a part was read, the part has no error.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// True if the text is not TOML, so that a missing key may only have been lost.
    pub(super) fn is_broken(&self) -> bool {
        !self.broken_lines.is_empty()
    }

    /// True if findings are only counted from here on, so that no help needs to be composed.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= MAX_FINDINGS
    }

    /// Marks the line of an offset as not TOML. Returns true if it was not marked yet.
    pub(super) fn mark_broken(&mut self, offset: usize) -> bool {
        let line = self.source.line_index(offset);
        let is_known = self.broken_lines.contains(&line);
        if !is_known && self.broken_lines.len() < MAX_FINDINGS {
            self.broken_lines.push(line);
        }
        !is_known
    }

    /// Adds the error of a line that is not TOML.
    pub(super) fn syntax_error(&mut self, span: &Span, headline: String, help: Option<String>) {
        if self.counts(Severity::Error) {
            self.list.push(self.source.diagnostic(span, headline, "", help));
        }
    }

    /// Adds an error, unless it is on a line that is not TOML.
    pub(super) fn error(
        &mut self,
        span: &Span,
        headline: impl Into<String>,
        label: &str,
        help: impl Into<Option<String>>,
    ) {
        if !self.is_echo(span.start) && self.counts(Severity::Error) {
            self.list.push(self.source.diagnostic(span, headline, label, help.into()));
        }
    }

    /// Adds a finding, unless it is on a line that is not TOML.
    pub fn push(&mut self, found: Diagnostic) {
        if !self.is_echo(found.start()) && self.counts(found.severity()) {
            self.list.push(found);
        }
    }

    fn is_echo(&self, offset: usize) -> bool {
        !self.broken_lines.is_empty() && self.broken_lines.contains(&self.source.line_index(offset))
    }

    /// Counts one more finding. Returns true if it is also to be kept.
    fn counts(&mut self, severity: Severity) -> bool {
        if severity == Severity::Error {
            self.errors = self.errors.saturating_add(1);
        }
        let is_kept = !self.is_full();
        if !is_kept {
            self.beyond = self.beyond.saturating_add(1);
        }
        is_kept
    }

    /// All findings that were kept, and a last line about the number of the others.
    pub fn into_list(self) -> Vec<Diagnostic> {
        let mut list = self.list;
        if self.beyond > 0 {
            let more = format!("{} more are not shown", self.beyond);
            let more = Diagnostic::without_place(self.source, more, None);
            list.push(if self.errors == 0 { more.into_warning() } else { more });
        }
        list
    }
}
