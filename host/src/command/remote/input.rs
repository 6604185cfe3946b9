//! What people type, and what is piped in: values, tokens, and whether they are sure.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;

use super::failure::Failure;

/// The longest value, in bytes.
const MAX_VALUE_BYTES: u64 = 64 * 1024;

/// The longest JSON file, in bytes.
const MAX_JSON_BYTES: u64 = 1024 * 1024;

/// A value that nobody is to see: typed on a terminal without being shown, else all of standard input but for one line
/// break at its end.
pub(super) fn hidden_value(prompt: &str) -> Result<String, Failure> {
    let stdin = io::stdin();
    let failed = |error| Failure::Refused(format!("standard input cannot be read: {error}"));
    if stdin.is_terminal() {
        // The prompt is no part of the answer.
        let _ = write!(io::stderr(), "{prompt}: ");
        return console::Term::stderr().read_secure_line().map_err(failed);
    }
    let text = bounded(stdin.lock(), MAX_VALUE_BYTES).map_err(failed)?;
    Ok(without_last_break(&text).to_owned())
}

/// The content of a file as a value, but for one line break at its end.
pub(super) fn value_of_file(path: &Path) -> Result<String, Failure> {
    let text = text_of_file(path, MAX_VALUE_BYTES)?;
    Ok(without_last_break(&text).to_owned())
}

/// The content of a JSON file.
pub(super) fn json_of_file(path: &Path) -> Result<serde_json::Value, Failure> {
    let text = text_of_file(path, MAX_JSON_BYTES)?;
    let failed = |error| Failure::Refused(format!("{} is not JSON: {error}", path.display()));
    serde_json::from_str(&text).map_err(failed)
}

/// Asks on the terminal; only `y` and `yes` are yes. None if nobody can be asked.
pub(super) fn ask(question: &str) -> Option<bool> {
    let stdin = io::stdin();
    if !stdin.is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    let read = stdin.lock().take(MAX_VALUE_BYTES).read_line(&mut answer);
    Some(read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn text_of_file(path: &Path, most: u64) -> Result<String, Failure> {
    let failed = |error| Failure::Refused(format!("{} cannot be read: {error}", path.display()));
    bounded(File::open(path).map_err(failed)?, most).map_err(failed)
}

/// Reads text of at most `most` bytes.
fn bounded(from: impl Read, most: u64) -> io::Result<String> {
    let mut text = String::new();
    from.take(most.saturating_add(1)).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > most {
        return Err(io::Error::other(format!("it has more than {}KiB", most.div_ceil(1024))));
    }
    Ok(text)
}

fn without_last_break(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_no_line_break_at_its_end_and_a_bounded_length() {
        for (text, expected) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("", "")] {
            assert_eq!(without_last_break(text), expected);
        }
        assert_eq!(bounded("abc".as_bytes(), 3).unwrap(), "abc");
        assert!(bounded("abcd".as_bytes(), 3).unwrap_err().to_string().contains("1KiB"));
        assert!(bounded(&b"\xff"[..], 3).is_err());
    }
}
