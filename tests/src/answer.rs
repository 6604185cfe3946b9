//! An answer, and what is expected of it.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

/// What came back.
#[derive(Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body, whole.
    pub body: Bytes,
    /// What was asked, where, and what the host logged: printed when an expectation fails.
    pub(crate) story: Story,
}

#[derive(Clone)]
pub(crate) struct Story {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) site: String,
    pub(crate) log: Vec<String>,
}

impl Answer {
    /// Expects this status, and gives the answer back for more.
    ///
    /// # Panics
    /// If it has another.
    #[track_caller]
    pub fn expect(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{self}");
        self
    }

    /// Expects a problem document of this type and status.
    ///
    /// # Panics
    /// If it is another, or none.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, problem: &str) -> &Self {
        self.expect(status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self}");
        let document = self.json();
        assert_eq!(document["type"], format!("urn:jackfield:problem:{problem}"), "{self}");
        assert_eq!(document["status"], status, "{self}");
        assert_eq!(document["request-id"].as_str(), self.header("x-request-id"), "{self}");
        self
    }

    /// The first value of a header field, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All values of a header field.
    pub fn header_all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
    }

    /// The id under which the host logged the request.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn request_id(&self) -> &str {
        self.header("x-request-id").unwrap_or_else(|| panic!("there is no request id\n{self}"))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("the body is no JSON: {error}\n{self}"))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Story { method, path, site, log } = &self.story;
        writeln!(f, "\n── asked ──\n{method} {path}")?;
        writeln!(f, "── answered ──\n{}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        writeln!(f, "\n{}", self.text())?;
        writeln!(f, "── site ──\n{site}")?;
        writeln!(f, "── log ──\n{}", log.join("\n"))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
