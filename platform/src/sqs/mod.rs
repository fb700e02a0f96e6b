//! Amazon SQS, standard queues.
//!
//! Messages travel in batches of ten, several calls at once. The service wants whole seconds: delays and visibility
//! timeouts are rounded up. A message's group makes the queue *fair* between tenants; a server that does not know
//! groups on standard queues gets messages without.

mod batch;
mod escape;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message, MessageAttributeValue,
    MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};
use futures::future::try_join_all;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use self::batch::Refused;
use crate::queue::{TRACEPARENT, attribute_size};
use crate::{Delivery, MAX_DELAY, Queue, QueueError, Receipt, SendMessage};

/// Calls under way at once for one call of ours.
const CONCURRENT_CALLS: usize = 16;
/// The longest that SQS holds a receive open.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// The longest visibility timeout of SQS.
const MAX_VISIBILITY: Duration = Duration::from_secs(12 * 60 * 60);
/// How long a receive that has messages looks for more of them.
const FILL: Duration = Duration::from_millis(500);
/// Time of one try of a call that does not wait for messages, and of all its tries. Heartbeats must not be late because
/// one connection hangs.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);
/// Time that a long poll has beyond its wait, and what all tries of one may take.
const POLL_SLACK: Duration = Duration::from_secs(10);
const POLL_TIMEOUT: Duration = Duration::from_secs(60);

/// A standard queue of Amazon SQS, or of a server that speaks its JSON protocol.
#[derive(Clone)]
pub struct SqsQueue {
    /// For calls that are answered at once.
    calls: Client,
    /// For receives, which wait.
    polls: Client,
    url: Arc<str>,
    /// Whether the server takes message groups, as far as is known.
    groups: Arc<AtomicBool>,
}

impl SqsQueue {
    /// The queue of a URL such as `https://sqs.eu-central-1.amazonaws.com/123456789012/weir-tasks`. Nothing is called
    /// before the first message.
    pub fn new(config: &SdkConfig, url: impl Into<String>) -> Self {
        let client = |attempt, operation| {
            let timeouts = config
                .timeout_config()
                .map(TimeoutConfig::to_builder)
                .unwrap_or_default();
            let timeouts = timeouts
                .read_timeout(attempt)
                .operation_attempt_timeout(attempt)
                .operation_timeout(operation)
                .build();
            Client::from_conf(
                aws_sdk_sqs::config::Builder::from(config)
                    .timeout_config(timeouts)
                    .build(),
            )
        };
        Self {
            calls: client(ATTEMPT_TIMEOUT, OPERATION_TIMEOUT),
            polls: client(MAX_WAIT + POLL_SLACK, POLL_TIMEOUT),
            url: url.into().into(),
            groups: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a batch; those that were refused are tried again one by one.
    async fn send_batch(&self, batch: Vec<Entry>) -> Result<(), QueueError> {
        let refused = self.try_send(&batch).await?;
        let again = refused
            .into_iter()
            .map(|refused| self.send_again(&batch[refused.entry.min(batch.len() - 1)], refused));
        try_join_all(again).await.map(|_| ())
    }

    async fn send_again(&self, entry: &Entry, mut refused: Refused) -> Result<(), QueueError> {
        for tried in 1..batch::TRIES {
            let without_group = is_about_groups(&refused.code, &refused.message) && entry.group.is_some();
            if without_group {
                self.give_groups_up(&refused.message);
            } else if refused.sender_fault {
                break;
            } else {
                tokio::time::sleep(batch::backoff(tried)).await;
            }
            match self.try_send(std::slice::from_ref(entry)).await?.pop() {
                None => return Ok(()),
                Some(again) => refused = again,
            }
        }
        Err(refused.into_error("send"))
    }

    /// One call, and another one without groups if the server does not know them. Gives the entries that it refused.
    async fn try_send(&self, batch: &[Entry]) -> Result<Vec<Refused>, QueueError> {
        loop {
            let groups = self.groups.load(Ordering::Relaxed);
            let entries = batch
                .iter()
                .enumerate()
                .map(|(id, entry)| entry.to_request(id, groups))
                .collect();
            let call = self
                .calls
                .send_message_batch()
                .queue_url(&*self.url)
                .set_entries(Some(entries));
            match call.send().await {
                Ok(answer) => return Ok(answer.failed().iter().map(Refused::new).collect()),
                Err(error) if groups && is_refusal_of_groups(&error) => {
                    self.give_groups_up(error.message().unwrap_or_default());
                }
                Err(error) => return Err(failed("send", error)),
            }
        }
    }

    fn give_groups_up(&self, reason: &str) {
        if self.groups.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                queue = &*self.url,
                reason,
                "the queue takes no message groups: it will not be fair between tenants"
            );
        }
    }

    async fn receive_some(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let call = self
            .polls
            .receive_message()
            .queue_url(&*self.url)
            .max_number_of_messages(max.clamp(1, batch::ENTRIES) as i32)
            .wait_time_seconds(seconds(wait, MAX_WAIT))
            .visibility_timeout(seconds(visibility, MAX_VISIBILITY))
            .message_attribute_names(TRACEPARENT)
            .message_attribute_names(escape::ATTRIBUTE)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
        let answer = call.send().await.map_err(|error| failed("receive", error))?;
        Ok(answer
            .messages
            .unwrap_or_default()
            .into_iter()
            .filter_map(delivery)
            .collect())
    }

    async fn delete_batch(&self, receipts: &[Receipt]) -> Result<Vec<Refused>, QueueError> {
        let entry = |(id, receipt): (usize, &Receipt)| {
            let entry = DeleteMessageBatchRequestEntry::builder();
            entry
                .id(id.to_string())
                .receipt_handle(&receipt.0)
                .build()
                .expect("both are given")
        };
        let entries = receipts.iter().enumerate().map(entry).collect();
        let call = self
            .calls
            .delete_message_batch()
            .queue_url(&*self.url)
            .set_entries(Some(entries));
        let answer = call.send().await.map_err(|error| failed("delete", error))?;
        Ok(answer.failed().iter().map(Refused::new).collect())
    }

    async fn extend_batch(&self, receipts: &[Receipt], visibility: i32) -> Result<Vec<Refused>, QueueError> {
        let entry = |(id, receipt): (usize, &Receipt)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().visibility_timeout(visibility);
            entry
                .id(id.to_string())
                .receipt_handle(&receipt.0)
                .build()
                .expect("both are given")
        };
        let entries = receipts.iter().enumerate().map(entry).collect();
        let call = self
            .calls
            .change_message_visibility_batch()
            .queue_url(&*self.url)
            .set_entries(Some(entries));
        let answer = call.send().await.map_err(|error| failed("extend", error))?;
        Ok(answer.failed().iter().map(Refused::new).collect())
    }

    /// Does something with receipts in batches, several at once. Stale ones are ignored, and those that were refused
    /// for another reason are tried again.
    async fn for_receipts<C>(
        &self,
        action: &'static str,
        receipts: Vec<Receipt>,
        call: impl Fn(Vec<Receipt>) -> C,
    ) -> Result<(), QueueError>
    where
        C: Future<Output = Result<Vec<Refused>, QueueError>>,
    {
        let batches: Vec<Vec<Receipt>> = receipts.chunks(batch::ENTRIES).map(<[Receipt]>::to_vec).collect();
        let call = &call;
        stream::iter(batches)
            .map(async |mut left| {
                for tried in 1.. {
                    let mut refused = call(left.clone()).await?;
                    refused.retain(|refused| !refused.is_stale_receipt());
                    match refused.pop() {
                        None => break,
                        Some(last) if last.sender_fault || tried == batch::TRIES => return Err(last.into_error(action)),
                        Some(last) => {
                            let places = refused.iter().chain([&last]).map(|refused| refused.entry);
                            left = places.filter_map(|place| left.get(place).cloned()).collect();
                        }
                    }
                    tokio::time::sleep(batch::backoff(tried)).await;
                }
                Ok(())
            })
            .buffer_unordered(CONCURRENT_CALLS)
            .try_collect()
            .await
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, messages: Vec<SendMessage>) -> Result<(), QueueError> {
        messages.iter().try_for_each(SendMessage::check_size)?;
        let entries = messages.into_iter().map(Entry::new).collect::<Result<Vec<_>, _>>()?;
        stream::iter(batch::cut(entries, Entry::size))
            .map(|batch| self.send_batch(batch))
            .buffer_unordered(CONCURRENT_CALLS)
            .try_collect()
            .await
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let first = self.receive_some(max, wait, visibility).await?;
        let (mut full, start) = (first.len() * 2 >= batch::ENTRIES, Instant::now());
        let mut held = Held {
            queue: self,
            deliveries: first,
        };
        // Long polls for all of them would have to be waited for, or dropped with what they are about to bring.
        while full && held.deliveries.len() < max && start.elapsed() < FILL {
            let missing = max - held.deliveries.len();
            let calls = missing.div_ceil(batch::ENTRIES).min(CONCURRENT_CALLS);
            let call = |index| {
                let left: usize = missing - index * batch::ENTRIES;
                self.receive_some(left.min(batch::ENTRIES), Duration::ZERO, visibility)
            };
            let mut answers = stream::iter(0..calls).map(call).buffer_unordered(calls);
            let before = held.deliveries.len();
            while let Some(answer) = answers.next().await {
                match answer {
                    Ok(more) => held.deliveries.extend(more),
                    // What there is must not be lost; the next receive will say it again.
                    Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "received fewer messages"),
                }
            }
            full = (held.deliveries.len() - before) * 2 >= calls * batch::ENTRIES;
        }
        Ok(held.take())
    }

    async fn delete(&self, receipts: Vec<Receipt>) -> Result<(), QueueError> {
        let call = async |batch: Vec<Receipt>| self.delete_batch(&batch).await;
        self.for_receipts("delete", receipts, call).await
    }

    async fn extend(&self, receipts: Vec<Receipt>, visibility: Duration) -> Result<(), QueueError> {
        let visibility = seconds(visibility, MAX_VISIBILITY);
        let call = async |batch: Vec<Receipt>| self.extend_batch(&batch, visibility).await;
        self.for_receipts("extend", receipts, call).await
    }

    async fn check(&self) -> Result<(), QueueError> {
        let call = self.calls.get_queue_attributes().queue_url(&*self.url);
        let call = call.attribute_names(QueueAttributeName::QueueArn).send();
        call.await.map(|_| ()).map_err(|error| failed("ask about", error))
    }
}

/// Messages that were received and not handed on yet: they are given back when the receive is dropped.
struct Held<'a> {
    queue: &'a SqsQueue,
    deliveries: Vec<Delivery>,
}

impl Held<'_> {
    fn take(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.deliveries)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let receipts: Vec<_> = self.take().into_iter().map(|delivery| delivery.receipt).collect();
        if receipts.is_empty() {
            return;
        }
        // Without a runtime they come back by themselves.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let queue = self.queue.clone();
            runtime.spawn(async move {
                if let Err(error) = queue.extend(receipts, Duration::ZERO).await {
                    tracing::debug!(error = &error as &dyn std::error::Error, "cannot give messages back");
                }
            });
        }
    }
}

/// A message as it is sent.
struct Entry {
    body: String,
    escaped: bool,
    group: Option<String>,
    delay: i32,
    traceparent: Option<String>,
}

impl Entry {
    fn new(message: SendMessage) -> Result<Self, QueueError> {
        let body = escape::escape(&message.body);
        let escaped = matches!(body, std::borrow::Cow::Owned(_));
        let entry = Self {
            body: body.into_owned(),
            escaped,
            group: (!message.group.is_empty()).then_some(message.group),
            delay: seconds(message.delay, MAX_DELAY),
            traceparent: message.traceparent,
        };
        match entry.size() {
            bytes if bytes > crate::MAX_MESSAGE_BYTES => Err(QueueError::TooLarge { bytes }),
            _ => Ok(entry),
        }
    }

    fn size(&self) -> usize {
        let escaped = if self.escaped {
            attribute_size(escape::ATTRIBUTE, "1")
        } else {
            0
        };
        let trace = self
            .traceparent
            .as_ref()
            .map_or(0, |value| attribute_size(TRACEPARENT, value));
        self.body.len() + escaped + trace
    }

    fn to_request(&self, id: usize, groups: bool) -> SendMessageBatchRequestEntry {
        let entry = SendMessageBatchRequestEntry::builder()
            .id(id.to_string())
            .message_body(&self.body);
        let mut entry = entry.set_message_group_id(self.group.clone().filter(|_| groups));
        if self.delay > 0 {
            entry = entry.delay_seconds(self.delay);
        }
        if self.escaped {
            entry = entry.message_attributes(escape::ATTRIBUTE, text("1"));
        }
        if let Some(traceparent) = &self.traceparent {
            entry = entry.message_attributes(TRACEPARENT, text(traceparent));
        }
        entry.build().expect("the id and the body are given")
    }
}

fn text(value: &str) -> MessageAttributeValue {
    let value = MessageAttributeValue::builder().data_type("String").string_value(value);
    value.build().expect("the type is given")
}

fn delivery(message: Message) -> Option<Delivery> {
    let (body, receipt) = (message.body?, message.receipt_handle?);
    let attributes = message.message_attributes.unwrap_or_default();
    let count = message.attributes.unwrap_or_default();
    let count = count.get(&MessageSystemAttributeName::ApproximateReceiveCount);
    Some(Delivery {
        body: match attributes.contains_key(escape::ATTRIBUTE) {
            true => escape::unescape(&body),
            false => body,
        },
        receipt: Receipt(receipt),
        receive_count: count.and_then(|count| count.parse().ok()).unwrap_or(1),
        traceparent: attributes.get(TRACEPARENT).and_then(|value| value.string_value.clone()),
    })
}

/// Whole seconds, rounded up.
fn seconds(time: Duration, max: Duration) -> i32 {
    let whole = time.min(max).as_millis().div_ceil(1_000);
    i32::try_from(whole).expect("the bounds are some hours")
}

fn is_refusal_of_groups<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let error = error.as_service_error();
    error.is_some_and(|error| is_about_groups(error.code().unwrap_or_default(), error.message().unwrap_or_default()))
}

/// Whether the service says that it wants no message group.
fn is_about_groups(code: &str, message: &str) -> bool {
    let codes = ["InvalidParameterValue", "UnsupportedOperation", "ValidationError"];
    codes.iter().any(|known| code.ends_with(known)) && message.contains("MessageGroupId")
}

fn failed<E>(action: &'static str, error: SdkError<E>) -> QueueError
where
    E: std::error::Error + Send + Sync + 'static,
{
    QueueError::Service {
        action,
        source: Box::new(error),
    }
}
