//! What was found so far while a file is read.
//!
//! Owns the bound on findings and what is held back as an echo of something said already. How a finding looks is
//! `diagnostic`'s.

use std::sync::Arc;

use super::diagnostic::{Diagnostic, Severity};
use super::source::{Source, Span};

/// The most findings that one reading keeps; the rest are counted.
const MAX_FINDINGS: usize = 100;

/// What is found while a file, and what it names, is read: a bounded number.
pub struct Findings {
    source: Arc<Source>,
    list: Vec<Diagnostic>,
    errors: usize,
    beyond: usize,
    /// Lines that are not TOML: what is found there is an echo of that.
    broken_lines: Vec<usize>,
    /// The keys that were asked for, by table.
    #[cfg(test)]
    pub(super) asked: std::collections::BTreeMap<String, std::collections::BTreeSet<&'static str>>,
}

impl Findings {
    /// None yet, of this file.
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

    /// How many errors there are: the same number before and after a piece was read means that it is sound.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// Whether the text is no TOML, so that what is missing may only have been lost.
    pub(super) fn is_broken(&self) -> bool {
        !self.broken_lines.is_empty()
    }

    /// Whether findings are only counted from here on, so that nobody need look for a good help.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= MAX_FINDINGS
    }

    /// Marks the line of an offset as one that is not TOML; whether it was not marked yet.
    pub(super) fn mark_broken(&mut self, offset: usize) -> bool {
        let line = self.source.line_index(offset);
        let is_known = self.broken_lines.contains(&line);
        if !is_known && self.broken_lines.len() < MAX_FINDINGS {
            self.broken_lines.push(line);
        }
        !is_known
    }

    /// Adds what is wrong with a line that is not TOML.
    pub(super) fn syntax_error(&mut self, span: &Span, headline: String, help: Option<String>) {
        if self.counts(Severity::Error) {
            self.list.push(self.source.diagnostic(span, headline, "", help));
        }
    }

    /// Adds an error, unless it is found on a line that is not TOML.
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

    /// Adds a finding, unless it is found on a line that is not TOML.
    pub fn push(&mut self, found: Diagnostic) {
        if !self.is_echo(found.start()) && self.counts(found.severity()) {
            self.list.push(found);
        }
    }

    fn is_echo(&self, offset: usize) -> bool {
        !self.broken_lines.is_empty() && self.broken_lines.contains(&self.source.line_index(offset))
    }

    /// Counts one more finding; whether it is also to be kept.
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

    /// All that was kept, and a last line about what was not.
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
