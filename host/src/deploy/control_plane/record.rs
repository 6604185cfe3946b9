//! The keys of records, their JSON, and pages of them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use super::error::unreadable;
use crate::store::{Edit, Order, Range, RecordError, Table, View};
use crate::tenant::TenantName;

/// The most items on a page, and those of a page that does not say.
const MOST_ON_A_PAGE: usize = 1000;
const ON_A_PAGE: usize = 100;

/// A page that is asked for.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// The `next` of the page before; none for the first page.
    pub after: Option<String>,
    /// The most items.
    pub limit: Option<usize>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The `after` of the next page; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The same page of other items.
    pub fn map<U>(self, item: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(item).collect(), next: self.next }
    }
}

impl PageRequest {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(ON_A_PAGE).clamp(1, MOST_ON_A_PAGE)
    }

    /// The page of the records whose keys begin with `prefix`.
    pub fn read<T: DeserializeOwned>(
        &self,
        view: &View<'_>,
        table: Table,
        prefix: &str,
        order: Order,
    ) -> Result<Page<(String, T)>, RecordError> {
        let limit = self.limit();
        let range = Range { prefix, after: self.after.as_deref(), order, limit: limit.saturating_add(1) };
        let mut records = view.list(table, range)?;
        let has_more = records.len() > limit;
        records.truncate(limit);
        let next = has_more.then(|| records.last().map(|(key, _)| key.clone())).flatten();
        let items = records.into_iter().map(|(key, record)| Ok((key, parse(&record)?)));
        Ok(Page { items: items.collect::<Result<_, RecordError>>()?, next })
    }
}

/// The key of a tenant's record.
pub(super) fn key(tenant: &TenantName, name: impl std::fmt::Display) -> String {
    format!("{tenant}\0{name}")
}

/// The beginning of the keys of a tenant's records.
pub(super) fn keys_of(tenant: &TenantName) -> String {
    format!("{tenant}\0")
}

/// A number as a part of a key: in the order of its digits.
pub(super) fn ordered(number: u64) -> String {
    format!("{number:020}")
}

/// The content of a record.
pub(super) fn parse<T: DeserializeOwned>(record: &[u8]) -> Result<T, RecordError> {
    serde_json::from_slice(record).map_err(|error| unreadable(&error))
}

/// The record of a content.
pub(super) fn written(content: &impl Serialize) -> Result<Vec<u8>, RecordError> {
    serde_json::to_vec(content).map_err(|error| unreadable(&error))
}

/// The content under a key.
pub(super) fn find<T: DeserializeOwned>(
    view: &View<'_>,
    table: Table,
    key: &str,
) -> Result<Option<T>, RecordError> {
    view.get(table, key)?.as_deref().map(parse).transpose()
}

/// The content under a key, in a change.
pub(super) fn find_in<T: DeserializeOwned>(
    edit: &Edit<'_>,
    table: Table,
    key: &str,
) -> Result<Option<T>, RecordError> {
    edit.get(table, key)?.as_deref().map(parse).transpose()
}

/// The range of the one last record of a prefix.
pub(super) fn last(prefix: &str) -> Range<'_> {
    Range { prefix, after: None, order: Order::Descending, limit: 1 }
}

/// All records of a prefix.
pub(super) fn all(prefix: &str) -> Range<'_> {
    Range { prefix, after: None, order: Order::Ascending, limit: usize::MAX }
}

/// The first record of a prefix.
pub(super) fn first(prefix: &str) -> Range<'_> {
    Range { limit: 1, ..all(prefix) }
}

/// The present time, as records and answers write it: RFC 3339 in UTC with milliseconds, so that later times are greater
/// texts.
pub fn now() -> String {
    let now = OffsetDateTime::now_utc();
    let (date, time) = (now.date(), now.time());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    let (hour, minute, second, millisecond) = time.as_hms_milli();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}
