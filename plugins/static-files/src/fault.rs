//! The faults of a file system, as far as a caller may learn of them.

use alloc::borrow::ToOwned;
use alloc::string::String;

use crate::bindings::wasi::filesystem::types::ErrorCode;

/// Why there is no file.
#[derive(Debug, PartialEq)]
pub(crate) enum Fault {
    /// 404: nothing that may be served has this name.
    Missing,
    /// 403: it is there, and the host's process may not read it.
    Forbidden,
    /// 500: the reason is for the operator.
    Failed(String),
}

impl Fault {
    /// The reason, for the operator.
    #[cfg_attr(test, expect(dead_code, reason = "the plug alone tells it"))]
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Missing => "there is nothing",
            Self::Forbidden => "it may not be read",
            Self::Failed(reason) => reason,
        }
    }
}

impl From<ErrorCode> for Fault {
    fn from(code: ErrorCode) -> Self {
        match code {
            // A host does not permit what leads out of the folder, and what is neither file nor folder: a caller need
            // not learn that it is there.
            ErrorCode::NoEntry
            | ErrorCode::NotDirectory
            | ErrorCode::Loop
            | ErrorCode::NameTooLong
            | ErrorCode::NotPermitted => Self::Missing,
            ErrorCode::Access => Self::Forbidden,
            other => Self::Failed(other.name().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_by_the_host_is_not_there_and_what_is_broken_is_the_operators() {
        for (code, expected) in [
            (ErrorCode::NoEntry, Fault::Missing),
            (ErrorCode::NotDirectory, Fault::Missing),
            (ErrorCode::Loop, Fault::Missing),
            (ErrorCode::NameTooLong, Fault::Missing),
            (ErrorCode::NotPermitted, Fault::Missing),
            (ErrorCode::Access, Fault::Forbidden),
            (ErrorCode::Io, Fault::Failed("io".into())),
            (ErrorCode::InsufficientMemory, Fault::Failed("insufficient-memory".into())),
        ] {
            assert_eq!(Fault::from(code), expected);
        }
    }
}
