//! A token of the admin API. Its text is sent, and never shown.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;

/// The longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 512;

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// The error of a text that is not a token. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not a token of Jackfield: one begins with `jf_`, and has letters, digits, `_` and `-` alone"
)]
pub struct TokenError;

impl Token {
    /// The text, for the file that keeps it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The value of the field `authorization`.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let is_token =
            text.starts_with("jf_") && text.len() <= MAX_TOKEN_BYTES && text.bytes().all(is_letter);
        if is_token { Ok(Self(text.to_owned())) } else { Err(TokenError) }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_shown() {
        let token: Token = "jf_4f0c_hunter2".parse().unwrap();
        let shown = format!("{token:?} {:?}", token.authorization().unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        for text in ["", "hunter2", "jf_a b", "jf_a\nb", "jf_ä", &format!("jf_{}", "a".repeat(600))] {
            assert_eq!(text.parse::<Token>(), Err(TokenError), "{text}");
        }
    }
}
