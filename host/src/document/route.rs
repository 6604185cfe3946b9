//! A route of a tenant document.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, Method};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};

use super::text;
use crate::snapshot::{Coding, HostPattern, RoutePattern, Rule};
use crate::tenant::PluginName;

/// A route: the requests that it takes, and the plugins that they go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// The pattern that the path must fit.
    #[serde(rename = "path", with = "text")]
    pub pattern: RoutePattern,
    /// The hosts that the route answers for; empty is all of the tenant's.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "text::list")]
    pub hosts: Vec<HostPattern>,
    /// The methods, at least one; `None` is every method.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "methods")]
    pub methods: Option<Vec<Method>>,
    /// The headers that a request must have; no name is there twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "headers")]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The filters before the plugin, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<PluginName>,
    /// The plugin that answers.
    pub plugin: PluginName,
    /// The codings that answers may be compressed in, the most wanted first; none is there twice. Empty is no
    /// compression.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "compression")]
    pub compression: Vec<Coding>,
}

impl RouteSpec {
    /// A route that takes every request for these paths to this plugin.
    pub fn new(pattern: RoutePattern, plugin: PluginName) -> Self {
        Self {
            pattern,
            hosts: Vec::new(),
            methods: None,
            headers: Vec::new(),
            filters: Vec::new(),
            plugin,
            compression: Vec::new(),
        }
    }

    /// The rule by which requests are matched, with its target.
    pub fn rule<T>(&self, target: T) -> Rule<T> {
        Rule {
            pattern: self.pattern.clone(),
            hosts: self.hosts.clone(),
            methods: self.methods.clone(),
            headers: self.headers.clone(),
            target,
        }
    }

    /// Sorts the lists whose order means nothing.
    pub(super) fn put_in_order(&mut self) {
        self.hosts.sort_by_cached_key(ToString::to_string);
        if let Some(methods) = &mut self.methods {
            methods.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        }
        self.headers.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    }
}

mod methods {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        methods: &Option<Vec<Method>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        text::list::serialize(&methods.clone().unwrap_or_default(), serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<Method>>, D::Error> {
        let methods: Vec<Method> = text::list::deserialize(deserializer)?;
        if methods.is_empty() {
            return Err(D::Error::custom(
                "name at least one method, or leave `methods` out for every method",
            ));
        }
        Ok(Some(methods))
    }
}

/// The JSON form of headers: an object of names and values. Values are ASCII wherever a document comes from.
mod headers {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        headers: &[(HeaderName, HeaderValue)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        serializer.collect_map(headers.iter().map(|(name, value)| (name.as_str(), text(value))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (name, value) in &texts {
            let unfit = |what| D::Error::custom(format_args!("`{}` is no {what}", name.escape_debug()));
            let parsed: HeaderName = name.parse().map_err(|_| unfit("header name"))?;
            let value =
                HeaderValue::from_str(value).map_err(|_| unfit("header with a value that can be sent"))?;
            if headers.iter().any(|(known, _)| *known == parsed) {
                return Err(unfit("second header: its name is there already"));
            }
            headers.push((parsed, value));
        }
        Ok(headers)
    }
}

mod compression {
    use super::*;

    pub(super) fn serialize<S: Serializer>(codings: &[Coding], serializer: S) -> Result<S::Ok, S::Error> {
        text::list::serialize(&codings.to_vec(), serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Coding>, D::Error> {
        let codings: Vec<Coding> = text::list::deserialize(deserializer)?;
        let is_again =
            |(index, coding): (usize, &Coding)| codings.iter().take(index).any(|known| known == coding);
        if codings.iter().enumerate().any(is_again) {
            return Err(D::Error::custom("a coding is there twice in `compression`: take one away"));
        }
        Ok(codings)
    }
}
