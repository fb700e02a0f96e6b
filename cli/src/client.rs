//! A server's API, from outside.
//!
//! Every request can be sent again: those that make something carry an `Idempotency-Key`. So a server that dies or
//! restarts is waited for, for a while.

use std::time::Duration;

use reqwest::{Method, Request, RequestBuilder, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;
use weir_control_plane::http::ProblemBody;
use weir_control_plane::http::resources::{
    EventPage, FindingList, ListedRun, LogFilter, LogPage, Module, Run, RunPage, RunRequest, Upload, UploadRequest,
};
use weir_model::{Digest, Namespace, RunId};
use weir_platform::{aws, clock};

use crate::error::Error;

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// Time for an answer to a request that does not wait.
const ANSWER: Duration = Duration::from_secs(60);
/// Time to upload a module.
const UPLOAD: Duration = Duration::from_secs(300);
/// Time to receive a result.
const RESULT: Duration = Duration::from_secs(24 * 3_600);
/// Bytes of a module beyond which it is not sent through the server.
const LARGE: usize = 8 << 20;
/// Seconds that a server holds an answer back when a run is followed.
const HOLD_S: u64 = 30;
/// How long a server that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// The first wait after a failure; each further one doubles it, up to the last.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(3);
/// Runs that a server lists at once.
const PAGE: u32 = 200;

/// A server.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<header::HeaderValue>,
    namespace: Option<header::HeaderValue>,
}

impl Client {
    pub(crate) fn new(endpoint: &str, api_key: Option<&str>, namespace: Option<&Namespace>) -> Result<Self, Error> {
        let wrong = |why: &str| Error::Usage(format!("`{endpoint}` is not the address of a server: {why}"));
        let base = Url::parse(endpoint).map_err(|error| match error {
            url::ParseError::RelativeUrlWithoutBase => wrong("it must start with http:// or https://"),
            error => wrong(&error.to_string()),
        })?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(wrong("it must start with http:// or https://"));
        }
        let key = api_key
            .map(|key| {
                let mut value = header::HeaderValue::from_str(&format!("Bearer {key}"))
                    .map_err(|_| Error::Usage("the API key has characters that no header can have".to_owned()))?;
                value.set_sensitive(true);
                Ok::<_, Error>(value)
            })
            .transpose()?;
        aws::install_crypto();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(Error::platform("start the HTTP client"))?;
        // Namespaces are letters, digits and hyphens.
        let namespace = namespace.and_then(|name| header::HeaderValue::from_str(name.as_str()).ok());
        Ok(Self {
            http,
            base,
            key,
            namespace,
        })
    }

    /// A request, to be sent by [`json`](Self::json) or [`send`](Self::send).
    pub(crate) fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Error> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        let mut request = self.http.request(method, url).timeout(ANSWER);
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, key.clone());
        }
        if let Some(namespace) = &self.namespace {
            request = request.header("weir-namespace", namespace.clone());
        }
        Ok(request)
    }

    /// A resource.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, Error> {
        self.json(self.request(Method::GET, path)?.query(query)).await
    }

    /// Makes something. Asked once: when no answer comes, it may have been made or not.
    pub(crate) async fn create<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        let request = self.request(Method::POST, path)?.json(body).build();
        let request = request.map_err(Error::platform("make the request"))?;
        let answer = self.http.execute(request).await;
        read(answer.map_err(|source| self.unreachable(source))?).await
    }

    /// Deletes something; gives what the server says of it, if it does.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        let answer = self.send(self.request(Method::DELETE, path)?).await?;
        match answer.status() {
            StatusCode::NO_CONTENT => Ok(None),
            _ => read(answer).await.map(Some),
        }
    }

    /// Submits a run; `key` names the request.
    pub(crate) async fn submit(&self, request: &RunRequest, key: &str) -> Result<Run, Error> {
        let request = self
            .request(Method::POST, "/api/v1/runs")?
            .header("idempotency-key", key)
            .json(request);
        self.json(request).await
    }

    /// Puts a module there unless it is there already.
    pub(crate) async fn upload(&self, digest: Digest, bytes: Vec<u8>) -> Result<(), Error> {
        let path = format!("/api/v1/modules/{digest}");
        let found = self.send(self.request(Method::HEAD, &path)?).await?;
        if found.status() == StatusCode::OK {
            return Ok(());
        }
        if bytes.len() > LARGE && self.upload_past(&path, &bytes).await? {
            return Ok(());
        }
        let upload = self
            .request(Method::PUT, &path)?
            .timeout(UPLOAD)
            .header(header::CONTENT_TYPE, "application/wasm")
            .body(bytes);
        self.json::<Module>(upload).await.map(drop)
    }

    /// Puts a module straight into the server's storage, if that can be reached so; says whether it could.
    async fn upload_past(&self, path: &str, bytes: &[u8]) -> Result<bool, Error> {
        let request = UploadRequest {
            bytes: bytes.len() as u64,
        };
        let asked = self.request(Method::POST, &format!("{path}/upload"))?.json(&request);
        let asked = self.send(asked).await?;
        if asked.status() == StatusCode::CONFLICT {
            return Ok(false);
        }
        let upload: Upload = read(asked).await?;
        // Without the server's key: the URL is all that is needed.
        let mut request = self.http.put(&upload.url).timeout(UPLOAD).body(bytes.to_vec());
        for (name, value) in &upload.headers {
            request = request.header(name, value);
        }
        match request.send().await.map(Response::error_for_status) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) | Err(error) => {
                // The network may let nobody but the server through to it.
                tracing::debug!(error = %error.without_url(), "cannot upload past the server");
                return Ok(false);
            }
        }
        self.json::<Module>(self.request(Method::POST, &format!("{path}/complete"))?)
            .await
            .map(|_| true)
    }

    /// A run as it is now.
    pub(crate) async fn run(&self, run: RunId) -> Result<Run, Error> {
        self.json(self.request(Method::GET, &format!("/api/v1/runs/{run}"))?)
            .await
    }

    /// A run when it is no longer as `known`; `None` when it still is after a while.
    pub(crate) async fn changed(&self, known: &Run) -> Result<Option<Run>, Error> {
        let request = self
            .request(Method::GET, &format!("/api/v1/runs/{}", known.id))?
            .query(&[("wait", HOLD_S.to_string())])
            .header(header::IF_NONE_MATCH, format!("\"{}\"", known.etag));
        let response = self.send(request).await?;
        match response.status() {
            StatusCode::NOT_MODIFIED => Ok(None),
            _ => read(response).await.map(Some),
        }
    }

    /// The youngest runs.
    pub(crate) async fn runs(&self, filter: &[(&str, String)], limit: u32) -> Result<Vec<ListedRun>, Error> {
        let mut runs = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let left = limit.saturating_sub(runs.len() as u32);
            let mut request = self
                .request(Method::GET, "/api/v1/runs")?
                .query(&[("limit", left.min(PAGE).to_string())]);
            request = request.query(filter);
            if let Some(cursor) = &cursor {
                request = request.query(&[("cursor", cursor)]);
            }
            let page: RunPage = self.json(request).await?;
            runs.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() || runs.len() as u32 >= limit {
                return Ok(runs);
            }
        }
    }

    /// The rows of a run's result, as an Arrow IPC stream.
    pub(crate) async fn result(&self, run: RunId) -> Result<Response, Error> {
        let request = self
            .request(Method::GET, &format!("/api/v1/runs/{run}/result"))?
            .timeout(RESULT)
            .header(header::ACCEPT, "application/vnd.apache.arrow.stream");
        let response = self.send(request).await?;
        let status = response.status();
        match status.is_success() {
            true => Ok(response),
            false => Err(refusal(status, &body(response).await?)),
        }
    }

    /// Asks a run to stop.
    pub(crate) async fn cancel(&self, run: RunId) -> Result<Run, Error> {
        self.json(self.request(Method::POST, &format!("/api/v1/runs/{run}/cancel"))?)
            .await
    }

    /// A run as one HTML file.
    pub(crate) async fn export(&self, run: RunId) -> Result<String, Error> {
        let request = self.request(Method::GET, &format!("/api/v1/runs/{run}/export"))?;
        let response = self.send(request).await?;
        if !response.status().is_success() {
            // Nothing but a problem answers so.
            return read::<serde_json::Value>(response).await.map(|_| String::new());
        }
        let text = response.text().await;
        text.map_err(|error| Error::platform("read the server's answer")(error.without_url()))
    }

    /// What is worth a look in a run.
    pub(crate) async fn findings(&self, run: RunId) -> Result<FindingList, Error> {
        self.json(self.request(Method::GET, &format!("/api/v1/runs/{run}/findings"))?)
            .await
    }

    /// Asks a run to be held up, or to go on.
    pub(crate) async fn set_paused(&self, run: RunId, paused: bool) -> Result<Run, Error> {
        let action = if paused { "pause" } else { "resume" };
        self.json(self.request(Method::POST, &format!("/api/v1/runs/{run}/{action}"))?)
            .await
    }

    /// Submits again what a run was.
    pub(crate) async fn retry(&self, run: RunId) -> Result<Run, Error> {
        let request = self
            .request(Method::POST, &format!("/api/v1/runs/{run}/retry"))?
            .header("idempotency-key", clock::new_request_id());
        self.json(request).await
    }

    /// Events of a run after a cursor.
    pub(crate) async fn events(&self, run: RunId, after: Option<&str>) -> Result<EventPage, Error> {
        self.json(self.page(run, "events", after)?).await
    }

    /// Log lines of a run that are wanted, after a cursor.
    pub(crate) async fn logs(&self, run: RunId, filter: &LogFilter, after: Option<&str>) -> Result<LogPage, Error> {
        let LogFilter {
            search,
            stage,
            task,
            severity,
        } = filter;
        let request = self
            .page(run, "logs", after)?
            .query(&[("search", search)])
            .query(&[("stage", stage), ("task", task)])
            .query(&[("severity", severity)]);
        self.json(request).await
    }

    fn page(&self, run: RunId, what: &str, after: Option<&str>) -> Result<RequestBuilder, Error> {
        let request = self
            .request(Method::GET, &format!("/api/v1/runs/{run}/{what}"))?
            .query(&[("limit", "1000")]);
        Ok(match after {
            Some(after) => request.query(&[("after", after)]),
            None => request,
        })
    }

    /// Sends a request; gives the resource of its answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        read(self.send(request).await?).await
    }

    /// Sends a request, again and again while nobody answers it.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let request = request.build().map_err(Error::platform("make the request"))?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut backoff = FIRST_BACKOFF;
        loop {
            // Bodies are bytes, so that they can be sent again.
            let again = request.try_clone();
            let answer = self.http.execute(again.unwrap_or_else(|| bodiless(&request))).await;
            let failed = match answer {
                Ok(response) if !passes(response.status()) => return Ok(response),
                other => other,
            };
            let wait = match &failed {
                Ok(response) => retry_after(response).unwrap_or(backoff).min(LAST_BACKOFF),
                Err(_) => backoff,
            };
            if tokio::time::Instant::now() + wait >= deadline {
                return failed.map_err(|source| self.unreachable(source));
            }
            tracing::debug!(?failed, "no answer; trying again");
            tokio::time::sleep(wait).await;
            backoff = (backoff * 2).min(LAST_BACKOFF);
        }
    }
}

impl Client {
    fn unreachable(&self, source: reqwest::Error) -> Error {
        Error::Unreachable {
            endpoint: self.base.to_string(),
            timed_out: source.is_timeout(),
            source: Box::new(source.without_url()),
        }
    }
}

fn bodiless(request: &Request) -> Request {
    Request::new(request.method().clone(), request.url().clone())
}

/// Whether a failure passes by itself.
fn passes(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response
        .headers()
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

/// The resource of an answer, or the problem as an error.
pub(crate) async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Error> {
    let status = response.status();
    let body = body(response).await?;
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|source| Error::Platform {
            action: "understand the server's answer; is it of another version?",
            source: source.into(),
        });
    }
    Err(refusal(status, &body))
}

async fn body(response: Response) -> Result<axum::body::Bytes, Error> {
    let body = response.bytes().await;
    body.map_err(|error| Error::platform("read the server's answer")(error.without_url()))
}

/// The error for an answer that is a problem.
fn refusal(status: StatusCode, body: &[u8]) -> Error {
    let problem = serde_json::from_slice::<ProblemBody>(body).ok();
    let text = match &problem {
        Some(problem) => describe(problem),
        None => format!("the server answered with status {status}, not as Weir does; is the endpoint right?"),
    };
    Error::refused(status.as_u16(), text)
}

fn describe(problem: &ProblemBody) -> String {
    let mut text = problem.detail.clone();
    for error in &problem.errors {
        text.push_str("\n  ");
        if let (Some(line), Some(column)) = (error.line, error.column) {
            text.push_str(&format!("{line}:{column}: "));
        }
        if let Some(transform) = &error.transform {
            text.push_str(&format!("[{transform}] "));
        }
        text.push_str(&error.message);
        if let Some(help) = &error.help {
            text.push_str(&format!(" ({help})"));
        }
    }
    if let (Some(id), true) = (&problem.request_id, problem.status >= 500) {
        text.push_str(&format!("\n  request {id}"));
    }
    text
}
