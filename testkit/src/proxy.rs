//! A proxy that misbehaves, between a client and an HTTP server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use futures::{StreamExt as _, stream};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The largest request that is passed on, in bytes.
const MAX_BODY: usize = 256 << 20;
/// How long the server behind may take to answer: longer than any long poll.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(60);

/// A request, as a policy sees it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The operation of AWS's JSON protocols without its service, such as `SendMessageBatch`; SQS speaks it.
    pub operation: Option<String>,
    /// How many requests came before this one.
    pub number: u64,
}

/// What is done with a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// It is passed on.
    #[default]
    None,
    /// It is answered with this status, and not passed on.
    Refuse(StatusCode),
    /// It is passed on after a while.
    Delay(Duration),
    /// It is passed on twice; the answer is that of the second time.
    Twice,
    /// It is passed on, and the connection is closed instead of giving the answer.
    LoseAnswer,
    /// It is passed on, and the first of the messages that a `ReceiveMessage` brings is deleted instead of delivered.
    /// Other requests are passed on.
    LoseMessage,
}

/// Says what to do with each request.
pub type Policy = Arc<dyn Fn(&Call) -> Fault + Send + Sync>;

/// A proxy on a free loopback port. It ends when this is dropped.
pub struct Proxy {
    address: SocketAddr,
    serving: JoinHandle<()>,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    client: reqwest::Client,
    policy: Policy,
    calls: AtomicU64,
    faults: AtomicU64,
}

impl Proxy {
    /// Starts a proxy before `upstream`, an address such as `http://127.0.0.1:4566`.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start(upstream: &str, policy: Policy) -> Self {
        // Whoever is first in the process chooses; the client does not start without.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(UPSTREAM_TIMEOUT)
            .build()
            .expect("the options are valid");
        let shared = Arc::new(Shared {
            upstream: upstream.trim_end_matches('/').to_owned(),
            client,
            policy,
            calls: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let router = Router::new().fallback(handle).with_state(shared.clone());
        let serving = tokio::spawn(async move {
            // It serves until it is aborted.
            let _ = axum::serve(listener, router).await;
        });
        Self {
            address,
            serving,
            shared,
        }
    }

    /// What clients use instead of the server's address.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests so far.
    pub fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    /// Requests so far that something was done to.
    pub fn faults(&self) -> u64 {
        self.shared.faults.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let operation = head.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    let call = Call {
        method: head.method,
        path: head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        operation: operation.map(|target| target.rsplit('.').next().unwrap_or(target).to_owned()),
        number: shared.calls.fetch_add(1, Ordering::Relaxed),
    };
    let fault = (shared.policy)(&call);
    if fault != Fault::None {
        shared.faults.fetch_add(1, Ordering::Relaxed);
    }
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return status(StatusCode::BAD_GATEWAY);
    };
    let forward = || shared.forward(&call, &head.headers, body.clone());
    let answer = match fault {
        Fault::None => forward().await,
        Fault::Refuse(code) => return status(code),
        Fault::Delay(time) => {
            tokio::time::sleep(time).await;
            forward().await
        }
        Fault::Twice => {
            let _ = forward().await;
            forward().await
        }
        Fault::LoseAnswer => {
            let _ = forward().await;
            return broken();
        }
        Fault::LoseMessage => match forward().await {
            Ok(answer) if call.operation.as_deref() == Some("ReceiveMessage") => {
                shared.lose_message(&call, &head.headers, &body, answer).await
            }
            answer => answer,
        },
    };
    answer.unwrap_or_else(|_| status(StatusCode::BAD_GATEWAY))
}

impl Shared {
    async fn forward(&self, call: &Call, headers: &HeaderMap, body: Bytes) -> reqwest::Result<Response<Body>> {
        let url = format!("{}{}", self.upstream, call.path);
        let mut headers = headers.clone();
        for hop_by_hop in [header::CONNECTION, header::TRANSFER_ENCODING, header::EXPECT] {
            headers.remove(hop_by_hop);
        }
        let request = self
            .client
            .request(call.method.clone(), url)
            .headers(headers)
            .body(body);
        let answer = request.send().await?;
        let (code, headers) = (answer.status(), answer.headers().clone());
        let is_head = call.method == Method::HEAD;
        let bytes = answer.bytes().await?;
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() = code;
        for (name, value) in &headers {
            // The body is whole here. What HEAD says of a length is of a body that is not there.
            if name != header::TRANSFER_ENCODING
                && name != header::CONNECTION
                && (is_head || name != header::CONTENT_LENGTH)
            {
                response.headers_mut().append(name, value.clone());
            }
        }
        Ok(response)
    }

    async fn lose_message(
        &self,
        call: &Call,
        headers: &HeaderMap,
        request: &Bytes,
        answer: Response<Body>,
    ) -> reqwest::Result<Response<Body>> {
        let (mut head, body) = answer.into_parts();
        let Ok(body) = to_bytes(body, MAX_BODY).await else {
            return Ok(status(StatusCode::BAD_GATEWAY));
        };
        let lost = || -> Option<(Value, Value)> {
            let mut answer: Value = serde_json::from_slice(&body).ok()?;
            let messages = answer.get_mut("Messages")?.as_array_mut()?;
            let lost = (!messages.is_empty()).then(|| messages.remove(0))?;
            let request: Value = serde_json::from_slice(request).ok()?;
            let queue = request.get("QueueUrl")?;
            let deletion = serde_json::json!({"QueueUrl": queue, "ReceiptHandle": lost.get("ReceiptHandle")?});
            Some((answer, deletion))
        };
        let Some((answer, deletion)) = lost() else {
            return Ok(Response::from_parts(head, Body::from(body)));
        };
        let mut delete = headers.clone();
        delete.remove(header::CONTENT_LENGTH);
        delete.insert(
            "x-amz-target",
            header::HeaderValue::from_static("AmazonSQS.DeleteMessage"),
        );
        self.forward(call, &delete, deletion.to_string().into()).await?;
        // Of a body that is another now.
        for name in [header::CONTENT_LENGTH, header::HeaderName::from_static("x-amz-crc32")] {
            head.headers.remove(name);
        }
        Ok(Response::from_parts(head, Body::from(answer.to_string())))
    }
}

fn status(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}

/// Ends the connection in the middle of an answer.
fn broken() -> Response<Body> {
    let error = std::io::Error::other("the answer is lost");
    Response::new(Body::from_stream(
        stream::once(async { Err::<Bytes, _>(error) }).boxed(),
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::routing::any;

    use super::*;

    /// A server that answers with what it was asked, and counts.
    async fn echo() -> (String, Arc<Mutex<Vec<String>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let router = Router::new().fallback(any(move |request: Request| {
            let log = log.clone();
            async move {
                let target = request.headers().get("x-amz-target").cloned();
                let body = to_bytes(request.into_body(), MAX_BODY).await.unwrap();
                let target = target.map_or_else(String::new, |value| value.to_str().unwrap().to_owned());
                log.lock()
                    .unwrap()
                    .push(format!("{target} {}", String::from_utf8_lossy(&body)));
                match target.as_str() {
                    "AmazonSQS.ReceiveMessage" => {
                        r#"{"Messages":[{"ReceiptHandle":"a"},{"ReceiptHandle":"b"}]}"#.to_owned()
                    }
                    _ => String::from_utf8_lossy(&body).into_owned(),
                }
            }
        }));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (format!("http://{address}"), seen)
    }

    async fn post(proxy: &Proxy, target: &str, body: &'static str) -> reqwest::Result<(StatusCode, String)> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let request = client.post(proxy.endpoint()).header("x-amz-target", target).body(body);
        let answer = request.send().await?;
        Ok((answer.status(), answer.text().await?))
    }

    async fn with(fault: Fault, target: &str) -> (reqwest::Result<(StatusCode, String)>, Vec<String>, Proxy) {
        let (server, seen) = echo().await;
        let proxy = Proxy::start(&server, Arc::new(move |_| fault.clone())).await;
        let answer = post(&proxy, target, r#"{"QueueUrl":"q"}"#).await;
        let seen = seen.lock().unwrap().clone();
        (answer, seen, proxy)
    }

    #[tokio::test]
    async fn requests_are_passed_on_once_twice_or_not() {
        let asked = r#"{"QueueUrl":"q"}"#.to_owned();
        let (answer, seen, proxy) = with(Fault::None, "X.Put").await;
        assert_eq!((answer.unwrap(), seen.len()), ((StatusCode::OK, asked.clone()), 1));
        assert_eq!((proxy.calls(), proxy.faults()), (1, 0));
        let (answer, seen, proxy) = with(Fault::Twice, "X.Put").await;
        assert_eq!((answer.unwrap(), seen.len()), ((StatusCode::OK, asked), 2));
        assert_eq!((proxy.calls(), proxy.faults()), (1, 1));
        let (answer, seen, _proxy) = with(Fault::Refuse(StatusCode::SERVICE_UNAVAILABLE), "X.Put").await;
        assert_eq!((answer.unwrap().0, seen.len()), (StatusCode::SERVICE_UNAVAILABLE, 0));
    }

    #[tokio::test]
    async fn an_answer_can_be_lost() {
        let (answer, seen, _proxy) = with(Fault::LoseAnswer, "X.Put").await;
        assert!(answer.is_err());
        assert_eq!(seen.len(), 1);
    }

    #[tokio::test]
    async fn a_message_can_be_lost() {
        let (answer, seen, _proxy) = with(Fault::LoseMessage, "AmazonSQS.ReceiveMessage").await;
        assert_eq!(answer.unwrap().1, r#"{"Messages":[{"ReceiptHandle":"b"}]}"#);
        assert_eq!(
            seen[1],
            r#"AmazonSQS.DeleteMessage {"QueueUrl":"q","ReceiptHandle":"a"}"#
        );
    }
}
