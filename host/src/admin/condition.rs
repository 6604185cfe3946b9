//! The condition of a change: `if-match` (RFC 9110 §13.1.1) with the numbers of rollouts as entity tags.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderValue, header};

use super::problem::{Kind, Problem};

/// The entity tag of a rollout.
pub(super) fn tag(number: u64) -> HeaderValue {
    // A quoted number is always a value.
    HeaderValue::from_str(&format!("\"{number}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The numbers of the rollouts that a change may replace; none is any. A weak tag never matches, and neither does one
/// that is no number.
pub(super) fn instead_of(headers: &HeaderMap) -> Result<Option<BTreeSet<u64>>, Problem> {
    let mut fields = headers.get_all(header::IF_MATCH).iter().peekable();
    if fields.peek().is_none() {
        let detail = "send the `etag` of the rollout that this one replaces as `if-match`";
        return Err(Problem::new(Kind::ConditionRequired, detail));
    }
    let mut numbers = BTreeSet::new();
    for field in fields {
        let text = field.to_str().map_err(|_| malformed())?;
        if text.trim() == "*" {
            return Ok(None);
        }
        for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            let is_weak = tag.starts_with("W/");
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).ok_or_else(malformed)?;
            // `"03"` is another tag than `"3"`.
            let number = inner.parse::<u64>().ok().filter(|number| number.to_string() == inner);
            numbers.extend(number.filter(|_| !is_weak));
        }
    }
    Ok(Some(numbers))
}

fn malformed() -> Problem {
    Problem::malformed("`if-match` takes entity tags, such as \"3\" with its quotes, or *")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_a_list_of_strong_tags_or_anything() {
        let numbers = |numbers: &[u64]| Some(numbers.iter().copied().collect::<BTreeSet<_>>());
        for (fields, expected) in [
            (&["\"3\""][..], numbers(&[3])),
            (&["\"3\", \"5\"", "\"0\""], numbers(&[0, 3, 5])),
            (&["W/\"3\""], numbers(&[])),
            (&["\"03\", \"abc\", \"+3\""], numbers(&[])),
            (&["*"], None),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(header::IF_MATCH, HeaderValue::from_str(field).unwrap());
            }
            assert_eq!(instead_of(&headers).unwrap(), expected, "{fields:?}");
        }
        for wrong in ["3", "\"3", "W/3"] {
            let headers = HeaderMap::from_iter([(header::IF_MATCH, HeaderValue::from_static(wrong))]);
            assert!(instead_of(&headers).is_err(), "{wrong}");
        }
        assert!(instead_of(&HeaderMap::new()).is_err());
    }
}
