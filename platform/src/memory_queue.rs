//! A queue inside the process.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::{Delivery, Queue, QueueError, Receipt, SendMessage};

/// Bounds of a [`MemoryQueue`].
#[derive(Clone)]
pub struct MemoryQueueOptions {
    /// Messages that it holds at most, in-flight ones included.
    pub limit: usize,
    /// Deliveries of one message, after which it goes to `dead_letters` instead of being delivered again.
    pub max_receives: u32,
    /// Another queue, which takes messages that were received too often; without it, or when it is full, they are
    /// dropped with a warning.
    pub dead_letters: Option<Arc<MemoryQueue>>,
}

impl Default for MemoryQueueOptions {
    fn default() -> Self {
        Self {
            limit: 100_000,
            max_receives: 20,
            dead_letters: None,
        }
    }
}

/// A queue inside the process, with the semantics of a remote one. Message groups are served in turn.
///
/// All operations cost O(log n) per message at most. Time is tokio's, so that tests can pause it.
pub struct MemoryQueue {
    state: Mutex<State>,
    /// Holds a permit, or has woken a receiver, whenever a message is ready or a timer runs while a receiver waits:
    /// whoever leaves passes it on.
    wake: Notify,
    options: MemoryQueueOptions,
}

#[derive(Default)]
struct State {
    next_id: u64,
    messages: HashMap<u64, Message>,
    /// Ready messages by group; no group is empty.
    ready: HashMap<Arc<str>, VecDeque<u64>>,
    /// The groups of `ready`, the next to be served first.
    turns: VecDeque<Arc<str>>,
    /// When hidden messages become ready.
    timers: BTreeSet<(Instant, u64)>,
}

struct Message {
    body: String,
    group: Arc<str>,
    traceparent: Option<String>,
    receive_count: u32,
    /// The key of its entry in `timers`; `None` while it is ready.
    hidden_until: Option<Instant>,
}

impl MemoryQueue {
    /// An empty queue.
    pub fn new(options: MemoryQueueOptions) -> Self {
        Self {
            state: Mutex::default(),
            wake: Notify::new(),
            options,
        }
    }

    /// Messages that it holds, hidden ones included.
    pub fn len(&self) -> usize {
        self.lock().messages.len()
    }

    /// Whether it holds no message.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is changed by code that does not panic halfway, the hook being called last.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up to `max` ready messages; when there are none, says until when to wait for a timer.
    fn try_receive(&self, max: usize, visibility: Duration) -> Result<Vec<Delivery>, Option<Instant>> {
        let now = Instant::now();
        let mut state = self.lock();
        state.release_due(now, &self.options);
        let mut deliveries = Vec::new();
        while deliveries.len() < max
            && let Some(id) = state.pop_ready()
        {
            deliveries.push(state.deliver(id, now + visibility));
        }
        let next_timer = state.timers.first().map(|(at, _)| *at);
        let others_have_work = !state.turns.is_empty() || next_timer.is_some();
        drop(state);
        if deliveries.is_empty() {
            return Err(next_timer);
        }
        if others_have_work {
            self.wake.notify_one();
        }
        Ok(deliveries)
    }
}

impl State {
    fn make_ready(&mut self, id: u64) {
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        message.hidden_until = None;
        let queue = self.ready.entry(message.group.clone()).or_default();
        if queue.is_empty() {
            self.turns.push_back(message.group.clone());
        }
        queue.push_back(id);
    }

    fn hide(&mut self, id: u64, until: Instant) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.hidden_until = Some(until);
            self.timers.insert((until, id));
        }
    }

    fn pop_ready(&mut self) -> Option<u64> {
        let group = self.turns.pop_front()?;
        let queue = self.ready.get_mut(&group)?;
        let id = queue.pop_front();
        if queue.is_empty() {
            self.ready.remove(&group);
        } else {
            self.turns.push_back(group);
        }
        id
    }

    fn deliver(&mut self, id: u64, until: Instant) -> Delivery {
        self.hide(id, until);
        let message = self.messages.get_mut(&id).expect("ready messages exist");
        message.receive_count += 1;
        Delivery {
            body: message.body.clone(),
            receipt: Receipt(format!("{id}-{}", message.receive_count)),
            receive_count: message.receive_count,
            traceparent: message.traceparent.clone(),
        }
    }

    /// Makes messages ready whose delay or visibility timeout is over.
    fn release_due(&mut self, now: Instant, options: &MemoryQueueOptions) {
        while let Some(&(at, id)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            if self.messages[&id].receive_count < options.max_receives {
                self.make_ready(id);
            } else if let Some(message) = self.messages.remove(&id) {
                set_aside(message, options);
            }
        }
    }

    /// The message of a receipt that is not stale: it is in flight, from this very delivery.
    fn in_flight(&self, receipt: &Receipt, now: Instant) -> Option<(u64, Instant)> {
        let (id, count) = receipt.0.split_once('-')?;
        let (id, count) = (id.parse().ok()?, count.parse::<u32>().ok()?);
        let message = self.messages.get(&id)?;
        let until = message.hidden_until?;
        (message.receive_count == count && until > now).then_some((id, until))
    }
}

fn set_aside(message: Message, options: &MemoryQueueOptions) {
    let Some(queue) = &options.dead_letters else {
        tracing::warn!(body = message.body, "dropped a message that was received too often");
        return;
    };
    let letter = SendMessage {
        body: message.body,
        group: message.group.to_string(),
        delay: Duration::ZERO,
        traceparent: message.traceparent,
    };
    if let Err(error) = queue.put(vec![letter]) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "dropped a message that was received too often"
        );
    }
}

impl MemoryQueue {
    /// What [`Queue::send`] does.
    fn put(&self, messages: Vec<SendMessage>) -> Result<(), QueueError> {
        messages.iter().try_for_each(SendMessage::check_size)?;
        let now = Instant::now();
        let limit = self.options.limit;
        {
            let mut state = self.lock();
            if state.messages.len() + messages.len() > limit {
                return Err(QueueError::Full { limit });
            }
            let mut group: Arc<str> = Arc::from("");
            for message in messages {
                if *group != *message.group {
                    group = Arc::from(message.group);
                }
                let id = state.next_id;
                state.next_id += 1;
                state.messages.insert(
                    id,
                    Message {
                        body: message.body,
                        group: group.clone(),
                        traceparent: message.traceparent,
                        receive_count: 0,
                        hidden_until: None,
                    },
                );
                if message.delay.is_zero() {
                    state.make_ready(id);
                } else {
                    state.hide(id, now + message.delay);
                }
            }
        }
        self.wake.notify_one();
        Ok(())
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn send(&self, messages: Vec<SendMessage>) -> Result<(), QueueError> {
        self.put(messages)
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        let deadline = Instant::now() + wait;
        if max == 0 {
            return Ok(Vec::new());
        }
        loop {
            // Made before looking, so that a message which arrives in between is not missed.
            let woken = self.wake.notified();
            let wake_at = match self.try_receive(max, visibility) {
                Ok(deliveries) => return Ok(deliveries),
                Err(timer) => timer.map_or(deadline, |timer| timer.min(deadline)),
            };
            if Instant::now() >= deadline {
                self.wake.notify_one();
                return Ok(Vec::new());
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep_until(wake_at) => {}
            }
        }
    }

    async fn delete(&self, receipts: Vec<Receipt>) -> Result<(), QueueError> {
        let now = Instant::now();
        let mut state = self.lock();
        for receipt in &receipts {
            if let Some((id, until)) = state.in_flight(receipt, now) {
                state.timers.remove(&(until, id));
                state.messages.remove(&id);
            }
        }
        Ok(())
    }

    async fn extend(&self, receipts: Vec<Receipt>, visibility: Duration) -> Result<(), QueueError> {
        let now = Instant::now();
        {
            let mut state = self.lock();
            for receipt in &receipts {
                if let Some((id, until)) = state.in_flight(receipt, now) {
                    state.timers.remove(&(until, id));
                    state.hide(id, now + visibility);
                }
            }
        }
        // The next timer may be an earlier one now.
        self.wake.notify_one();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VISIBLE: Duration = Duration::from_secs(30);

    fn queue() -> MemoryQueue {
        MemoryQueue::new(MemoryQueueOptions::default())
    }

    fn message(body: &str, group: &str, delay_ms: u64) -> SendMessage {
        SendMessage {
            delay: Duration::from_millis(delay_ms),
            ..SendMessage::new(body, group)
        }
    }

    async fn receive(queue: &MemoryQueue, max: usize, wait_ms: u64) -> Vec<Delivery> {
        queue
            .receive(max, Duration::from_millis(wait_ms), VISIBLE)
            .await
            .unwrap()
    }

    fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
        deliveries.iter().map(|d| d.body.as_str()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_comes_back_until_it_is_deleted() {
        let queue = queue();
        queue.send(vec![message("m", "g", 0)]).await.unwrap();
        let first = receive(&queue, 10, 0).await;
        assert_eq!(first[0].receive_count, 1);
        assert!(receive(&queue, 10, 29_999).await.is_empty());
        let start = Instant::now();
        let second = receive(&queue, 10, 60_000).await;
        assert_eq!(
            start.elapsed(),
            Duration::from_millis(1),
            "it comes as soon as it is visible"
        );
        assert_eq!((second[0].receive_count, second[0].body.as_str()), (2, "m"));

        queue.delete(vec![first[0].receipt.clone()]).await.unwrap();
        assert_eq!(queue.len(), 1, "a stale receipt deletes nothing");
        queue
            .delete(vec![second[0].receipt.clone(), Receipt("x".into())])
            .await
            .unwrap();
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn extending_keeps_a_message_hidden_or_gives_it_back() {
        let queue = queue();
        queue.send(vec![message("m", "g", 0)]).await.unwrap();
        let first = receive(&queue, 1, 0).await;
        queue
            .extend(vec![first[0].receipt.clone()], Duration::from_secs(100))
            .await
            .unwrap();
        assert!(receive(&queue, 1, 99_000).await.is_empty());
        queue
            .extend(vec![first[0].receipt.clone()], Duration::ZERO)
            .await
            .unwrap();
        let second = receive(&queue, 1, 0).await;
        assert_eq!(second[0].receive_count, 2);
        queue
            .extend(vec![first[0].receipt.clone()], Duration::ZERO)
            .await
            .unwrap();
        assert!(
            receive(&queue, 1, 0).await.is_empty(),
            "a stale receipt changes nothing"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_receiver_is_woken_by_a_message_a_delay_and_a_shorter_visibility() {
        let queue = Arc::new(queue());
        let waiter = |queue: &Arc<MemoryQueue>| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let start = Instant::now();
                let got = receive(&queue, 1, 20_000).await;
                (got, start.elapsed().as_millis())
            })
        };
        let waiting = waiter(&queue);
        tokio::time::sleep(Duration::from_millis(5)).await;
        queue.send(vec![message("now", "g", 0)]).await.unwrap();
        let (got, waited) = waiting.await.unwrap();
        assert_eq!((bodies(&got), waited), (vec!["now"], 5));

        let waiting = waiter(&queue);
        tokio::task::yield_now().await;
        queue.send(vec![message("later", "g", 700)]).await.unwrap();
        let (late, waited) = waiting.await.unwrap();
        assert_eq!((bodies(&late), waited), (vec!["later"], 700));

        let waiting = waiter(&queue);
        tokio::time::sleep(Duration::from_millis(3)).await;
        queue
            .extend(vec![got[0].receipt.clone()], Duration::from_millis(4))
            .await
            .unwrap();
        let (again, waited) = waiting.await.unwrap();
        assert_eq!((bodies(&again), waited), (vec!["now"], 7));
    }

    #[tokio::test(start_paused = true)]
    async fn one_batch_wakes_every_receiver_that_it_has_work_for() {
        let queue = Arc::new(queue());
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { receive(&queue, 1, 1000).await.len() })
            })
            .collect();
        tokio::task::yield_now().await;
        let start = Instant::now();
        queue
            .send((0..8).map(|i| message(&i.to_string(), "g", 0)).collect())
            .await
            .unwrap();
        for waiter in waiting {
            assert_eq!(waiter.await.unwrap(), 1);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_receiver_loses_no_wake_up() {
        let queue = Arc::new(queue());
        let spawn = || {
            let queue = queue.clone();
            tokio::spawn(async move { receive(&queue, 1, 10_000).await.len() })
        };
        let (first, second) = (spawn(), spawn());
        tokio::task::yield_now().await;
        queue.send(vec![message("m", "g", 0)]).await.unwrap();
        first.abort();
        let start = Instant::now();
        assert_eq!(second.await.unwrap(), 1);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn groups_are_served_in_turn() {
        let queue = queue();
        let flood = (0..100).map(|i| message(&format!("a{i}"), "a", 0)).collect();
        queue.send(flood).await.unwrap();
        queue
            .send(vec![message("b0", "b", 0), message("b1", "b", 0)])
            .await
            .unwrap();
        assert_eq!(bodies(&receive(&queue, 5, 0).await), ["a0", "b0", "a1", "b1", "a2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_says_so_until_something_is_deleted() {
        let queue = MemoryQueue::new(MemoryQueueOptions {
            limit: 2,
            ..MemoryQueueOptions::default()
        });
        queue
            .send(vec![message("1", "g", 0), message("2", "g", 5)])
            .await
            .unwrap();
        let refused = queue.send(vec![message("3", "g", 0)]).await;
        assert!(matches!(refused, Err(QueueError::Full { limit: 2 })));
        let got = receive(&queue, 1, 0).await;
        queue.delete(vec![got[0].receipt.clone()]).await.unwrap();
        queue.send(vec![message("3", "g", 0)]).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_is_received_too_often_is_set_aside() {
        let dead = Arc::new(MemoryQueue::new(MemoryQueueOptions::default()));
        let queue = MemoryQueue::new(MemoryQueueOptions {
            max_receives: 2,
            dead_letters: Some(dead.clone()),
            ..MemoryQueueOptions::default()
        });
        queue.send(vec![message("poison", "g", 0)]).await.unwrap();
        for count in 1..=2 {
            assert_eq!(receive(&queue, 1, 40_000).await[0].receive_count, count);
        }
        assert!(receive(&queue, 1, 40_000).await.is_empty());
        assert_eq!(bodies(&receive(&dead, 10, 0).await), ["poison"]);
        assert!(queue.is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_receivers_handle_every_message_once_when_all_delete_in_time() {
        let queue = Arc::new(queue());
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    let mut seen = Vec::new();
                    loop {
                        let got = receive(&queue, 7, 100).await;
                        if got.is_empty() {
                            return seen;
                        }
                        seen.extend(got.iter().map(|d| d.body.clone()));
                        queue
                            .delete(got.into_iter().map(|d| d.receipt).collect())
                            .await
                            .unwrap();
                    }
                })
            })
            .collect();
        for batch in 0..200 {
            let messages = (0..50)
                .map(|i| message(&format!("{batch}-{i}"), ["a", "b", "c"][i % 3], 0))
                .collect();
            queue.send(messages).await.unwrap();
        }
        let mut seen = Vec::new();
        for receiver in receivers {
            seen.extend(receiver.await.unwrap());
        }
        assert_eq!(seen.len(), 10_000);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 10_000);
        assert!(queue.is_empty());
    }
}
