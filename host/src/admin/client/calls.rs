//! The calls of the API: one method each.

use std::fmt::Write;
use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::answers::{Page, Published, Rollout};
use super::call::{Answer, Call, CallBody, Client};
use super::problem::ClientError;
use super::upload::{FileBody, Upload};
use crate::sandbox::Digest;
use crate::tenant::{SecretName, TenantName};

/// The time for a call that the host answers at once.
const AT_ONCE: Duration = Duration::from_secs(30);

/// The time for a call for which the host may compile components: some of them, each for the time of the host's
/// `compile-time`.
const COMPILING: Duration = Duration::from_secs(15 * 60);

/// The slowest upload that is waited for, in bytes a second.
const LEAST_UPLOAD_BYTES: u64 = 32 * 1024;

/// The items that are asked for at a time.
const PAGE: usize = 200;

/// The calls about one tenant.
#[derive(Clone, Copy)]
pub struct TenantCalls<'c> {
    client: &'c Client,
    tenant: &'c TenantName,
}

/// The calls about tokens.
#[derive(Clone, Copy)]
pub struct Tokens<'c>(&'c Client);

impl Client {
    /// Asks whether the host takes this client's token. A tenant's token is taken too: the host knows its tenant, and
    /// says nothing of itself.
    pub async fn check_token(&self) -> Result<(), ClientError> {
        match self.get("/v1/host").await {
            Err(ClientError::Problem(problem)) if matches!(problem.status, 403 | 404) => Ok(()),
            answer => answer.map(|_| ()),
        }
    }

    /// All tenants, up to `most`.
    pub async fn tenants(&self, most: usize) -> Result<Vec<Value>, ClientError> {
        self.list("/v1/tenants", most).await
    }

    /// The calls about tokens.
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens(self)
    }

    /// The calls about one tenant.
    pub fn of<'c>(&'c self, tenant: &'c TenantName) -> TenantCalls<'c> {
        TenantCalls { client: self, tenant }
    }

    /// The latest entries of the audit log, of one tenant or of all, latest first.
    pub async fn audit(&self, tenant: Option<&TenantName>, most: usize) -> Result<Vec<Value>, ClientError> {
        let path = match tenant {
            Some(tenant) => format!("/v1/tenants/{tenant}/audit"),
            None => "/v1/audit".to_owned(),
        };
        self.list(&path, most).await
    }

    async fn get(&self, path: &str) -> Result<Answer, ClientError> {
        self.plain(Method::GET, path, CallBody::Nothing, AT_ONCE).await
    }

    async fn plain(
        &self,
        method: Method,
        path: &str,
        body: CallBody,
        patience: Duration,
    ) -> Result<Answer, ClientError> {
        self.call(Call { method, path, body, if_match: None, patience }).await
    }

    /// The first `most` items of a list.
    async fn list(&self, path: &str, most: usize) -> Result<Vec<Value>, ClientError> {
        let mut items = Vec::new();
        let mut after = String::new();
        while items.len() < most {
            let limit = most.saturating_sub(items.len()).min(PAGE);
            let page: Page = self.get(&format!("{path}?limit={limit}{after}")).await?.read()?;
            let is_empty = page.items.is_empty();
            items.extend(page.items);
            match page.next {
                Some(next) if !is_empty => after = format!("&after={}", escaped(&next)),
                _ => break,
            }
        }
        items.truncate(most);
        Ok(items)
    }
}

impl TenantCalls<'_> {
    /// The tenant.
    pub async fn show(self) -> Result<Answer, ClientError> {
        self.client.get(&self.path("")).await
    }

    /// Makes the tenant, or gives it other hosts and another quota.
    pub async fn set(self, tenant: Value) -> Result<Answer, ClientError> {
        self.client.plain(Method::PUT, &self.path(""), CallBody::Json(tenant), AT_ONCE).await
    }

    /// Removes the tenant with all that it has.
    pub async fn remove(self) -> Result<Answer, ClientError> {
        self.delete("").await
    }

    /// What the host knows of an artifact; none if it does not have it.
    pub async fn artifact(self, digest: Digest) -> Result<Option<Value>, ClientError> {
        match self.client.get(&self.path(&format!("/artifacts/{digest}"))).await {
            Ok(answer) => Ok(Some(answer.json)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a component. `sent` is told of each piece how many bytes it had.
    ///
    /// # Errors
    /// Also if the file is another one by now than the one that was surveyed.
    pub async fn upload(
        self,
        upload: &Upload,
        sent: impl Fn(u64) + Send + Unpin + 'static,
    ) -> Result<Answer, ClientError> {
        let failed = |source| ClientError::File { path: upload.path.clone(), source };
        let body = FileBody::open(upload, sent).await.map_err(failed)?;
        let seconds = upload.bytes.checked_div(LEAST_UPLOAD_BYTES).unwrap_or(0);
        let patience = COMPILING.saturating_add(Duration::from_secs(seconds));
        let body = CallBody::Wasm(body.boxed_unsync());
        let answer = self.client.plain(Method::POST, &self.path("/artifacts"), body, patience).await?;
        let digest = answer.json.get("digest").and_then(Value::as_str);
        if digest != Some(&upload.digest.to_string()) {
            return Err(failed(std::io::Error::other("it was changed while it was sent; try again")));
        }
        Ok(answer)
    }

    /// Asks what a revision of this document would be, without keeping it.
    pub async fn try_revision(self, document: &Value) -> Result<(Published, Value), ClientError> {
        self.revision_of("/revisions?dry-run=true", document).await
    }

    /// Makes a revision of this document. It is not live yet.
    pub async fn add_revision(self, document: &Value) -> Result<(Published, Value), ClientError> {
        self.revision_of("/revisions", document).await
    }

    async fn revision_of(self, path: &str, document: &Value) -> Result<(Published, Value), ClientError> {
        let body = CallBody::Json(document.clone());
        let answer = self.client.plain(Method::POST, &self.path(path), body, COMPILING).await?;
        Ok((answer.read()?, answer.json))
    }

    /// The latest revisions.
    pub async fn revisions(self, most: usize) -> Result<Vec<Value>, ClientError> {
        self.client.list(&self.path("/revisions"), most).await
    }

    /// A revision with its document.
    pub async fn revision(self, id: Digest) -> Result<Answer, ClientError> {
        self.client.get(&self.path(&format!("/revisions/{id}"))).await
    }

    /// The difference from `against` to a revision; from the live revision if none is given.
    pub async fn diff(self, id: Digest, against: Option<Digest>) -> Result<Answer, ClientError> {
        let against = against.map(|against| format!("?against={}", escaped(&against.to_string())));
        let path = format!("/revisions/{id}/diff{}", against.unwrap_or_default());
        self.client.get(&self.path(&path)).await
    }

    /// Lets a held revision go live.
    pub async fn approve(self, id: Digest) -> Result<Answer, ClientError> {
        let path = self.path(&format!("/revisions/{id}/approval"));
        self.client.plain(Method::POST, &path, CallBody::Nothing, AT_ONCE).await
    }

    /// What is live, and its version.
    pub async fn rollout(self) -> Result<(Rollout, String), ClientError> {
        let answer = self.client.get(&self.path("/rollout")).await?;
        let rollout: Rollout = answer.read()?;
        let etag = answer.etag.unwrap_or_else(|| format!("\"{}\"", rollout.number));
        Ok((rollout, etag))
    }

    /// Makes a revision live, if what is live is still of this version.
    pub async fn set_rollout(
        self,
        live: Digest,
        why: Option<&str>,
        if_match: &str,
    ) -> Result<Answer, ClientError> {
        let mut body = json!({ "live": live.to_string() });
        if let (Some(why), Some(body)) = (why, body.as_object_mut()) {
            body.insert("why".into(), why.into());
        }
        let path = self.path("/rollout");
        let (method, body, if_match) = (Method::PUT, CallBody::Json(body), Some(if_match));
        self.client.call(Call { method, path: &path, body, if_match, patience: COMPILING }).await
    }

    /// What runs.
    pub async fn status(self) -> Result<Answer, ClientError> {
        self.client.get(&self.path("/status")).await
    }

    /// The secrets, without their values.
    pub async fn secrets(self, most: usize) -> Result<Vec<Value>, ClientError> {
        self.client.list(&self.path("/secrets"), most).await
    }

    /// Sets the value of a secret.
    pub async fn set_secret(self, name: &SecretName, value: &str) -> Result<Answer, ClientError> {
        let path = self.path(&format!("/secrets/{name}"));
        let body = CallBody::Json(json!({ "value": value }));
        // Plugins that use the secret get the value before the call is answered.
        self.client.plain(Method::PUT, &path, body, COMPILING).await
    }

    /// Removes a secret.
    pub async fn remove_secret(self, name: &SecretName) -> Result<Answer, ClientError> {
        self.delete(&format!("/secrets/{name}")).await
    }

    async fn delete(self, below: &str) -> Result<Answer, ClientError> {
        self.client.plain(Method::DELETE, &self.path(below), CallBody::Nothing, AT_ONCE).await
    }

    fn path(self, below: &str) -> String {
        format!("/v1/tenants/{}{below}", self.tenant)
    }
}

impl Tokens<'_> {
    /// All tokens, up to `most`, without their texts.
    pub async fn list(self, most: usize) -> Result<Vec<Value>, ClientError> {
        self.0.list("/v1/tokens", most).await
    }

    /// Makes a token, whose text is in this answer alone.
    pub async fn add(self, token: Value) -> Result<Answer, ClientError> {
        self.0.plain(Method::POST, "/v1/tokens", CallBody::Json(token), AT_ONCE).await
    }

    /// Removes a token: it is not valid any more.
    pub async fn remove(self, id: &str) -> Result<Answer, ClientError> {
        let path = format!("/v1/tokens/{}", escaped(id));
        self.0.plain(Method::DELETE, &path, CallBody::Nothing, AT_ONCE).await
    }
}

/// A text as a part of a path or query (RFC 3986 §2.1).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            // A string takes all that is written to it.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leads_to_another_path() {
        for (text, expected) in [
            ("4f0c", "4f0c"),
            ("sha256:ab", "sha256%3Aab"),
            ("../tenants?a&b#c", "..%2Ftenants%3Fa%26b%23c"),
            ("ä", "%C3%A4"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}
