//! The visible form of a file's text: in messages, excerpts and JSON.
//!
//! No byte of a file or its path reaches a terminal as a control character or as a change of writing direction, and
//! no message grows with the file.

use std::borrow::Cow;

use crate::observe::acts_on_a_terminal;

/// The most characters of the file that a message repeats at once.
const MAX_QUOTED: usize = 60;

/// The most characters of a headline, label or help.
const MAX_MESSAGE: usize = 500;

/// A piece of the file inside a message: in backquotes, and cut if it is long.
pub(super) fn quoted(text: &str) -> String {
    if text.is_empty() {
        return "the empty text".into();
    }
    format!("`{}`", clipped(text, MAX_QUOTED))
}

/// Makes a message fit to show: bounded, on one line, harmless to a terminal.
pub(super) fn message(text: &str) -> String {
    visible(&clipped(text, MAX_MESSAGE)).into_owned()
}

fn clipped(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()).into(),
        None => text.into(),
    }
}

/// Replaces each character that could steer a terminal by a visible one.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().any(|c| stand_in(c).is_some()) {
        text.chars().map(|c| stand_in(c).unwrap_or(c)).collect::<String>().into()
    } else {
        text.into()
    }
}

/// The visible form of a line of the file, whose tabs the renderer widens.
pub(super) fn visible_line(line: &str) -> String {
    line.chars().map(|c| if c == '\t' { c } else { stand_in(c).unwrap_or(c) }).collect()
}

/// The visible character in place of a control character, or of one that is invisible or changes how its neighbours
/// are shown.
pub(super) fn stand_in(c: char) -> Option<char> {
    match c {
        // Unicode has a picture of each, in the same order from U+2400.
        '\0'..='\x1f' => char::from_u32(u32::from(c).saturating_add(0x2400)),
        '\x7f' => Some('\u{2421}'),
        _ => acts_on_a_terminal(c).then_some(char::REPLACEMENT_CHARACTER),
    }
}
