//! What every queue does: the one in the process and SQS.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_platform::{
    Delivery, MAX_MESSAGE_BYTES, MemoryQueue, MemoryQueueOptions, Queue, QueueError, Receipt, SendMessage, SqsQueue,
};
use weir_testkit::{Aws, DeadLetters, QueueSpec};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);
/// The shortest visibility that SQS knows.
const SHORT: Duration = Duration::from_secs(1);
/// How long something that is sure to come is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long something that must not come is waited for.
const QUIET: Duration = Duration::from_millis(1_500);

/// Makes queues of one kind.
#[derive(Clone, Copy)]
enum Kind {
    Memory,
    Sqs,
}

impl Kind {
    async fn queue(self) -> Arc<dyn Queue> {
        match self {
            Self::Memory => Arc::new(MemoryQueue::new(MemoryQueueOptions::default())),
            Self::Sqs => {
                let aws = Aws::shared().await;
                let url = aws.queue(&QueueSpec::default()).await;
                Arc::new(SqsQueue::new(&aws.sdk_config(), url))
            }
        }
    }

    /// A queue, and where its messages go after two receives.
    async fn queue_with_dead_letters(self) -> (Arc<dyn Queue>, Arc<dyn Queue>) {
        match self {
            Self::Memory => {
                let dead = Arc::new(MemoryQueue::new(MemoryQueueOptions::default()));
                let options = MemoryQueueOptions {
                    max_receives: 2,
                    dead_letters: Some(dead.clone()),
                    ..MemoryQueueOptions::default()
                };
                (Arc::new(MemoryQueue::new(options)), dead)
            }
            Self::Sqs => {
                let aws = Aws::shared().await;
                let dead = aws.queue(&QueueSpec::default()).await;
                let dead_letters = Some(DeadLetters {
                    queue: dead.clone(),
                    max_receives: 2,
                });
                let url = aws
                    .queue(&QueueSpec {
                        dead_letters,
                        ..QueueSpec::default()
                    })
                    .await;
                let config = aws.sdk_config();
                (
                    Arc::new(SqsQueue::new(&config, url)),
                    Arc::new(SqsQueue::new(&config, dead)),
                )
            }
        }
    }
}

/// Runs each function of this module for both kinds of queues.
macro_rules! for_both {
    ($($name:ident,)*) => {
        mod memory {
            $(#[tokio::test] async fn $name() { super::$name(super::Kind::Memory).await; })*
        }
        mod sqs {
            $(#[tokio::test] async fn $name() { super::$name(super::Kind::Sqs).await; })*
        }
    };
}

for_both![
    a_message_comes_as_it_was_sent,
    a_message_is_hidden_until_its_visibility_is_over,
    a_deleted_message_is_gone,
    extending_keeps_a_message_hidden,
    a_message_that_is_given_back_comes_at_once,
    stale_receipts_change_nothing,
    a_delayed_message_comes_later,
    a_waiting_receiver_is_woken,
    many_messages_come_once_each,
    large_messages_do_not_disturb_each_other,
    a_message_that_is_too_large_is_refused,
    a_message_received_too_often_is_set_aside,
    a_dropped_receive_loses_nothing,
    nothing_to_do_is_no_error,
];

fn message(body: &str) -> SendMessage {
    SendMessage::new(body, "tenant")
}

/// Receives until there are `count` messages, each hidden for a long time.
async fn take(queue: &dyn Queue, count: usize) -> Vec<Delivery> {
    let start = Instant::now();
    let mut taken = Vec::new();
    while taken.len() < count {
        assert!(start.elapsed() < PATIENCE, "only {} of {count} came", taken.len());
        taken.extend(queue.receive(count - taken.len(), SHORT, LONG).await.unwrap());
    }
    taken
}

async fn is_quiet(queue: &dyn Queue) -> bool {
    queue.receive(10, QUIET, LONG).await.unwrap().is_empty()
}

fn receipts(deliveries: &[Delivery]) -> Vec<Receipt> {
    deliveries.iter().map(|delivery| delivery.receipt.clone()).collect()
}

async fn a_message_comes_as_it_was_sent(kind: Kind) {
    let queue = kind.queue().await;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let bodies = ["{\"a\": 1}", "100 % ü 🎈\n", "odd: \u{1}\u{0} %0041 \u{FFFF}"];
    let sent = bodies.iter().enumerate().map(|(index, body)| SendMessage {
        traceparent: (index == 1).then(|| traceparent.to_owned()),
        ..message(body)
    });
    queue.send(sent.collect()).await.unwrap();
    let got = take(&*queue, 3).await;
    let by_body: HashMap<&str, &Delivery> = got.iter().map(|delivery| (delivery.body.as_str(), delivery)).collect();
    for (index, body) in bodies.iter().enumerate() {
        let delivery = by_body[body];
        assert_eq!(delivery.receive_count, 1);
        assert_eq!(delivery.traceparent.as_deref(), (index == 1).then_some(traceparent));
    }
}

async fn a_message_is_hidden_until_its_visibility_is_over(kind: Kind) {
    let queue = kind.queue().await;
    queue.send(vec![message("m")]).await.unwrap();
    let start = Instant::now();
    let first = queue.receive(10, PATIENCE, SHORT).await.unwrap();
    assert_eq!(first[0].receive_count, 1);
    let second = take(&*queue, 1).await;
    assert!(
        start.elapsed() >= SHORT - Duration::from_millis(20),
        "it came while it was hidden"
    );
    assert_eq!((second[0].body.as_str(), second[0].receive_count), ("m", 2));
}

async fn a_deleted_message_is_gone(kind: Kind) {
    let queue = kind.queue().await;
    queue
        .send((0..25).map(|index| message(&index.to_string())).collect())
        .await
        .unwrap();
    let mut left: BTreeSet<_> = (0..25).map(|index| index.to_string()).collect();
    while !left.is_empty() {
        let got = queue.receive(25, PATIENCE, SHORT).await.unwrap();
        assert!(!got.is_empty(), "{left:?} did not come");
        got.iter().for_each(|delivery| _ = left.remove(&delivery.body));
        queue.delete(receipts(&got)).await.unwrap();
    }
    assert!(is_quiet(&*queue).await);
}

async fn extending_keeps_a_message_hidden(kind: Kind) {
    // With time to extend it before it comes again.
    let visible = 5 * SHORT;
    let queue = kind.queue().await;
    queue
        .send((0..12).map(|index| message(&index.to_string())).collect())
        .await
        .unwrap();
    let mut got = Vec::new();
    while got.len() < 12 {
        let more = queue.receive(12, PATIENCE, visible).await.unwrap();
        queue.extend(receipts(&more), LONG).await.unwrap();
        got.extend(more);
    }
    assert!(queue.receive(10, visible + SHORT, LONG).await.unwrap().is_empty());
}

async fn a_message_that_is_given_back_comes_at_once(kind: Kind) {
    let queue = kind.queue().await;
    queue.send(vec![message("m")]).await.unwrap();
    let got = take(&*queue, 1).await;
    queue.extend(receipts(&got), Duration::ZERO).await.unwrap();
    let again = take(&*queue, 1).await;
    assert_eq!((again[0].body.as_str(), again[0].receive_count), ("m", 2));
}

async fn stale_receipts_change_nothing(kind: Kind) {
    let queue = kind.queue().await;
    queue.send(vec![message("m"), message("n")]).await.unwrap();
    let first = take(&*queue, 2).await;
    queue.extend(receipts(&first), Duration::ZERO).await.unwrap();
    let second = take(&*queue, 2).await;
    let mut stale = receipts(&first);
    stale.push(Receipt("made up".into()));
    queue.extend(stale.clone(), Duration::ZERO).await.unwrap();
    assert!(is_quiet(&*queue).await, "extended by a stale receipt");
    queue.delete(stale).await.unwrap();
    queue.extend(receipts(&second), Duration::ZERO).await.unwrap();
    let third = take(&*queue, 2).await;
    assert_eq!(third[0].receive_count, 3, "deleted by a stale receipt");
    queue.delete(receipts(&third)).await.unwrap();
    queue.delete(receipts(&third)).await.unwrap();
    queue.extend(receipts(&third), LONG).await.unwrap();
}

async fn a_delayed_message_comes_later(kind: Kind) {
    let queue = kind.queue().await;
    let later = SendMessage {
        delay: SHORT,
        ..message("later")
    };
    let start = Instant::now();
    queue.send(vec![later, message("now")]).await.unwrap();
    assert_eq!(take(&*queue, 1).await[0].body, "now");
    assert_eq!(take(&*queue, 1).await[0].body, "later");
    assert!(start.elapsed() >= SHORT - Duration::from_millis(20));
}

async fn a_waiting_receiver_is_woken(kind: Kind) {
    let queue = kind.queue().await;
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.receive(10, PATIENCE, LONG).await.unwrap() }
    });
    // It is not known when the receiver has begun to wait: so it may find the message at once, which is right as well.
    queue.send(vec![message("m")]).await.unwrap();
    let start = Instant::now();
    assert_eq!(waiting.await.unwrap()[0].body, "m");
    assert!(start.elapsed() < PATIENCE / 2, "it waited to the end");
}

async fn many_messages_come_once_each(kind: Kind) {
    let queue = kind.queue().await;
    let bodies: BTreeSet<_> = (0..300).map(|index| format!("m{index}")).collect();
    queue
        .send(bodies.iter().map(|body| message(body)).collect())
        .await
        .unwrap();
    let got = take(&*queue, 300).await;
    assert_eq!(
        got.into_iter().map(|delivery| delivery.body).collect::<BTreeSet<_>>(),
        bodies
    );
    assert!(is_quiet(&*queue).await);
}

async fn large_messages_do_not_disturb_each_other(kind: Kind) {
    let queue = kind.queue().await;
    let bodies: Vec<_> = (0..7).map(|index| format!("{index}{}", "x".repeat(100_000))).collect();
    queue
        .send(bodies.iter().map(|body| message(body)).collect())
        .await
        .unwrap();
    let got: BTreeSet<_> = take(&*queue, 7)
        .await
        .into_iter()
        .map(|delivery| delivery.body)
        .collect();
    assert_eq!(got, bodies.into_iter().collect());
}

async fn a_message_that_is_too_large_is_refused(kind: Kind) {
    let queue = kind.queue().await;
    let body = "x".repeat(MAX_MESSAGE_BYTES);
    let too_large = SendMessage {
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        ..message(&body)
    };
    let refused = queue.send(vec![message("small"), too_large]).await.unwrap_err();
    assert!(
        matches!(refused, QueueError::TooLarge { bytes } if bytes > MAX_MESSAGE_BYTES),
        "{refused}"
    );
    assert!(is_quiet(&*queue).await, "none was to be sent");
    queue.send(vec![message(&body)]).await.unwrap();
    assert_eq!(take(&*queue, 1).await[0].body, body);
}

async fn a_message_received_too_often_is_set_aside(kind: Kind) {
    let (queue, dead) = kind.queue_with_dead_letters().await;
    queue.send(vec![message("poison")]).await.unwrap();
    for count in 1..=2 {
        let got = take(&*queue, 1).await;
        assert_eq!(got[0].receive_count, count);
        queue.extend(receipts(&got), Duration::ZERO).await.unwrap();
    }
    assert!(is_quiet(&*queue).await);
    assert_eq!(take(&*dead, 1).await[0].body, "poison");
}

async fn a_dropped_receive_loses_nothing(kind: Kind) {
    let queue = kind.queue().await;
    let bodies: BTreeSet<_> = (0..40).map(|index| format!("m{index}")).collect();
    queue
        .send(bodies.iter().map(|body| message(body)).collect())
        .await
        .unwrap();
    // Dropped at all sorts of moments.
    for micros in [1, 500, 1_000, 2_000, 4_000, 8_000, 16_000] {
        let receive = queue.receive(40, PATIENCE, SHORT);
        let _ = tokio::time::timeout(Duration::from_micros(micros), receive).await;
    }
    let start = Instant::now();
    let mut got = BTreeSet::new();
    while got.len() < bodies.len() {
        assert!(start.elapsed() < PATIENCE, "only {got:?} came");
        let more = queue.receive(40, SHORT, SHORT).await.unwrap();
        queue.delete(receipts(&more)).await.unwrap();
        got.extend(more.into_iter().map(|delivery| delivery.body));
    }
    assert_eq!(got, bodies);
}

async fn nothing_to_do_is_no_error(kind: Kind) {
    let queue = kind.queue().await;
    queue.check().await.unwrap();
    queue.send(Vec::new()).await.unwrap();
    queue.delete(Vec::new()).await.unwrap();
    queue.extend(Vec::new(), LONG).await.unwrap();
    queue.send(vec![message("m")]).await.unwrap();
    assert!(queue.receive(0, LONG, LONG).await.unwrap().is_empty());
    assert_eq!(take(&*queue, 1).await.len(), 1);
}
