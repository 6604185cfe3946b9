//! The answers of commands: an exit code, lines on standard output, complaints on standard error.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use crate::observe::acts_on_a_terminal;

/// The way in which a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// The command succeeded.
    Done,
    /// The command was refused, or failed.
    Refused,
    /// The command line is not valid.
    WrongUsage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Refused => 1,
            Exit::WrongUsage => 2,
        })
    }
}

/// Prints a line (or a few) of an answer.
pub(super) fn say(text: impl Display) {
    // A reader that closed the pipe wants no more output.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints a line (or a few) of a complaint.
pub(super) fn complain(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints an error without a place in a file, in the form of errors with one.
pub(super) fn refuse(reason: impl Display) -> Exit {
    // A reason may repeat names that a component chose.
    let harmless = |c: char| if c != '\n' && acts_on_a_terminal(c) { char::REPLACEMENT_CHARACTER } else { c };
    let reason: String = reason.to_string().chars().map(harmless).collect();
    complain(format_args!("error: {reason}"));
    Exit::Refused
}

/// A text that others wrote, fit to show: nothing in it ends the line, or acts on a terminal.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if acts_on_a_terminal(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// An error and its causes, in one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        // Some errors contain the text of their cause.
        if !text.contains(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        cause = error.source();
    }
    text
}

/// A JSON answer.
pub(super) fn say_json(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string_pretty(value) {
        say(text);
    }
}

/// The use of colours in text for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    /// On a terminal.
    Auto,
    /// Nowhere.
    Never,
}

impl Colours {
    /// Returns `Never` for either variable that asks for no colours: a non-empty `NO_COLOR` (no-color.org), or a
    /// `TERM` of `dumb`.
    pub(super) fn asked_for_by(environment: &[(OsString, OsString)]) -> Self {
        let is_against = |(name, value): &(OsString, OsString)| {
            (name == "NO_COLOR" && !value.is_empty()) || (name == "TERM" && value == "dumb")
        };
        if environment.iter().any(is_against) { Self::Never } else { Self::Auto }
    }

    /// True if text on standard error is coloured.
    pub(super) fn are_shown(self) -> bool {
        self == Self::Auto && std::io::stderr().is_terminal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_of_people_who_have_said_nothing_against_them() {
        for (name, value, expected) in [
            ("TERM", "xterm-256color", Colours::Auto),
            ("NO_COLOR", "", Colours::Auto),
            ("NO_COLOR", "1", Colours::Never),
            ("NO_COLOR", "0", Colours::Never),
            ("TERM", "dumb", Colours::Never),
        ] {
            let environment = [("HOME".into(), "/".into()), (name.into(), value.into())];
            assert_eq!(Colours::asked_for_by(&environment), expected, "{name}={value}");
        }
    }
}
