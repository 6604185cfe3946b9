//! The policy: what the site file's `config` says, as numbers that the limiter takes.
//!
//! Owns every rule about valid configuration. Knows nothing of requests.

/// How much is allowed, in how long, and to whom.
#[derive(Debug, PartialEq)]
pub(crate) struct Policy {
    /// What callers are told that it is called: visible ASCII that needs no escape between quotes.
    pub(crate) name: String,
    /// What may be taken in every window, at least `cost`.
    pub(crate) requests: u32,
    /// The length of a window, from 1 ms to a day.
    pub(crate) window_ms: u32,
    /// Who is counted.
    pub(crate) key: KeyBy,
    /// What one request takes, at least 1.
    pub(crate) cost: u32,
}

/// What requests are counted by.
#[derive(Debug, PartialEq)]
pub(crate) enum KeyBy {
    /// The address that the request came from.
    Client,
    /// The value of the header field of this name, in lower case.
    Header(String),
    /// Nothing: all requests of the tenant's routes with this filter count together.
    Tenant,
}

const DAY_MS: u32 = 24 * 60 * 60 * 1000;

impl Policy {
    /// Read the pairs of `config` of a plugin that is called `plugin`, which is the name of a policy without one. The
    /// error names the key and says what would be right.
    pub(crate) fn read(pairs: &[(String, String)], plugin: String) -> Result<Self, String> {
        let mut policy = Self { name: plugin, requests: 100, window_ms: 60_000, key: KeyBy::Client, cost: 1 };
        for (name, value) in pairs {
            let wrong = |right: &str| format!("config `{name}` is `{value}`: {right}");
            match name.as_str() {
                "name" => policy.name = policy_name(value).map_err(wrong)?,
                "requests" => policy.requests = count(value).map_err(wrong)?,
                "cost" => policy.cost = count(value).map_err(wrong)?,
                "window" => policy.window_ms = duration_ms(value).map_err(wrong)?,
                "key" => policy.key = key_by(value).map_err(wrong)?,
                // A misspelt name that silently meant the default would be a limit that nobody set.
                _ => {
                    return Err(format!(
                        "config `{name}` is unknown: use `name`, `requests`, `window`, `key`, `cost`"
                    ));
                }
            }
        }
        if policy.cost > policy.requests {
            let Self { cost, requests, .. } = policy;
            return Err(format!(
                "config `cost` is `{cost}`: it cannot be more than `requests`, which is `{requests}`"
            ));
        }
        Ok(policy)
    }
}

/// A name is sent as a string of a structured field (RFC 9651 §3.3.3).
fn policy_name(text: &str) -> Result<String, &'static str> {
    let is_plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\');
    let is_name = (1..=64).contains(&text.len()) && text.bytes().all(is_plain);
    is_name
        .then(|| text.to_owned())
        .ok_or("give 1 to 64 visible ASCII characters, none of them `\"` or `\\`, such as `per-day`")
}

fn count(text: &str) -> Result<u32, &'static str> {
    text.parse()
        .ok()
        .filter(|&number| number > 0)
        .ok_or("give a whole number from 1 to 4294967295, such as `100`")
}

fn duration_ms(text: &str) -> Result<u32, &'static str> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = text.strip_suffix(unit).unwrap_or(text);
    let unit_ms = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "min" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    unit_ms
        .zip(number.parse::<u32>().ok())
        .and_then(|(unit_ms, number)| number.checked_mul(unit_ms))
        .filter(|window_ms| (1..=DAY_MS).contains(window_ms))
        .ok_or("give a whole number with `ms`, `s`, `min` or `h`, from `1ms` to `24h`, such as `60s`")
}

fn key_by(text: &str) -> Result<KeyBy, &'static str> {
    match (text, text.strip_prefix("header:")) {
        ("client", _) => Ok(KeyBy::Client),
        ("tenant", _) => Ok(KeyBy::Tenant),
        (_, Some(name)) if is_field_name(name) => Ok(KeyBy::Header(name.to_ascii_lowercase())),
        _ => Err("give `client`, `tenant` or `header:` and the name of a header, such as `header:x-api-key`"),
    }
}

/// Whether `name` is a token (RFC 9110 §5.6.2), as every field name is.
fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Policy, String> {
        let owned: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Policy::read(&owned, "limit".to_owned())
    }

    #[test]
    fn without_configuration_a_client_has_a_hundred_requests_a_minute() {
        let name = "limit".to_owned();
        let policy = Policy { name, requests: 100, window_ms: 60_000, key: KeyBy::Client, cost: 1 };
        assert_eq!(read(&[]), Ok(policy));
    }

    #[test]
    fn a_policy_is_called_as_its_plugin_or_as_it_says() {
        assert_eq!(read(&[]).map(|policy| policy.name).as_deref(), Ok("limit"));
        assert_eq!(read(&[("name", "per-day")]).map(|policy| policy.name).as_deref(), Ok("per-day"));
    }

    #[test]
    fn windows_are_written_as_in_the_site_file() {
        for (text, ms) in [("60s", 60_000), ("1min", 60_000), ("500ms", 500), ("24h", DAY_MS)] {
            assert_eq!(read(&[("window", text)]).map(|p| p.window_ms), Ok(ms), "{text}");
        }
    }

    #[test]
    fn keys_are_a_client_a_header_or_all_together() {
        for (text, key) in [
            ("client", KeyBy::Client),
            ("tenant", KeyBy::Tenant),
            ("header:X-API-Key", KeyBy::Header("x-api-key".to_owned())),
        ] {
            assert_eq!(read(&[("key", text)]).map(|p| p.key), Ok(key), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (name, value, right) in [
            ("requests", "0", "whole number"),
            ("requests", "-1", "whole number"),
            ("requests", "many", "whole number"),
            ("requests", "4294967296", "4294967295"),
            ("cost", "0", "whole number"),
            ("cost", "101", "more than `requests`"),
            ("name", "", "1 to 64"),
            ("name", "a b", "visible ASCII"),
            ("name", "a\"b", "visible ASCII"),
            ("name", "a\\b", "visible ASCII"),
            ("name", "é", "visible ASCII"),
            ("window", "60", "`60s`"),
            ("window", "0s", "`1ms`"),
            ("window", "25h", "`24h`"),
            ("window", "1d", "`h`"),
            ("window", "1 s", "`1ms`"),
            ("window", "1.5s", "whole number"),
            ("window", "99999999999999999999s", "`24h`"),
            ("window", "", "`60s`"),
            ("key", "ip", "`client`"),
            ("key", "header:", "`header:x-api-key`"),
            ("key", "header:a b", "`header:x-api-key`"),
            ("request", "100", "`requests`"),
        ] {
            let message = read(&[(name, value)]).unwrap_err();
            assert!(message.contains(&format!("config `{name}`")), "{message}");
            assert!(message.contains(right), "{message}");
        }
    }
}
