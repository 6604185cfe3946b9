//! The JSON form of limits and of `reuse`: sizes in bytes, durations in nanoseconds, defaults left out.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::tenant::{Limits, Reuse};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Limits", rename_all = "kebab-case", deny_unknown_fields, default = "Limits::default")]
struct LimitsForm {
    #[serde(with = "nanoseconds")]
    cpu: Duration,
    #[serde(with = "nanoseconds")]
    wall: Duration,
    #[serde(with = "nanoseconds")]
    stream: Duration,
    memory: u64,
    request_body: u64,
    response_body: u64,
    streamed_response_body: Option<u64>,
    outbound: u32,
    outbound_bytes: u64,
    handles: usize,
    tables: usize,
    fields: u64,
    random: u64,
    concurrency: usize,
    queue: usize,
    #[serde(with = "nanoseconds")]
    queue_wait: Duration,
    log_lines: u32,
    log_bytes: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Reuse", deny_unknown_fields, default = "Reuse::default")]
struct ReuseForm {
    calls: u32,
    #[serde(with = "nanoseconds")]
    age: Duration,
    #[serde(with = "nanoseconds")]
    idle: Duration,
}

/// The limits that are not the default, by their names.
pub(super) fn written(limits: &Limits) -> Map<String, Value> {
    let all = |limits| LimitsForm::serialize(limits, serde_json::value::Serializer);
    without_defaults(all(limits), all(&Limits::default()))
}

fn without_defaults<E>(all: Result<Value, E>, defaults: Result<Value, E>) -> Map<String, Value> {
    let (Ok(Value::Object(all)), Ok(defaults)) = (all, defaults) else { return Map::new() };
    all.into_iter().filter(|(name, value)| defaults.get(name) != Some(value)).collect()
}

pub(super) fn serialize<S: Serializer>(limits: &Limits, serializer: S) -> Result<S::Ok, S::Error> {
    written(limits).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Limits, D::Error> {
    LimitsForm::deserialize(deserializer)
}

pub(super) mod reuse {
    use super::*;

    pub(in crate::document) fn serialize<S: Serializer>(
        reuse: &Reuse,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let all = |reuse| ReuseForm::serialize(reuse, serde_json::value::Serializer);
        without_defaults(all(reuse), all(&Reuse::default())).serialize(serializer)
    }

    pub(in crate::document) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Reuse, D::Error> {
        ReuseForm::deserialize(deserializer)
    }
}

mod nanoseconds {
    use super::*;

    pub(super) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_nanos)
    }
}
