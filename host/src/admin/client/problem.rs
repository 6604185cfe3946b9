//! The ways in which a call fails: the host was not reached, did not answer as a host does, or refused.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::address::AddressError;

/// What stands before the name of a problem in its `type`.
const TYPE: &str = "urn:jackfield:problem:";

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The token cannot be sent to the host's address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
    /// The host cannot be reached.
    #[error("cannot connect to {address}: {source}{}", hint(source))]
    Connect {
        /// The host's address.
        address: String,
        /// The reason.
        source: io::Error,
    },
    /// The host took too long.
    #[error("{address} has not answered within {} s", time.as_secs())]
    Late {
        /// The host's address.
        address: String,
        /// The time that it had.
        time: Duration,
    },
    /// The connection ended before the answer did.
    #[error("the connection to {address} broke off")]
    Broken {
        /// The host's address.
        address: String,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is none that a host gives.
    #[error("{address} does not answer as the admin API of a Jackfield host does: {why}")]
    Strange {
        /// The host's address.
        address: String,
        /// The reason.
        why: String,
    },
    /// A file that is to be sent cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The host refused.
    #[error("{0}")]
    Problem(Box<Problem>),
}

/// A problem document (RFC 9457) of the admin API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct Problem {
    /// The status of the answer.
    pub status: u16,
    /// The name of the problem: `not-found`. Empty if the answer has none.
    pub name: String,
    /// The problem in a few words.
    pub title: String,
    /// The problem in this case.
    pub detail: Option<String>,
    /// The reasons, if a document or a component was refused.
    pub reasons: Vec<Reason>,
    /// The seconds after which it may be tried again.
    pub retry_after: Option<u64>,
    /// The document as it came.
    pub json: Value,
}

/// One reason for which a document or a component was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Reason {
    /// The kind of the reason.
    pub id: Option<String>,
    /// The place in the document.
    pub place: Option<String>,
    /// The fault.
    pub message: String,
    /// The words for the place.
    pub label: Option<String>,
    /// The remedy.
    pub help: Option<String>,
}

/// The keys of a problem document that are read here.
#[derive(Deserialize)]
struct Document {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    title: String,
    detail: Option<String>,
    #[serde(default)]
    diagnostics: Vec<Reason>,
}

impl Problem {
    /// Reads the body of an answer that is a problem. None if it is not a problem document.
    pub(super) fn parse(status: u16, retry_after: Option<u64>, json: Value) -> Option<Self> {
        let Document { kind, title, detail, diagnostics } = Document::deserialize(&json).ok()?;
        let name = kind.strip_prefix(TYPE).unwrap_or_default().to_owned();
        if name.is_empty() && title.is_empty() {
            return None;
        }
        Some(Self { status, name, title, detail, reasons: diagnostics, retry_after, json })
    }

    /// The problem in one sentence.
    fn sentence(&self) -> String {
        let title = if self.title.is_empty() { &self.name } else { &self.title };
        let mut text = match &self.detail {
            Some(detail) if detail.starts_with(title) => detail.clone(),
            Some(detail) if !title.is_empty() => format!("{title}: {detail}"),
            Some(detail) => detail.clone(),
            None => title.clone(),
        };
        if let Some(seconds) = self.retry_after {
            text.push_str(&format!("; try again in {seconds} s"));
        }
        text
    }
}

impl ClientError {
    /// The problem of this name, if it is one.
    pub fn problem(&self, name: &str) -> Option<&Problem> {
        match self {
            Self::Problem(problem) if problem.name == name => Some(problem),
            _ => None,
        }
    }

    /// True if there is no such thing, or none that may be seen.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Problem(problem) if problem.status == 404)
    }
}

/// What may help someone who cannot connect.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "; does a host serve there, with `admin` in its site file?"
        }
        io::ErrorKind::PermissionDenied => "; the socket is for the host's own user",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_is_told_in_one_sentence() {
        for (json, retry_after, expected) in [
            (json!({ "type": "urn:jackfield:problem:not-found", "title": "Not found" }), None, "Not found"),
            (
                json!({ "type": "urn:jackfield:problem:held", "title": "Held", "detail": "the revision waits" }),
                None,
                "Held: the revision waits",
            ),
            (
                json!({ "type": "urn:jackfield:problem:held", "title": "Held", "detail": "Held for approval" }),
                None,
                "Held for approval",
            ),
            (json!({ "type": "urn:jackfield:problem:slow-down" }), Some(30), "slow-down; try again in 30 s"),
            (json!({ "title": "Odd", "unknown": [1] }), None, "Odd"),
        ] {
            let problem = Problem::parse(400, retry_after, json.clone()).unwrap();
            assert_eq!((problem.to_string().as_str(), &problem.json), (expected, &json));
        }
    }

    #[test]
    fn the_reasons_of_a_refusal_are_read_as_far_as_they_go() {
        let json = json!({
            "type": "urn:jackfield:problem:document",
            "title": "Refused",
            "diagnostics": [
                { "id": "grant", "place": "plugins.books", "message": "not allowed", "label": null, "help": "ask" },
                { "message": "gone" },
            ],
        });
        let problem = Problem::parse(422, None, json).unwrap();
        assert_eq!(problem.name, "document");
        let reasons = [
            Reason {
                id: Some("grant".into()),
                place: Some("plugins.books".into()),
                message: "not allowed".into(),
                label: None,
                help: Some("ask".into()),
            },
            Reason { message: "gone".into(), ..Reason::default() },
        ];
        assert_eq!(problem.reasons, reasons);
    }

    #[test]
    fn what_is_no_problem_document_is_not_taken_for_one() {
        for json in [json!(null), json!([]), json!("no"), json!({}), json!({ "title": 7 })] {
            assert_eq!(Problem::parse(500, None, json.clone()), None, "{json}");
        }
    }
}
