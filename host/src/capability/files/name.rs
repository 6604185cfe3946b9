//! The name of a mount.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a mount: an absolute path, by which a plugin finds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MountName(String);

/// The most bytes of a mount's name.
const MAX_NAME_BYTES: usize = 255;

/// The reason why a text is not a mount's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountNameError {
    /// The text does not begin with `/`.
    #[error("it must begin with `/`")]
    Relative,
    /// A segment is empty, `.` or `..`, or has a control character.
    #[error("its segments are names, with one `/` between two of them and none at its end")]
    Segment,
    /// The text is too long.
    #[error("it has more than {MAX_NAME_BYTES} bytes")]
    Length,
}

impl MountName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MountName {
    type Err = MountNameError;

    fn from_str(text: &str) -> Result<Self, MountNameError> {
        let rest = text.strip_prefix('/').ok_or(MountNameError::Relative)?;
        let is_name =
            |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains(char::is_control);
        if text.len() > MAX_NAME_BYTES {
            Err(MountNameError::Length)
        } else if rest.is_empty() || rest.split('/').all(is_name) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MountNameError::Segment)
        }
    }
}

impl TryFrom<String> for MountName {
    type Error = MountNameError;

    fn try_from(text: String) -> Result<Self, MountNameError> {
        text.parse()
    }
}

impl From<MountName> for String {
    fn from(name: MountName) -> Self {
        name.0
    }
}

impl fmt::Display for MountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
