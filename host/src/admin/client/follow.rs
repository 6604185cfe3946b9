//! Events as they happen: a stream that is opened again where it broke off.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE};
use http_body_util::{BodyExt, Empty};
use tokio::time::{sleep, timeout};

use super::call::{Client, Opened};
use super::events::{Event, EventReader};
use super::problem::ClientError;
use crate::tenant::TenantName;

/// The time for the head of the answer. The events behind it have all the time there is.
const HEAD: Duration = Duration::from_secs(30);

/// The pause before a stream is opened again, unless the host asks for another one. Each attempt that fails doubles it.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The events of one tenant, or of all.
pub struct Follow<'c> {
    client: &'c Client,
    path: String,
    reader: EventReader,
    stream: Option<Opened>,
    /// The pause before the next attempt; none until a stream was opened once.
    pause: Option<Duration>,
}

impl Client {
    /// Follows the events of one tenant, or of all, behind the one of this id.
    pub fn follow(&self, tenant: Option<&TenantName>, after: Option<String>) -> Follow<'_> {
        let path = match tenant {
            Some(tenant) => format!("/v1/tenants/{tenant}/events"),
            None => "/v1/events".to_owned(),
        };
        let reader = EventReader::after(after.unwrap_or_default());
        Follow { client: self, path, reader, stream: None, pause: None }
    }
}

impl Follow<'_> {
    /// The next event, however long it takes.
    ///
    /// # Errors
    /// If the first attempt fails, or if the host refuses.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Some(event) = self.reader.next() {
                return Ok(event);
            }
            match &mut self.stream {
                Some(stream) => match stream.body.frame().await {
                    Some(Ok(frame)) => {
                        self.pause = Some(self.reader.retry().unwrap_or(PAUSE));
                        let bytes = frame.into_data().unwrap_or_default();
                        self.reader.push(&bytes).map_err(|error| self.client.strange(error))?;
                    }
                    Some(Err(_)) | None => {
                        self.reader.end();
                        self.stream = None;
                    }
                },
                None => self.resume().await?,
            }
        }
    }

    async fn resume(&mut self) -> Result<(), ClientError> {
        if let Some(pause) = self.pause {
            sleep(pause).await;
        }
        match timeout(HEAD, self.open()).await.unwrap_or_else(|_| Err(self.client.late(HEAD))) {
            Ok(stream) => {
                self.stream = Some(stream);
                self.pause = Some(self.pause.unwrap_or(PAUSE));
                Ok(())
            }
            Err(error) => match self.pause {
                Some(pause) if may_pass(&error) => {
                    self.pause = Some(pause.saturating_mul(2).clamp(PAUSE, MAX_PAUSE));
                    Ok(())
                }
                _ => Err(error),
            },
        }
    }

    async fn open(&self) -> Result<Opened, ClientError> {
        let mut request = self.client.request(Method::GET, &self.path).header(ACCEPT, "text/event-stream");
        if !self.reader.last_id().is_empty() {
            request = request.header("last-event-id", self.reader.last_id());
        }
        let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let request = request.body(body).map_err(|error| self.client.strange(error))?;
        let opened = self.client.open(request).await?;
        let kind = opened.head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_stream = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
        if opened.head.status.is_success() && is_stream {
            return Ok(opened);
        }
        self.client.answer(opened).await?;
        Err(self.client.strange("it gives no events"))
    }
}

/// True for a failure that is over when the host is back.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Connect { .. } | ClientError::Late { .. } | ClientError::Broken { .. } => true,
        ClientError::Problem(problem) => problem.status == 429 || problem.status >= 500,
        _ => false,
    }
}
