//! Requests to servers, and what they answer.

use reqwest::Method;
use serde_json::Value;

use super::{Fleet, MemberId, PATIENCE};

/// What a server answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: reqwest::header::HeaderMap,
    /// Null when there was none.
    pub(crate) body: Value,
}

impl Answer {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A stream of server-sent events.
pub(crate) struct Stream<'a> {
    fleet: &'a Fleet,
    pub(crate) status: u16,
    response: reqwest::Response,
    /// What was received and not yet understood.
    text: String,
    /// The id of the last event.
    pub(crate) last_event_id: Option<String>,
}

/// A server-sent event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StreamEvent {
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Stream<'_> {
    /// The next event; `None` when the server has closed the stream.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<StreamEvent> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                };
                let event = field("event").zip(field("data")).map(|(name, data)| StreamEvent {
                    name: name.to_owned(),
                    data: serde_json::from_str(data).expect("data is JSON"),
                });
                if event.is_some() {
                    self.last_event_id = field("id").map(str::to_owned);
                }
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
            }
            let response = &mut self.response;
            let chunk = async { tokio::time::timeout(PATIENCE, response.chunk()).await };
            let chunk = self.fleet.runtime.block_on(chunk);
            match chunk.expect("something comes in time") {
                Ok(Some(chunk)) => self.text.push_str(std::str::from_utf8(&chunk).expect("text")),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Fleet {
    /// Sends a request to a server; what it answers besides JSON is a text.
    #[track_caller]
    pub(crate) fn request(
        &self,
        server: MemberId,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let url = format!("{}{path}", self.endpoint(server));
        let mut request = reqwest::Client::new().request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.expect("the server answers");
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            let bytes = answer.bytes().await.expect("the answer is whole");
            let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok());
            let body = match kind {
                _ if bytes.is_empty() => Value::Null,
                Some(kind) if kind.contains("json") => serde_json::from_slice(&bytes).expect("the answer is JSON"),
                _ => Value::String(String::from_utf8_lossy(&bytes).into_owned()),
            };
            Answer { status, headers, body }
        })
    }

    /// Opens a stream of changes; `query` is what comes after the path.
    #[track_caller]
    pub(crate) fn stream(&self, server: MemberId, query: &str, headers: &[(&str, &str)]) -> Stream<'_> {
        let url = format!("{}/api/v1/stream{query}", self.endpoint(server));
        let mut request = reqwest::Client::new().get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.runtime.block_on(request.send()).expect("the server answers");
        Stream {
            fleet: self,
            status: response.status().as_u16(),
            response,
            text: String::new(),
            last_event_id: None,
        }
    }

    /// The first event of a stream of changes, or the problem that it is refused with.
    #[track_caller]
    pub(crate) fn first_of_stream(&self, server: MemberId, query: &str, headers: &[(&str, &str)]) -> Answer {
        let mut stream = self.stream(server, query, headers);
        let status = stream.status;
        let headers = stream.response.headers().clone();
        let body = if status == 200 {
            stream.next().map_or(Value::Null, |event| event.data)
        } else {
            let bytes = self
                .runtime
                .block_on(stream.response.bytes())
                .expect("the answer is whole");
            serde_json::from_slice(&bytes).expect("the answer is JSON")
        };
        Answer { status, headers, body }
    }

    /// The head of an answer, whatever its body would be.
    #[track_caller]
    pub(crate) fn head(&self, server: MemberId, path: &str) -> Answer {
        let url = format!("{}{path}", self.endpoint(server));
        let answer = self.runtime.block_on(reqwest::Client::new().get(url).send());
        let answer = answer.expect("the server answers");
        Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: Value::Null,
        }
    }

    /// The text of an answer, which must be one of success.
    #[track_caller]
    pub(crate) fn text(&self, server: MemberId, path: &str, headers: &[(&str, &str)]) -> String {
        let mut request = reqwest::Client::new().get(format!("{}{path}", self.endpoint(server)));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.expect("the server answers");
            assert!(answer.status().is_success(), "{}", answer.status());
            answer.text().await.expect("the answer is whole")
        })
    }

    /// The bytes behind a URL, as any program gets them.
    #[track_caller]
    pub(crate) fn get_from(&self, url: &str) -> Vec<u8> {
        self.runtime.block_on(async {
            let answer = reqwest::get(url).await.expect("the storage answers");
            assert!(answer.status().is_success(), "{}", answer.status());
            answer.bytes().await.expect("the answer is whole").to_vec()
        })
    }

    /// Puts bytes to a URL, as any program can; gives the status.
    pub(crate) fn put_to(&self, url: &str, bytes: Vec<u8>) -> u16 {
        let put = reqwest::Client::new().put(url).body(bytes).send();
        let answer = self.runtime.block_on(put);
        answer.expect("the storage answers").status().as_u16()
    }

    /// The metrics of a server.
    pub(crate) fn scrape(&self, server: MemberId) -> String {
        let url = format!("{}/metrics", self.endpoint(server));
        self.runtime.block_on(async {
            let answer = reqwest::get(url).await.expect("the server answers");
            answer.text().await.expect("metrics are text")
        })
    }
}
