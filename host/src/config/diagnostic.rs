//! A diagnostic: one finding in a site file as data, rendered for people and for programs.
//!
//! Owns the rendering. Leaves to `visible` that no text of the file steers a terminal, and to `read` and `resolve`
//! what counts as a fault.

use std::fmt;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use serde::{Serialize, Serializer};

use super::source::{Source, Span};
use super::visible::{message, visible, visible_line};

/// The longest line that is shown; of a longer line, only the place is named.
const MAX_SHOWN_LINE_BYTES: usize = 4096;

/// The most lines between two carets of one excerpt.
const MAX_EXCERPT_GAP: usize = 6;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The site can be run, but is probably not intended.
    Warning,
}

/// One finding: the fault, its place, and the remedy.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    severity: Severity,
    headline: String,
    source: Arc<Source>,
    primary: Option<Label>,
    secondary: Vec<Label>,
    help: Option<String>,
}

#[derive(Debug, Clone)]
struct Label {
    span: Span,
    text: String,
}

impl Diagnostic {
    pub(super) fn error(
        source: Arc<Source>,
        span: Span,
        headline: String,
        label: String,
        help: Option<String>,
    ) -> Self {
        let primary = Some(Label::new(&source, &span, &label));
        Self {
            severity: Severity::Error,
            headline: message(&headline),
            source,
            primary,
            secondary: Vec::new(),
            help: help.map(|help| message(&help)),
        }
    }

    pub(super) fn without_place(source: Arc<Source>, headline: String, help: Option<String>) -> Self {
        Self {
            severity: Severity::Error,
            headline: message(&headline),
            source,
            primary: None,
            secondary: Vec::new(),
            help: help.map(|help| message(&help)),
        }
    }

    /// The same finding as a warning: a site with warnings can be run.
    #[must_use]
    pub fn into_warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// Adds the remedy.
    #[must_use]
    pub fn with_help(self, help: &str) -> Self {
        Self { help: Some(message(help)), ..self }
    }

    /// Points at a second place of the same file.
    #[must_use]
    pub fn with_secondary(mut self, span: &Span, label: impl AsRef<str>) -> Self {
        self.secondary.push(Label::new(&self.source, span, label.as_ref()));
        self
    }

    /// The severity of the finding.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The fault, in one line.
    pub fn headline(&self) -> &str {
        &self.headline
    }

    /// The remedy.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The text for people, with the lines of the file at the finding's place; `color` adds terminal colours.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[self.group()])
    }

    fn group(&self) -> Group<'_> {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(&self.headline));
        group = match &self.primary {
            Some(primary) => group.elements(self.excerpts(primary)),
            None if self.source.path().as_os_str().is_empty() => group,
            None => group.element(Origin::path(self.file())),
        };
        match &self.help {
            Some(help) => group.element(Level::HELP.message(help)),
            None => group,
        }
    }

    /// Excerpts of the source, that of the primary label first: lines that are close to each other share one.
    fn excerpts(&self, primary: &Label) -> Vec<Element<'static>> {
        let with_line =
            |kind| move |label: &Label| (self.source.line_index(label.span.start), kind, label.clone());
        let mut labels: Vec<_> = self.secondary.iter().map(with_line(AnnotationKind::Context)).collect();
        labels.push(with_line(AnnotationKind::Primary)(primary));
        labels.sort_by_key(|(line, ..)| *line);
        let near = |a: &(usize, _, _), b: &(usize, _, _)| b.0.saturating_sub(a.0) <= MAX_EXCERPT_GAP;
        let mut chunks: Vec<_> = labels.chunk_by(near).collect();
        chunks.sort_by_key(|chunk| chunk.iter().all(|(_, kind, _)| *kind != AnnotationKind::Primary));
        chunks.into_iter().map(|chunk| self.excerpt(chunk)).collect()
    }

    fn excerpt(&self, labels: &[(usize, AnnotationKind, Label)]) -> Element<'static> {
        let first = labels.first().map_or(0, |(line, ..)| *line);
        let last = labels.last().map_or(first, |(line, ..)| *line);
        let spans: Vec<Span> = (first..=last).map(|line| self.source.line(line)).collect();
        if spans.iter().any(|line| line.len() > MAX_SHOWN_LINE_BYTES) {
            let at = labels.iter().find(|(_, kind, _)| *kind == AnnotationKind::Primary).or(labels.first());
            let at = self.source.position(at.map_or(0, |(.., label)| label.span.start));
            return Origin::path(self.file()).line(at.line).char_column(at.column).into();
        }
        let mut shown = String::new();
        let mut annotations = Vec::new();
        for (index, line) in (first..=last).zip(&spans) {
            let start = shown.len();
            for (_, kind, label) in labels.iter().filter(|(at, ..)| *at == index) {
                // A character may be shown as another of another length: the shown text before the place decides the
                // offset.
                let offset = |to: usize| {
                    let before = self.source.text().get(line.start..to.min(line.end)).unwrap_or_default();
                    start.saturating_add(visible_line(before).len())
                };
                let span = offset(label.span.start)..offset(label.span.end);
                let text = (!label.text.is_empty()).then(|| label.text.clone());
                annotations.push(kind.span(span).label(text));
            }
            shown.push_str(&visible_line(self.source.text().get(line.clone()).unwrap_or_default()));
            shown.push('\n');
        }
        Snippet::source(shown)
            .path(self.file())
            .line_start(first.saturating_add(1))
            .annotations(annotations)
            .into()
    }

    fn file(&self) -> String {
        visible(&self.source.path().to_string_lossy()).into_owned()
    }

    /// The offset by which findings are put in order.
    pub(super) fn start(&self) -> usize {
        self.primary.as_ref().map_or(usize::MAX, |primary| primary.span.start)
    }
}

impl Label {
    fn new(source: &Source, span: &Span, text: &str) -> Self {
        Self { span: source.on_one_line(span), text: message(text) }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// The form of `check --json`. Lines and columns count from 1, columns and lengths in characters.
impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Finding<'a> {
            severity: Severity,
            message: &'a str,
            file: String,
            line: Option<usize>,
            column: Option<usize>,
            length: Option<usize>,
            label: Option<&'a str>,
            help: Option<&'a str>,
            related: Vec<Related<'a>>,
        }
        #[derive(Serialize)]
        struct Related<'a> {
            message: &'a str,
            line: usize,
            column: usize,
            length: usize,
        }
        let length =
            |label: &Label| self.source.text().get(label.span.clone()).unwrap_or_default().chars().count();
        let at = self.primary.as_ref().map(|label| self.source.position(label.span.start));
        let related = self.secondary.iter().map(|label| {
            let at = self.source.position(label.span.start);
            Related { message: &label.text, line: at.line, column: at.column, length: length(label) }
        });
        Finding {
            severity: self.severity,
            message: &self.headline,
            file: self.file(),
            line: at.map(|at| at.line),
            column: at.map(|at| at.column),
            length: self.primary.as_ref().map(length),
            label: self.primary.as_ref().map(|label| label.text.as_str()).filter(|text| !text.is_empty()),
            help: self.help.as_deref(),
            related: related.collect(),
        }
        .serialize(serializer)
    }
}

/// All findings of one reading, in the order of the file.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// The findings.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// The text for people: each finding with its lines of the file, a blank line between two.
    pub fn render(&self, color: bool) -> String {
        let rendered: Vec<_> = self.0.iter().map(|diagnostic| diagnostic.render(color)).collect();
        rendered.join("\n\n")
    }

    /// The JSON form: an array of objects with `severity`, `message`, `file`, `line`, `column`, `length`, `label`,
    /// `help` and `related`.
    pub fn to_json(&self) -> serde_json::Value {
        // The value is strings and numbers under text keys, which JSON can always express.
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl Source {
    /// An error found at `span` after the file was read: a missing component, an import that is not granted.
    ///
    /// `headline` names the fault, `label` the text at the caret, `help` the remedy. A source without text (that of a
    /// component without a site file) has no carets: the label follows the headline.
    pub fn diagnostic(
        self: &Arc<Self>,
        span: &Span,
        headline: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) -> Diagnostic {
        if self.text().is_empty() {
            let (mut headline, label) = (headline.into(), label.into());
            if !label.is_empty() {
                headline = format!("{headline}: {label}");
            }
            return Diagnostic::without_place(self.clone(), headline, help);
        }
        Diagnostic::error(self.clone(), span.clone(), headline.into(), label.into(), help)
    }
}

impl From<Vec<Diagnostic>> for Diagnostics {
    fn from(mut list: Vec<Diagnostic>) -> Self {
        list.sort_by_key(Diagnostic::start);
        Self(list)
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::visible::stand_in;
    use super::*;

    fn found(text: &str, span: Span) -> Diagnostic {
        let source = Source::new(Path::new("site.toml"), text.into());
        source.diagnostic(&span, "wrong", "here", Some("do right".into()))
    }

    #[test]
    fn nothing_of_the_file_steers_the_terminal() {
        let evil = "a = \"\u{1b}[31m\u{9b}2J\u{202e}\u{2066}\u{200f}\u{7}\u{85}\u{2028}\u{0}\"\r\u{8} # x\tz";
        let source = Source::new(Path::new("si\u{1b}]0;te\u{202e}.toml"), evil.into());
        let found = source.diagnostic(&(4..12), evil, evil, Some(evil.into())).with_secondary(&(4..5), evil);
        for text in [found.to_string(), Diagnostics::from(found).to_json().to_string()] {
            let bad = text.chars().find(|&c| c != '\n' && stand_in(c).is_some());
            assert_eq!(bad, None, "{text}");
        }
    }

    #[test]
    fn the_caret_stands_under_what_it_means_after_wide_and_unseen_characters() {
        snapbox::assert_data_eq!(
            found("a\u{202e}\t日本 = \"boks\"", 15..21).to_string(),
            snapbox::str![[r#"
error: wrong
 --> site.toml:1:10
  |
1 | a�    日本 = "boks"
  |               ^^^^^ here
  |
  = help: do right
"#]]
        );
    }

    #[test]
    fn places_far_apart_are_shown_apart() {
        let text = format!("first = 1\n{}last = 2\n", "#\n".repeat(20));
        let both = found(&text, 50..54).with_secondary(&(0..5), "as here");
        snapbox::assert_data_eq!(
            both.to_string(),
            snapbox::str![[r#"
error: wrong
  --> site.toml:22:1
   |
22 | last = 2
   | ^^^^ here
   |
  ::: site.toml:1:1
   |
 1 | first = 1
   | ----- as here
   |
   = help: do right
"#]]
        );
    }

    #[test]
    fn a_line_too_long_to_show_is_named() {
        let text = format!("a = \"{}\"", "x".repeat(MAX_SHOWN_LINE_BYTES));
        snapbox::assert_data_eq!(
            found(&text, 4..9).to_string(),
            snapbox::str![[r#"
error: wrong
--> site.toml:1:5
 = help: do right
"#]]
        );
    }

    #[test]
    fn any_span_of_any_text_is_rendered() {
        for text in ["", "\n", "\r\n", "a", "a\n", "ä\r\nb", "\r", "\t"] {
            for start in 0..7 {
                for end in 0..7 {
                    let text = found(text, start..end).with_secondary(&(end..start), "").to_string();
                    assert!(text.contains("site.toml"), "{text}");
                }
            }
        }
    }
}
