//! What plugins print and log, made fit for a host's log: owns how lines are put together, escaped and
//! rationed. Where they go, and what marks them, is for `observe`.

use std::borrow::Cow;
use std::fmt::Write;

/// The longest line, in bytes, that is waited for; what goes on longer is several lines.
pub const MAX_LINE_BYTES: usize = 4 << 10;

/// Makes `text` safe to show on a terminal and to keep as one line: control characters (ANSI sequences begin
/// with one), characters that turn the direction of the text around them, and those that end lines or are
/// never seen become `\n`, `\r`, `\t` or `\u{…}`. All else, a backslash too, stays as it is.
pub fn escape(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(is_unsafe) else { return Cow::Borrowed(text) };
    let (safe, rest) = text.split_at(first);
    let mut escaped = String::with_capacity(text.len().saturating_add(16));
    escaped.push_str(safe);
    for character in rest.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            _ if is_unsafe(character) => {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(character));
            }
            _ => escaped.push(character),
        }
    }
    Cow::Owned(escaped)
}

fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Marks, embeddings, overrides and isolates of the bidirectional algorithm (UAX #9).
            '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
            // Line and paragraph separator.
            | '\u{2028}' | '\u{2029}'
            // Zero width space and no-break space, annotation marks, tags.
            | '\u{200B}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// What one call may still print or log: the limits `log-lines` and `log-bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBudget {
    lines: u32,
    bytes: u64,
    dropped: DroppedLog,
}

/// What did not fit into a call's budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DroppedLog {
    /// Lines.
    pub lines: u64,
    /// Their bytes, as printed.
    pub bytes: u64,
}

/// Whether a line fits into the budget.
#[derive(Debug, PartialEq, Eq)]
pub enum Admit<'a> {
    /// It does; this is how to log it, escaped.
    Line(Cow<'a, str>),
    /// It does not, and was counted.
    Dropped,
}

impl LogBudget {
    /// The budget of a call that begins.
    pub fn new(lines: u32, bytes: u64) -> Self {
        Self { lines, bytes, dropped: DroppedLog::default() }
    }

    /// Takes a line from the budget, or counts it as dropped. Its bytes are those of its escaped form, for
    /// that is what is kept; escaping never makes less.
    pub fn admit<'a>(&mut self, line: &'a str) -> Admit<'a> {
        let raw_bytes = length(line);
        if let Some(lines) = self.lines.checked_sub(1)
            && raw_bytes <= self.bytes
        {
            let escaped = escape(line);
            if let Some(bytes) = self.bytes.checked_sub(length(&escaped)) {
                (self.lines, self.bytes) = (lines, bytes);
                return Admit::Line(escaped);
            }
        }
        self.dropped.lines = self.dropped.lines.saturating_add(1);
        self.dropped.bytes = self.dropped.bytes.saturating_add(raw_bytes);
        Admit::Dropped
    }

    /// What was dropped so far; none if nothing was.
    pub fn dropped(&self) -> Option<DroppedLog> {
        (self.dropped.lines > 0).then_some(self.dropped)
    }
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

/// Puts the pieces that a plugin writes to its standard output or error together to lines. Holds at most
/// [`MAX_LINE_BYTES`].
#[derive(Debug, Default)]
pub struct LineBuffer {
    partial: Vec<u8>,
}

impl LineBuffer {
    /// Adds what was written, and gives each line that it completes to `line`, without its end. What is not
    /// UTF-8 becomes U+FFFD.
    pub fn write(&mut self, mut bytes: &[u8], mut line: impl FnMut(&str)) {
        while !bytes.is_empty() {
            let room = MAX_LINE_BYTES.saturating_sub(self.partial.len());
            // The end may follow a line that is just as long as it may be.
            let end = bytes.iter().take(room.saturating_add(1)).position(|&byte| byte == b'\n');
            let (piece, rest) = bytes.split_at(end.unwrap_or(room).min(bytes.len()));
            self.partial.extend_from_slice(piece);
            if end.is_some() {
                bytes = rest.get(1..).unwrap_or_default();
                self.finish_line(&mut line);
            } else {
                bytes = rest;
                if !bytes.is_empty() {
                    self.break_line(&mut line);
                }
            }
        }
    }

    /// Gives what is left, a line without an end, to `line`.
    pub fn finish(&mut self, mut line: impl FnMut(&str)) {
        if !self.partial.is_empty() {
            self.finish_line(&mut line);
        }
    }

    fn finish_line(&mut self, line: &mut impl FnMut(&str)) {
        let text = self.partial.strip_suffix(b"\r").unwrap_or(&self.partial);
        line(&String::from_utf8_lossy(text));
        self.partial.clear();
    }

    /// Ends a line that is too long, but never inside a character.
    fn break_line(&mut self, line: &mut impl FnMut(&str)) {
        let whole = match std::str::from_utf8(&self.partial) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.partial.len(),
        };
        let rest = self.partial.split_off(whole);
        line(&String::from_utf8_lossy(&self.partial));
        self.partial = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_a_plugin_prints_moves_the_readers_cursor() {
        for (text, escaped) in [
            ("plain, with \\ and \u{e9} and \u{1f4da}", "plain, with \\ and \u{e9} and \u{1f4da}"),
            ("", ""),
            ("one\ntwo\r\n\tthree", "one\\ntwo\\r\\n\\tthree"),
            ("\x1b[2J\x1b]0;title\x07", "\\u{1b}[2J\\u{1b}]0;title\\u{7}"),
            ("\0 \x7f \u{9b}31m", "\\u{0} \\u{7f} \\u{9b}31m"),
            ("user\u{202e}nimda\u{202c}", "user\\u{202e}nimda\\u{202c}"),
            ("\u{2066}a\u{2069}\u{200f}\u{61c}", "\\u{2066}a\\u{2069}\\u{200f}\\u{61c}"),
            ("a\u{2028}b\u{feff}\u{200b}\u{e0041}", "a\\u{2028}b\\u{feff}\\u{200b}\\u{e0041}"),
            ("\u{1f469}\u{200d}\u{1f680}", "\u{1f469}\u{200d}\u{1f680}"),
        ] {
            assert_eq!(escape(text), escaped);
        }
        assert!(matches!(escape("borrowed"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let mut budget = LogBudget::new(3, 10);
        assert_eq!(budget.admit("12345"), Admit::Line("12345".into()));
        assert_eq!(budget.admit("123456"), Admit::Dropped);
        assert_eq!(budget.admit("\x1b"), Admit::Dropped, "six bytes when escaped");
        assert_eq!(budget.admit("\n"), Admit::Line("\\n".into()));
        assert_eq!(budget.dropped(), Some(DroppedLog { lines: 2, bytes: 7 }));
        assert_eq!(budget.admit(""), Admit::Line("".into()));
        assert_eq!(budget.admit(""), Admit::Dropped);
        assert_eq!(budget.dropped(), Some(DroppedLog { lines: 3, bytes: 7 }));
        assert_eq!(LogBudget::new(1, 1).dropped(), None);
    }

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut buffer = LineBuffer::default();
        let mut lines = Vec::new();
        for piece in pieces {
            buffer.write(piece, |line| lines.push(line.to_owned()));
        }
        buffer.finish(|line| lines.push(line.to_owned()));
        lines
    }

    #[test]
    fn pieces_become_lines() {
        for (pieces, expected) in [
            (&[&b"one\ntwo\n"[..]][..], &["one", "two"][..]),
            (&[b"o", b"ne\nt", b"wo"], &["one", "two"]),
            (&[b"one\r", b"\n\n", b""], &["one", ""]),
            (&[b"\xc3", b"\xa9\n", b"\xff\n"], &["\u{e9}", "\u{fffd}"]),
            (&[], &[]),
        ] {
            assert_eq!(lines(pieces), expected);
        }
    }

    #[test]
    fn a_line_without_an_end_is_cut_between_characters() {
        let long = "\u{20ac}".repeat(4000);
        let cut = lines(&[long.as_bytes()]);
        assert_eq!(cut.concat(), long);
        assert!(cut.iter().all(|line| line.len() <= MAX_LINE_BYTES) && cut.len() == 3, "{}", cut.len());
        let exact = format!("{}\nnext", "x".repeat(MAX_LINE_BYTES));
        assert_eq!(lines(&[exact.as_bytes()]), ["x".repeat(MAX_LINE_BYTES), "next".into()]);
        let (line, end) = exact.as_bytes().split_at(MAX_LINE_BYTES);
        assert_eq!(lines(&[line, end]), ["x".repeat(MAX_LINE_BYTES), "next".into()]);
        assert_eq!(lines(&[&[0xff; MAX_LINE_BYTES + 1]]).len(), 2);
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_one_safe_line(text in any::<String>()) {
            let escaped = escape(&text);
            prop_assert!(escaped.len() >= text.len());
            prop_assert!(!escaped.contains(is_unsafe));
            prop_assert_eq!(escape(&escaped), escaped.clone());
        }

        #[test]
        fn lines_do_not_depend_on_how_they_are_written(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            piece in 1..20_usize,
        ) {
            let pieces: Vec<&[u8]> = text.chunks(piece).collect();
            prop_assert_eq!(lines(&pieces), lines(&[&text]));
        }
    }
}
