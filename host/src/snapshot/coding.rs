//! Content codings: the names by which routes offer compression, and clients accept it (RFC 9110 §8.4.1).

use std::fmt;
use std::str::FromStr;

/// A content coding that answers can be compressed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Zstandard (RFC 8878).
    Zstd,
    /// Brotli (RFC 7932).
    Brotli,
    /// gzip (RFC 1952).
    Gzip,
}

/// The error of a name that is no coding's.
#[derive(Debug, thiserror::Error)]
#[error("there is no such coding: write \"zstd\", \"br\" or \"gzip\"")]
pub struct UnknownCoding;

impl Coding {
    /// Every coding.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// The coding's registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Coding {
    type Err = UnknownCoding;

    fn from_str(text: &str) -> Result<Self, UnknownCoding> {
        Self::ALL.into_iter().find(|coding| coding.as_str() == text).ok_or(UnknownCoding)
    }
}
