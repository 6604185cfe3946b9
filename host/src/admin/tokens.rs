//! Tokens: who has one may ask over TCP. The text of a token is `jf_ID_SECRET`; kept is a digest of the secret.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use super::caller::{Caller, Scope};
use super::problem::Problem;
use crate::deploy::{
    Actor, AuditEvent, ControlError, ControlPlane, ManagedBy, Page, PageRequest, append_to_audit, now,
};
use crate::sandbox::Digest;
use crate::store::{Edit, Order, Range, RecordError, Stop, StoreError, Table};
use crate::tenant::TenantName;

/// The most tokens of a host.
const MOST_TOKENS: usize = 10_000;

/// The longest name of a token, in bytes.
const MAX_NAME_BYTES: usize = 100;

/// The random bytes of an id and of a secret.
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// The tokens of a host.
#[derive(Clone)]
pub(super) struct Tokens {
    plane: Arc<ControlPlane>,
}

/// A token, without its text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Token {
    /// The id, which is a part of the text.
    pub(super) id: String,
    /// The name, by which people know it.
    name: String,
    /// The tenant whose token it is; `null` is the operator's.
    tenant: Option<TenantName>,
    /// The time when it was made (RFC 3339).
    created: String,
    /// The time when it ends to be valid (RFC 3339); `null` is never.
    expires: Option<String>,
}

/// A token and its text.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeToken {
    #[serde(flatten)]
    token: Token,
    /// The text, which is nowhere else.
    #[serde(rename = "token")]
    text: String,
}

/// A token that is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRequest {
    /// The name: 1 to 100 bytes.
    name: String,
    /// The tenant whose token it is; left out, the operator's.
    tenant: Option<TenantName>,
    /// The time when it ends to be valid (RFC 3339); left out, never.
    expires: Option<String>,
}

/// The record of a token.
#[derive(Debug, Serialize, Deserialize)]
struct TokenRecord {
    name: String,
    tenant: Option<TenantName>,
    created: String,
    expires: Option<String>,
    /// The digest of the secret.
    secret: Digest,
}

impl TokenRecord {
    /// True if the token's time is over. A time that cannot be read is over.
    fn is_over(&self) -> bool {
        let end = self.expires.as_ref().map(|expires| OffsetDateTime::parse(expires, &Rfc3339));
        end.is_some_and(|end| !end.is_ok_and(|end| end > OffsetDateTime::now_utc()))
    }

    fn described(self, id: String) -> Token {
        let Self { name, tenant, created, expires, secret: _ } = self;
        Token { id, name, tenant, created, expires }
    }
}

impl Tokens {
    pub(super) fn new(plane: Arc<ControlPlane>) -> Self {
        Self { plane }
    }

    /// The caller who presents this text; none if it is no valid token.
    pub(super) async fn caller(&self, text: &str) -> Result<Option<Caller>, StoreError> {
        let Some((id, secret)) = text.strip_prefix("jf_").and_then(|rest| rest.split_once('_')) else {
            return Ok(None);
        };
        let Some(record) = self.valid(id).await? else { return Ok(None) };
        let presented = Digest::of(secret.as_bytes()).to_string();
        let is_it = presented.as_bytes().ct_eq(record.secret.to_string().as_bytes());
        Ok(bool::from(is_it).then(|| Caller {
            actor: Actor::token(&record.name, id),
            scope: record.tenant.map_or(Scope::Operator, Scope::Tenant),
            token: Some(id.to_owned()),
        }))
    }

    /// True if a caller who was let in would still be.
    pub(super) async fn is_still(&self, caller: &Caller) -> Result<bool, StoreError> {
        match &caller.token {
            None => Ok(true),
            Some(id) => Ok(self.valid(id).await?.is_some()),
        }
    }

    async fn valid(&self, id: &str) -> Result<Option<TokenRecord>, StoreError> {
        let id = id.to_owned();
        let read = self.plane.records().read(move |view| view.get(Table::Tokens, &id)).await?;
        let record = read.and_then(|record| serde_json::from_slice::<TokenRecord>(&record).ok());
        Ok(record.filter(|record| !record.is_over()))
    }

    /// All tokens, in the order of their ids.
    pub(super) async fn list(&self, page: PageRequest) -> Result<Page<Token>, Problem> {
        let read = self
            .plane
            .records()
            .read(move |view| page.read::<TokenRecord>(view, Table::Tokens, "", Order::Ascending));
        Ok(read.await.map_err(ControlError::from)?.map(|(id, record)| record.described(id)))
    }

    /// Makes a token. Its text is in the answer, and nowhere else.
    pub(super) async fn make(&self, request: TokenRequest, by: &Actor) -> Result<MadeToken, Problem> {
        let TokenRequest { name, tenant, expires } = request;
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
            let detail = format!("`name` takes 1 to {MAX_NAME_BYTES} bytes without control characters");
            return Err(Problem::malformed(detail));
        }
        let expires = expires.map(|expires| end(&expires)).transpose()?;
        let is_file_managed = match &tenant {
            Some(tenant) => self.plane.tenant(tenant).await?.managed_by == ManagedBy::File,
            None => false,
        };
        let id = random::<ID_BYTES>()?;
        let secret = random::<SECRET_BYTES>()?;
        let digest = Digest::of(secret.as_bytes());
        let record = TokenRecord { name, tenant, created: now(), expires, secret: digest };
        let made_id = id.clone();
        let by = by.clone();
        let make = move |edit: &mut Edit<'_>| {
            // A tenant that is removed at this moment takes its tokens with it; one that is gone gets none.
            if let Some(tenant) = record.tenant.as_ref().filter(|_| !is_file_managed)
                && edit.get(Table::Tenants, tenant.as_str())?.is_none()
            {
                let name = tenant.to_string();
                return Err(ControlError::NotFound { what: "tenant", name }.into());
            }
            make_room(edit)?;
            edit.put(Table::Tokens, made_id.clone(), written(&record)?);
            let event = AuditEvent::TokenMade { token: made_id.clone(), name: record.name.clone() };
            let number = append_to_audit(edit, &by, record.tenant.as_ref(), event)?;
            Ok((record.described(made_id), number))
        };
        let token = self.change(make).await?;
        Ok(MadeToken { token, text: format!("jf_{id}_{secret}") })
    }

    /// Removes a token. Its calls that are under way go on.
    pub(super) async fn remove(&self, id: String, by: &Actor) -> Result<(), Problem> {
        let by = by.clone();
        let remove = move |edit: &mut Edit<'_>| {
            let Some(record) = edit.get(Table::Tokens, &id)? else {
                return Err(ControlError::NotFound { what: "token", name: id }.into());
            };
            let tenant = parsed(&record)?.tenant;
            edit.remove(Table::Tokens, id.clone());
            let number = append_to_audit(edit, &by, tenant.as_ref(), AuditEvent::TokenRemoved { token: id })?;
            Ok(((), number))
        };
        self.change(remove).await
    }

    /// Makes a change with its entry in the audit log, to its end, also if the caller stops waiting.
    async fn change<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Edit<'_>) -> Result<(R, u64), Stop<ControlError>> + Send + 'static,
    ) -> Result<R, Problem> {
        // All changes of tokens share one turn at the writer.
        let turn = TenantName::parse("operator").map_err(|error| Problem::of_the_host(error.to_string()))?;
        let plane = self.plane.clone();
        let changed = tokio::spawn(async move {
            let (result, number) = plane.records().change(&turn, work).await??;
            plane.entry_is_there(number);
            Ok::<_, ControlError>(result)
        });
        let changed = changed.await.map_err(|error| Problem::of_the_host(error.to_string()))?;
        Ok(changed?)
    }
}

/// Removes the tokens whose time is over, and refuses one more than there may be.
fn make_room(edit: &mut Edit<'_>) -> Result<(), Stop<ControlError>> {
    let all = Range { prefix: "", after: None, order: Order::Ascending, limit: usize::MAX };
    let mut left = 0_usize;
    for (id, record) in edit.list(Table::Tokens, all)? {
        if parsed(&record)?.is_over() {
            edit.remove(Table::Tokens, id);
        } else {
            left = left.saturating_add(1);
        }
    }
    if left < MOST_TOKENS {
        Ok(())
    } else {
        Err(ControlError::TooMany { what: "tokens", most: MOST_TOKENS }.into())
    }
}

fn parsed(record: &[u8]) -> Result<TokenRecord, ControlError> {
    serde_json::from_slice(record)
        .map_err(|error| ControlError::Host(format!("the record of a token cannot be read: {error}")))
}

fn written(record: &TokenRecord) -> Result<Vec<u8>, RecordError> {
    serde_json::to_vec(record)
        .map_err(|error| RecordError::Unreadable(format!("a token has no JSON form: {error}")))
}

/// The end of a token's time, in UTC.
fn end(text: &str) -> Result<String, Problem> {
    let end = OffsetDateTime::parse(text, &Rfc3339).ok().filter(|end| *end > OffsetDateTime::now_utc());
    let end = end.and_then(|end| end.to_offset(time::UtcOffset::UTC).format(&Rfc3339).ok());
    end.ok_or_else(|| {
        Problem::malformed(format!("`expires` is `{text}`: write a time to come, as in 2030-01-31T12:00:00Z"))
    })
}

/// Random bytes in hexadecimal digits.
fn random<const BYTES: usize>() -> Result<String, Problem> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Problem::of_the_host(format!("the system has no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
