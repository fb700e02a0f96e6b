//! What is particular to SQS: servers that fail, and servers that know less.

use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::{Json, Router};
use serde_json::{Value, json};
use weir_platform::{Queue, QueueError, SendMessage, SqsQueue};
use weir_testkit::{Aws, Fault, Proxy, QueueSpec};

fn messages(count: usize) -> Vec<SendMessage> {
    (0..count)
        .map(|index| SendMessage::new(format!("m{index}"), "tenant"))
        .collect()
}

#[tokio::test]
async fn a_queue_that_does_not_exist_is_named_in_the_error() {
    let aws = Aws::shared().await;
    let queue = SqsQueue::new(
        &aws.sdk_config(),
        format!("{}/000000000000/no-such-queue", aws.endpoint()),
    );
    for error in [
        queue.check().await.unwrap_err(),
        queue.send(messages(1)).await.unwrap_err(),
    ] {
        assert!(matches!(error, QueueError::Service { .. }));
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            words = format!("{words}: {cause}");
            source = cause.source();
        }
        assert!(
            words.contains("NonExistentQueue") || words.contains("does not exist"),
            "{words}"
        );
    }
}

#[tokio::test]
async fn groups_travel_with_messages() {
    let aws = Aws::shared().await;
    let url = aws.queue(&QueueSpec::default()).await;
    let config = aws.sdk_config();
    SqsQueue::new(&config, &url).send(messages(1)).await.unwrap();
    let client = aws_sdk_sqs::Client::new(&config);
    let all = aws_sdk_sqs::types::MessageSystemAttributeName::All;
    let received = client
        .receive_message()
        .queue_url(&url)
        .message_system_attribute_names(all)
        .send()
        .await
        .unwrap();
    let attributes = received.messages()[0].attributes().unwrap();
    assert_eq!(
        attributes[&aws_sdk_sqs::types::MessageSystemAttributeName::MessageGroupId],
        "tenant"
    );
}

#[tokio::test]
async fn calls_that_fail_for_a_while_are_made_again() {
    let aws = Aws::shared().await;
    let url = aws.queue(&QueueSpec::default()).await;
    let policy = |call: &weir_testkit::Call| match call.number % 3 {
        0 => Fault::Refuse(StatusCode::SERVICE_UNAVAILABLE),
        _ => Fault::None,
    };
    let proxy = Proxy::start(&aws.endpoint(), Arc::new(policy)).await;
    let config = aws.sdk_config().into_builder().endpoint_url(proxy.endpoint()).build();
    let queue = SqsQueue::new(&config, url);
    queue.send(messages(15)).await.unwrap();
    let mut left = 15;
    while left > 0 {
        let got = queue
            .receive(15, Duration::from_secs(5), Duration::from_secs(60))
            .await
            .unwrap();
        assert!(!got.is_empty(), "{left} did not come");
        left -= got.len();
        let receipts: Vec<_> = got.into_iter().map(|delivery| delivery.receipt).collect();
        queue.extend(receipts.clone(), Duration::from_secs(30)).await.unwrap();
        queue.delete(receipts).await.unwrap();
    }
    assert!(proxy.faults() > 0);
}

#[tokio::test]
async fn a_call_that_hangs_does_not_keep_a_heartbeat_from_being_heard() {
    let aws = Aws::shared().await;
    let url = aws.queue(&QueueSpec::default()).await;
    let hang = |call: &weir_testkit::Call| match (call.operation.as_deref(), call.number) {
        (Some("ChangeMessageVisibilityBatch"), number) if number < 3 => Fault::Delay(Duration::from_secs(240)),
        _ => Fault::None,
    };
    let proxy = Proxy::start(&aws.endpoint(), Arc::new(hang)).await;
    let config = aws.sdk_config().into_builder().endpoint_url(proxy.endpoint()).build();
    let queue = SqsQueue::new(&config, url);
    queue.send(messages(1)).await.unwrap();
    let got = queue
        .receive(1, Duration::from_secs(5), Duration::from_secs(60))
        .await
        .unwrap();
    let receipts = vec![got[0].receipt.clone()];
    let extended = queue.extend(receipts.clone(), Duration::from_secs(90));
    tokio::time::timeout(Duration::from_secs(120), extended)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(proxy.faults(), 1, "the first call hung");
    queue.delete(receipts).await.unwrap();
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_is_sent_twice_and_not_lost() {
    let aws = Aws::shared().await;
    let url = aws.queue(&QueueSpec::default()).await;
    let lose = |call: &weir_testkit::Call| match call.number {
        0 => Fault::LoseAnswer,
        _ => Fault::None,
    };
    let proxy = Proxy::start(&aws.endpoint(), Arc::new(lose)).await;
    let config = aws.sdk_config().into_builder().endpoint_url(proxy.endpoint()).build();
    let queue = SqsQueue::new(&config, url);
    queue.send(messages(1)).await.unwrap();
    let mut bodies = Vec::new();
    while bodies.len() < 2 {
        let got = queue
            .receive(2, Duration::from_secs(5), Duration::from_secs(60))
            .await
            .unwrap();
        assert!(!got.is_empty(), "only {bodies:?} came");
        bodies.extend(got.into_iter().map(|delivery| delivery.body));
    }
    assert_eq!(bodies, ["m0", "m0"]);
}

/// A server whose batch calls are answered by a function, which gets the entries.
async fn scripted(answer: impl Fn(&[Value]) -> (StatusCode, Value) + Send + Sync + 'static) -> SqsQueue {
    let answer = Arc::new(answer);
    let handle = move |_: HeaderMap, body: String| {
        let answer = answer.clone();
        async move {
            let body: Value = serde_json::from_str(&body).unwrap();
            let (status, body) = answer(body["Entries"].as_array().unwrap());
            let error = body["__type"].as_str().unwrap_or_default().to_owned();
            ([("x-amzn-errortype", error)], (status, Json(body)).into_response())
        }
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handle)).await });
    let config = Aws::shared().await.sdk_config();
    let config = config.into_builder().endpoint_url(&endpoint).build();
    SqsQueue::new(&config, format!("{endpoint}/000000000000/scripted"))
}

fn taken(entry: &Value) -> Value {
    let digest = "d41d8cd98f00b204e9800998ecf8427e";
    json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": digest})
}

#[tokio::test]
async fn a_server_without_groups_gets_messages_without() {
    const REASON: &str = "Value tenant for parameter MessageGroupId is invalid. \
                          Reason: The request include parameter that is not valid for this queue type.";
    // Some refuse the call and some the entries.
    for whole_call in [true, false] {
        let (with_groups, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (with_groups.clone(), sent.clone());
        let queue = scripted(move |entries| {
            let (refused, good): (Vec<_>, Vec<_>) =
                entries.iter().partition(|entry| entry.get("MessageGroupId").is_some());
            counts.0.fetch_add(refused.len(), Ordering::SeqCst);
            if whole_call && !refused.is_empty() {
                let error = json!({"__type": "com.amazonaws.sqs#InvalidParameterValue", "message": REASON});
                return (StatusCode::BAD_REQUEST, error);
            }
            counts.1.fetch_add(good.len(), Ordering::SeqCst);
            let refusal = |entry: &&Value| {
                json!({"Id": entry["Id"], "SenderFault": true, "Code": "InvalidParameterValue", "Message": REASON})
            };
            let failed: Vec<_> = refused.iter().map(refusal).collect();
            let successful: Vec<_> = good.into_iter().map(taken).collect();
            (StatusCode::OK, json!({"Successful": successful, "Failed": failed}))
        })
        .await;
        queue.send(messages(3)).await.unwrap();
        assert_eq!(
            (with_groups.load(Ordering::SeqCst), sent.load(Ordering::SeqCst)),
            (3, 3)
        );
        queue.send(messages(3)).await.unwrap();
        assert_eq!(with_groups.load(Ordering::SeqCst), 3, "it is remembered");
    }
}

/// Refuses one entry some times, and says what came of sending it with others and how often which was sent.
async fn send_with_refusals(times: usize, sender_fault: bool) -> (Result<(), QueueError>, Vec<usize>) {
    let seen = Arc::new(Mutex::new(vec![0; 5]));
    let counts = seen.clone();
    let queue = scripted(move |entries| {
        let mut seen = counts.lock().unwrap();
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in entries {
            let index: usize = entry["MessageBody"].as_str().unwrap()[1..].parse().unwrap();
            seen[index] += 1;
            if index == 2 && seen[index] <= times {
                failed.push(json!({
                    "Id": entry["Id"], "SenderFault": sender_fault, "Code": "Odd", "Message": "not today",
                }));
            } else {
                successful.push(taken(entry));
            }
        }
        (StatusCode::OK, json!({"Successful": successful, "Failed": failed}))
    })
    .await;
    let sent = queue.send(messages(5)).await;
    let seen = seen.lock().unwrap().clone();
    (sent, seen)
}

#[tokio::test]
async fn an_entry_that_is_refused_is_sent_again_alone_and_not_for_ever() {
    let (sent, seen) = send_with_refusals(2, false).await;
    sent.unwrap();
    assert_eq!(seen, [1, 1, 3, 1, 1]);

    let (sent, seen) = send_with_refusals(usize::MAX, false).await;
    let error = sent.unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "Odd: not today");
    assert_eq!(seen, [1, 1, 4, 1, 1]);

    let (sent, seen) = send_with_refusals(usize::MAX, true).await;
    sent.unwrap_err();
    assert_eq!(seen, [1, 1, 1, 1, 1], "what is the sender's fault stays so");
}
