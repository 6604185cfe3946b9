//! The JSON form of `reuse`: durations in nanoseconds, defaults left out.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::Reuse;

/// The JSON form of [`Reuse`]. A field that is none is the default.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReuseForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle: Option<u64>,
}

pub(super) fn serialize<S: Serializer>(reuse: &Reuse, serializer: S) -> Result<S::Ok, S::Error> {
    let default = Reuse::default();
    let nanoseconds = |time: Duration, default: Duration| {
        (time != default).then(|| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    };
    let form = ReuseForm {
        calls: (reuse.calls != default.calls).then_some(reuse.calls),
        age: nanoseconds(reuse.age, default.age),
        idle: nanoseconds(reuse.idle, default.idle),
    };
    form.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reuse, D::Error> {
    let ReuseForm { calls, age, idle } = ReuseForm::deserialize(deserializer)?;
    let default = Reuse::default();
    Ok(Reuse {
        calls: calls.unwrap_or(default.calls),
        age: age.map_or(default.age, Duration::from_nanos),
        idle: idle.map_or(default.idle, Duration::from_nanos),
    })
}
