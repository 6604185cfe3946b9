//! Who is calling, and what that role may do.
//!
//! Tokens come from the configuration, as SHA-256 digests: `token.alice = "editor:<64 hex digits>"`. A
//! digest without salt or stretching is enough for tokens that are long and random, not for passwords.

use crate::bindings::jackfield::plugin::types::RequestHead;
use crate::digest;
use crate::host::config;
use crate::problem::{Failure, Problem};

/// What a caller may do; a later role may do all that an earlier one may.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) enum Role {
    /// Reads what is not open to everybody.
    Viewer,
    /// Changes books.
    Editor,
}

/// Lets the call go on if its caller has the role `needed`, or a higher one.
pub(crate) fn require(needed: Role, head: &RequestHead) -> Result<(), Failure> {
    let Some(token) = bearer_token(head) else { return Err(Problem::no_token().into()) };
    let settings =
        config::get_all().map_err(|error| Failure::Config(format!("reading the tokens: {error:?}")))?;
    let known = known_tokens(&settings).map_err(Failure::Config)?;
    match role_of(&known, token) {
        None => Err(Problem::unknown_token().into()),
        Some(role) if role < needed => Err(Problem::forbidden().into()),
        Some(_) => Ok(()),
    }
}

/// The token of `Authorization: Bearer <token>`. A request with two of that field has none: it does not
/// say which one counts.
fn bearer_token(head: &RequestHead) -> Option<&[u8]> {
    let mut values = head.headers.iter().filter(|(name, _)| name == "authorization").map(|(_, value)| value);
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

/// A token's digest, and the role that it gives.
#[derive(Debug, PartialEq)]
struct KnownToken {
    role: Role,
    sha256: String,
}

fn known_tokens(settings: &[(String, String)]) -> Result<Vec<KnownToken>, String> {
    let tokens = settings.iter().filter(|(key, _)| key.starts_with("token."));
    tokens.map(|(key, value)| known_token(value).ok_or_else(|| wrong_token(key))).collect()
}

fn known_token(value: &str) -> Option<KnownToken> {
    let (role, sha256) = value.split_once(':')?;
    let role = match role {
        "viewer" => Role::Viewer,
        "editor" => Role::Editor,
        _ => return None,
    };
    let is_digest = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| KnownToken { role, sha256: sha256.to_ascii_lowercase() })
}

/// Does not repeat the value: whoever put a token there by mistake should not find it in the log.
fn wrong_token(key: &str) -> String {
    format!("config `{key}` must be `editor:` or `viewer:` and the SHA-256 of the token in 64 hex digits")
}

/// The role that `token` gives. Every known token is looked at, and every digit of it, so that the time
/// this takes tells nothing about how close a guess was.
fn role_of(known: &[KnownToken], token: &[u8]) -> Option<Role> {
    let presented = digest::sha256_hex(token);
    known.iter().fold(None, |found, known| {
        if same_in_constant_time(known.sha256.as_bytes(), presented.as_bytes()) {
            Some(known.role)
        } else {
            found
        }
    })
}

fn same_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    let difference = left.iter().zip(right).fold(0, |difference, (left, right)| difference | (left ^ right));
    left.len() == right.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(authorization: &[&str]) -> RequestHead {
        let field = |value: &&str| ("authorization".to_owned(), value.as_bytes().to_vec());
        let headers = authorization.iter().map(field).collect();
        RequestHead { method: "GET".into(), path: "/".into(), query: None, headers }
    }

    #[test]
    fn a_bearer_token_is_read_from_one_authorization_field() {
        for (fields, expected) in [
            (&["Bearer abc"][..], Some("abc")),
            (&["bearer abc"], Some("abc")),
            (&["BEARER   abc "], Some("abc")),
            (&["Bearer "], None),
            (&["Bearer"], None),
            (&["Bearerabc"], None),
            (&["Basic abc"], None),
            (&[""], None),
            (&[], None),
            (&["Bearer abc", "Bearer def"], None),
        ] {
            assert_eq!(bearer_token(&head(fields)), expected.map(str::as_bytes), "{fields:?}");
        }
    }

    #[test]
    fn a_token_gives_the_role_that_the_config_says() {
        let known = [
            KnownToken { role: Role::Viewer, sha256: digest::sha256_hex(b"look") },
            KnownToken { role: Role::Editor, sha256: digest::sha256_hex(b"write") },
        ];
        assert_eq!(role_of(&known, b"look"), Some(Role::Viewer));
        assert_eq!(role_of(&known, b"write"), Some(Role::Editor));
        assert_eq!(role_of(&known, b"writ"), None);
        assert_eq!(role_of(&known, known[1].sha256.as_bytes()), None, "a leaked digest is no token");
        assert_eq!(role_of(&[], b"write"), None);
    }

    #[test]
    fn a_config_with_a_wrong_token_is_refused_without_repeating_it() {
        let digest = digest::sha256_hex(b"write");
        let good = [
            ("page-size".to_owned(), "20".to_owned()),
            ("token.a".to_owned(), format!("editor:{}", digest.to_uppercase())),
        ];
        assert_eq!(known_tokens(&good), Ok(vec![KnownToken { role: Role::Editor, sha256: digest.clone() }]));
        for value in
            ["write", "editor:write", &format!("owner:{digest}"), &format!("editor:{digest}0"), &digest]
        {
            let error = known_tokens(&[("token.a".to_owned(), value.to_owned())]).unwrap_err();
            assert!(error.contains("`token.a`") && !error.contains(value), "{error}");
        }
    }
}
