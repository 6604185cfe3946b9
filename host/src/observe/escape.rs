//! Text from guests and callers, made harmless: it cannot end its line or its string, move a terminal's cursor, or
//! turn the text around it.

use std::fmt::Write;

/// The most bytes of one text value in a line, before escaping; the rest is cut and marked with `…`.
const MAX_VALUE_BYTES: usize = 64 * 1024;

/// The start of `value` that fits into a line.
pub(super) fn cut(value: &str) -> &str {
    value.get(..value.floor_char_boundary(MAX_VALUE_BYTES)).unwrap_or(value)
}

/// True if `value` may stand in a text line without quotes.
pub(super) fn is_bare(value: &str) -> bool {
    !value.is_empty()
        && value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'='))
}

/// Appends `value` in quotes, as a JSON string; the text formats quote in the same way.
pub(super) fn push_quoted(out: &mut String, value: &str) {
    out.push('"');
    let kept = cut(value);
    if kept.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        out.push_str(kept);
    } else {
        for character in kept.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                _ => push_visible(out, character),
            }
        }
    }
    if kept.len() < value.len() {
        out.push('…');
    }
    out.push('"');
}

/// Appends `value` without quotes: its quotes stay; characters that act on a terminal are replaced.
pub(super) fn push_message(out: &mut String, value: &str) {
    for character in cut(value).chars() {
        push_visible(out, character);
    }
}

fn push_visible(out: &mut String, character: char) {
    if !acts_on_a_terminal(character) {
        return out.push(character);
    }
    // JSON's form (RFC 8259 §7): two escapes for a character above U+FFFF.
    for unit in character.encode_utf16(&mut [0; 2]) {
        let _ = write!(out, "\\u{unit:04x}");
    }
}

/// True for controls (C0, DEL, C1), line and paragraph separators, marks that turn the direction of text around
/// (Unicode Bidirectional Algorithm, UAX #9 §2), which can make a value look like another, and invisible characters:
/// soft hyphens, zero width spaces, annotation marks, tags.
pub fn acts_on_a_terminal(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quoted(value: &str) -> String {
        let mut out = String::new();
        push_quoted(&mut out, value);
        out
    }

    #[test]
    fn a_guest_cannot_forge_a_line_colour_a_terminal_or_turn_text_around() {
        for (value, expected) in [
            ("a\nb", r#""a\nb""#),
            ("\x1b[31mred", r#""\u001b[31mred""#),
            ("\u{9b}31m", r#""\u009b31m""#),
            ("\u{202e}gpj.exe", r#""\u202egpj.exe""#),
            ("\u{2066}\u{2028}\u{7f}", r#""\u2066\u2028\u007f""#),
            ("\u{200b}\u{e0041}", r#""\u200b\udb40\udc41""#),
            ("say \"hi\" \\o/", r#""say \"hi\" \\o/""#),
            ("Bücher 本", "\"Bücher 本\""),
        ] {
            assert_eq!(quoted(value), expected);
            assert!(!is_bare(value), "{value:?}");
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_cut_between_characters() {
        assert_eq!(quoted(&"€".repeat(30_000)), format!("\"{}…\"", "€".repeat(MAX_VALUE_BYTES / 3)));
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_its_quotes_as_it_was(value in any::<String>()) {
            let text = quoted(&value);
            prop_assert_eq!(serde_json::from_str::<String>(&text).unwrap(), value);
            prop_assert_eq!(text.find(acts_on_a_terminal), None);
        }

        #[test]
        fn any_text_stays_on_its_line(value in any::<String>()) {
            let mut out = String::new();
            push_message(&mut out, &value);
            prop_assert_eq!(out.find(acts_on_a_terminal), None);
        }
    }
}
