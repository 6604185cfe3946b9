//! The ways in which a command that asks a host fails, and how each is shown.

use serde_json::Value;

use super::super::answer::{Colours, Exit, complain, one_line, refuse, say_json, with_causes};
use crate::admin::client::{ClientError, Problem};
use crate::config::Diagnostics;

/// A command that did not do what it was asked for.
#[derive(Debug)]
pub(super) enum Failure {
    /// The call failed.
    Client(ClientError),
    /// The tenant file has faults.
    File(Diagnostics),
    /// Any other reason.
    Refused(String),
    /// The command line cannot mean anything.
    Usage(String),
}

impl Failure {
    /// Any other reason.
    pub(super) fn refused(reason: impl ToString) -> Self {
        Self::Refused(reason.to_string())
    }

    /// Shows the failure. With `json`, a problem of the host is shown as it came.
    pub(super) fn show(&self, json: bool, colours: Colours) -> Exit {
        match self {
            Self::Client(ClientError::Problem(problem)) if json => {
                say_json(&problem.json);
                Exit::Refused
            }
            Self::File(diagnostics) if json => {
                say_json(&serde_json::json!({ "findings": diagnostics.to_json() }));
                Exit::Refused
            }
            Self::Client(ClientError::Problem(problem)) => {
                complain(told(problem));
                Exit::Refused
            }
            Self::Client(error) => refuse(with_causes(error)),
            Self::File(diagnostics) => {
                complain(diagnostics.render(colours.are_shown()));
                Exit::Refused
            }
            Self::Refused(reason) => refuse(reason),
            Self::Usage(reason) => {
                complain(format_args!("error: {}", one_line(reason)));
                Exit::WrongUsage
            }
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::File(diagnostics)
    }
}

/// A problem of the host, for people: one sentence, then each reason with its place and remedy.
fn told(problem: &Problem) -> String {
    let mut text = format!("error: {}", one_line(&problem.to_string()));
    for reason in &problem.reasons {
        text.push_str("\n\nerror: ");
        text.push_str(&one_line(&reason.message));
        let place = reason.place.as_ref().map(|place| one_line(place));
        let label = reason.label.as_ref().map(|label| one_line(label));
        match (place, label) {
            (Some(place), Some(label)) => text.push_str(&format!("\n  --> {place}: {label}")),
            (Some(only), None) | (None, Some(only)) => text.push_str(&format!("\n  --> {only}")),
            (None, None) => {}
        }
        if let Some(help) = &reason.help {
            text.push_str(&format!("\n  = help: {}", one_line(help)));
        }
    }
    let hint = match problem.name.as_str() {
        "unauthenticated" => {
            Some("`jackfield login --host URL` keeps a token; JACKFIELD_TOKEN has one for once")
        }
        "file-managed" => Some("change it in the site file of the host"),
        _ => None,
    };
    if let Some(hint) = hint {
        text.push_str(&format!("\n  = help: {hint}"));
    }
    text
}

/// A text of an answer, fit to show; empty if it is not there.
pub(super) fn text_of(json: &Value, key: &str) -> String {
    match json.get(key) {
        Some(Value::String(text)) => one_line(text),
        Some(Value::Null) | None => String::new(),
        Some(other) => one_line(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admin::client::Reason;

    #[test]
    fn each_reason_is_told_with_its_place_and_its_remedy_and_steers_no_terminal() {
        let reason = |message: &str| Reason { message: message.into(), ..Reason::default() };
        let problem = Problem {
            status: 422,
            name: "document".into(),
            title: "The document is refused".into(),
            detail: None,
            reasons: vec![
                Reason {
                    place: Some("plugins.books".into()),
                    label: Some("granted here".into()),
                    help: Some("take it away".into()),
                    ..reason("the tenant may not grant `keyvalue`")
                },
                Reason { place: Some("routes.0".into()), ..reason("\u{1b}[2Junknown\nplugin") },
                reason("no place"),
            ],
            retry_after: None,
            json: json!(null),
        };
        snapbox::assert_data_eq!(
            told(&problem),
            snapbox::str![[r#"
error: The document is refused

error: the tenant may not grant `keyvalue`
  --> plugins.books: granted here
  = help: take it away

error: �[2Junknown�plugin
  --> routes.0

error: no place
"#]]
        );
    }
}
