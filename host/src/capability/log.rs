//! The output of plugins, printed or logged: owns how lines are put together and rationed. The lines are handed on as
//! they were printed; `observe` marks them, makes them harmless, and knows where they go.

/// The longest line, in bytes; a longer one is split into several.
pub const MAX_LINE_BYTES: usize = 4 << 10;

/// The log budget of one call: the rest of its limits `log-lines` and `log-bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBudget {
    lines: u32,
    bytes: u64,
    dropped: DroppedLog,
}

/// The log lines of a call that were over its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DroppedLog {
    /// The number of lines.
    pub lines: u64,
    /// The number of their bytes, as printed.
    pub bytes: u64,
}

impl LogBudget {
    /// The budget at the start of a call.
    pub fn new(lines: u32, bytes: u64) -> Self {
        Self { lines, bytes, dropped: DroppedLog::default() }
    }

    /// Takes a line of `line_bytes` from the budget; if it does not fit, returns false and counts it as dropped.
    #[must_use = "a line that does not fit is not to be logged"]
    pub fn admit(&mut self, line_bytes: usize) -> bool {
        let line_bytes = u64::try_from(line_bytes).unwrap_or(u64::MAX);
        if let Some(lines) = self.lines.checked_sub(1)
            && let Some(bytes) = self.bytes.checked_sub(line_bytes)
        {
            (self.lines, self.bytes) = (lines, bytes);
            return true;
        }
        self.dropped.lines = self.dropped.lines.saturating_add(1);
        self.dropped.bytes = self.dropped.bytes.saturating_add(line_bytes);
        false
    }

    /// The lines that were dropped since the last such call; none if there were none.
    pub fn take_dropped(&mut self) -> Option<DroppedLog> {
        let dropped = std::mem::take(&mut self.dropped);
        (dropped.lines > 0).then_some(dropped)
    }
}

/// A buffer that puts the pieces which a plugin writes to its standard output or error together to lines. Holds at
/// most [`MAX_LINE_BYTES`].
#[derive(Debug, Default)]
pub struct LineBuffer {
    partial: Vec<u8>,
}

impl LineBuffer {
    /// Adds written bytes, and gives each line that they complete to `line`, without its line break. Bytes that are
    /// not UTF-8 become U+FFFD.
    pub fn write(&mut self, mut bytes: &[u8], mut line: impl FnMut(&str)) {
        while !bytes.is_empty() {
            let room = MAX_LINE_BYTES.saturating_sub(self.partial.len());
            // The line break may follow a line of exactly the longest length.
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

    /// Gives the rest, a line without a line break, to `line`.
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
    fn what_does_not_fit_is_dropped_and_counted() {
        let mut budget = LogBudget::new(3, 10);
        assert_eq!(budget.take_dropped(), None);
        assert!(budget.admit(5));
        assert!(!budget.admit(6));
        assert!(budget.admit(5));
        assert!(!budget.admit(1));
        assert_eq!(budget.take_dropped(), Some(DroppedLog { lines: 2, bytes: 7 }));
        assert!(budget.admit(0));
        assert!(!budget.admit(0));
        assert_eq!(budget.take_dropped(), Some(DroppedLog { lines: 1, bytes: 0 }));
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
        fn lines_do_not_depend_on_how_they_are_written(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            piece in 1..20_usize,
        ) {
            let pieces: Vec<&[u8]> = text.chunks(piece).collect();
            prop_assert_eq!(lines(&pieces), lines(&[&text]));
        }
    }
}
