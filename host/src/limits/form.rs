//! The form of limits in a document: the limits that are not the default, by name, as numbers of their unit's
//! smallest part.
//!
//! Two plugins with the same limits have the same form, however their site file writes them.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Limit, Limits};

/// The name of the limit `response-body` of streamed answers, which has no row: the site file has one key for both.
const STREAMED_RESPONSE_BODY: &str = "streamed-response-body";

impl Serialize for Limits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let default = Self::default();
        let changed = Limit::ALL.iter().filter(|limit| self.get(**limit) != default.get(**limit));
        let changed = changed.map(|limit| (limit.name(), self.get(*limit)));
        let streamed = self.streamed_response_body.map(|bytes| (STREAMED_RESPONSE_BODY, bytes));
        serializer.collect_map(changed.chain(streamed))
    }
}

impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut limits = Self::default();
        for (name, parts) in BTreeMap::<String, u64>::deserialize(deserializer)? {
            if name == STREAMED_RESPONSE_BODY {
                limits.streamed_response_body = Some(parts);
                continue;
            }
            let limit = Limit::ALL.iter().find(|limit| limit.name() == name);
            let limit = *limit.ok_or_else(|| {
                let names: Vec<_> = Limit::ALL.iter().map(|limit| limit.name()).collect();
                D::Error::custom(format!("`{name}` is not a limit: the limits are {}", names.join(", ")))
            })?;
            let row = limit.row();
            if !(row.least..=row.most).contains(&parts) {
                let (least, most) = (row.least, row.most);
                return Err(D::Error::custom(format!(
                    "the limit `{name}` is {parts}: write {least} to {most}"
                )));
            }
            limits.set(limit, parts);
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_has_the_limits_that_are_not_the_default_and_gives_them_back() {
        assert_eq!(json!(Limits::default()), json!({}));
        let limits = Limits {
            cpu: Duration::from_micros(1500),
            memory: 64 << 20,
            streamed_response_body: Some(0),
            log_lines: 3,
            queue: 0,
            ..Limits::default()
        };
        let form = json!({
            "cpu": 1_500_000, "memory": 67_108_864, "streamed-response-body": 0, "log-lines": 3, "queue": 0,
        });
        assert_eq!(json!(limits), form);
        assert_eq!(serde_json::from_value::<Limits>(form).unwrap(), limits);
    }

    #[test]
    fn every_limit_of_the_table_goes_both_ways() {
        for limit in Limit::ALL {
            for parts in [limit.row().least, limit.row().most] {
                let mut limits = Limits::default();
                limits.set(*limit, parts);
                assert_eq!(limits.get(*limit), parts, "{limit}");
                assert_eq!(serde_json::from_value::<Limits>(json!(limits)).unwrap(), limits, "{limit}");
            }
        }
    }

    #[test]
    fn a_document_with_a_limit_that_is_none_or_is_out_of_bounds_is_refused() {
        let refusal = |form| serde_json::from_value::<Limits>(form).unwrap_err().to_string();
        assert!(refusal(json!({ "cup": 1 })).starts_with("`cup` is not a limit: the limits are cpu, wall, "));
        assert_eq!(refusal(json!({ "handles": 15 })), "the limit `handles` is 15: write 16 to 65536");
    }
}
