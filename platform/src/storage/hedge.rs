//! Reads that are sent a second time when the first answer is late.
//!
//! A few of many reads from S3 take ten times as long as the others, and a stage ends with the slowest of them. A
//! second request nearly always overtakes such a one. It is sent when the first has taken longer than nineteen of
//! twenty reads of about that size did lately, and only within a budget: when everything is slow, sending more helps
//! nobody.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use object_store::{Error, Result};
use tokio::time::Instant;

/// Reads that are remembered of each class of sizes.
const SAMPLES: usize = 64;
/// Reads that must be known before a class has a delay of its own.
const ENOUGH: usize = 16;
/// The delay until then.
const FIRST_DELAY: Duration = Duration::from_secs(2);
const MIN_DELAY: Duration = Duration::from_millis(20);
const MAX_DELAY: Duration = Duration::from_secs(5);
/// What a read adds to the budget; a second request takes one from it.
const EARNED: f64 = 0.05;
/// The most that the budget holds, and what it begins with.
const BUDGET: f64 = 10.0;
/// The upper bounds of the classes, in bytes; there is one more above, and one for sizes that are not known.
const CLASSES: [u64; 3] = [64 << 10, 1 << 20, 16 << 20];

/// Latencies of late, and the budget.
pub(super) struct Hedge {
    state: Mutex<State>,
}

struct State {
    classes: [Latencies; CLASSES.len() + 2],
    budget: f64,
}

#[derive(Clone, Default)]
struct Latencies {
    samples: Vec<Duration>,
    next: usize,
}

impl Default for Hedge {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                classes: Default::default(),
                budget: BUDGET,
            }),
        }
    }
}

impl Latencies {
    fn add(&mut self, latency: Duration) {
        match self.samples.get_mut(self.next) {
            Some(sample) => *sample = latency,
            None => self.samples.push(latency),
        }
        self.next = (self.next + 1) % SAMPLES;
    }

    /// What nineteen of twenty reads do not exceed.
    fn delay(&self) -> Duration {
        if self.samples.len() < ENOUGH {
            return FIRST_DELAY;
        }
        let mut sorted = self.samples.clone();
        let rank = sorted.len() * 19 / 20;
        let (_, latency, _) = sorted.select_nth_unstable(rank);
        (*latency).clamp(MIN_DELAY, MAX_DELAY)
    }
}

fn class(size: Option<u64>) -> usize {
    match size {
        Some(size) => CLASSES.partition_point(|bound| *bound < size),
        None => CLASSES.len() + 1,
    }
}

impl Hedge {
    /// Sends a read of so many bytes, and again if the answer is late; the first answer counts.
    pub(super) async fn read<T, F>(&self, size: Option<u64>, request: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let class = class(size);
        let delay = self.with(|state| {
            state.budget = (state.budget + EARNED).min(BUDGET);
            state.classes[class].delay()
        });
        let started = Instant::now();
        let first = std::pin::pin!(request());
        let first = match select(first, std::pin::pin!(tokio::time::sleep(delay))).await {
            Either::Left((answer, _)) => return self.answered(class, started, answer),
            Either::Right(((), first)) => first,
        };
        if !self.with(State::spend) {
            return self.answered(class, started, first.await);
        }
        tracing::debug!(?size, ?delay, "reading a second time");
        let again = Instant::now();
        let second = std::pin::pin!(request());
        match select(first, second).await {
            // Whether the object is missing, either may say; that the line is down means nothing for the other.
            Either::Left((Err(Error::Generic { .. }), second)) => self.answered(class, again, second.await),
            Either::Right((Err(Error::Generic { .. }), first)) => self.answered(class, started, first.await),
            Either::Left((answer, _)) => self.answered(class, started, answer),
            Either::Right((answer, _)) => self.answered(class, again, answer),
        }
    }

    fn answered<T>(&self, class: usize, started: Instant, answer: Result<T>) -> Result<T> {
        if answer.is_ok() {
            self.with(|state| state.classes[class].add(started.elapsed()));
        }
        answer
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn spend(&mut self) -> bool {
        let enough = self.budget >= 1.0;
        if enough {
            self.budget -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const FAST: Duration = Duration::from_millis(30);
    const SLOW: Duration = Duration::from_secs(60);

    /// Reads once; the n-th request to come takes `latency(n)`. Says how long the read took and how many were sent.
    async fn read(hedge: &Hedge, latency: impl Fn(u32) -> (Duration, Result<u32>)) -> (Result<u32>, Duration, u32) {
        let (sent, started) = (AtomicU32::new(0), Instant::now());
        let answer = hedge
            .read(Some(100), || {
                let n = sent.fetch_add(1, Ordering::Relaxed);
                let (wait, answer) = latency(n);
                async move {
                    tokio::time::sleep(wait).await;
                    answer
                }
            })
            .await;
        (answer, started.elapsed(), sent.into_inner())
    }

    async fn warmed_up() -> Hedge {
        let hedge = Hedge::default();
        for _ in 0..ENOUGH {
            read(&hedge, |n| (FAST, Ok(n))).await.0.unwrap();
        }
        hedge
    }

    fn down() -> Error {
        Error::Generic {
            store: "test",
            source: "down".into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_is_overtaken() {
        let hedge = warmed_up().await;
        let (answer, took, sent) = read(&hedge, |n| (if n == 0 { SLOW } else { FAST }, Ok(n))).await;
        assert_eq!((answer.unwrap(), sent), (1, 2));
        assert!(took < 3 * FAST, "{took:?}");
        let (answer, _, sent) = read(&hedge, |n| (FAST, Ok(n))).await;
        assert_eq!(
            (answer.unwrap(), sent),
            (0, 1),
            "an answer in time needs no second request"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_request_may_lose() {
        let hedge = warmed_up().await;
        let (answer, _, _) = read(&hedge, |n| (if n == 0 { 3 * FAST } else { SLOW }, Ok(n))).await;
        assert_eq!(answer.unwrap(), 0);
        let failing = |n| match n {
            0 => (3 * FAST, Ok(0)),
            _ => (Duration::from_millis(1), Err(down())),
        };
        assert_eq!(
            read(&hedge, failing).await.0.unwrap(),
            0,
            "an error of one waits for the other"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_is_slow_the_budget_is_the_bound() {
        let hedge = warmed_up().await;
        let mut sent = 0;
        for _ in 0..200 {
            // Slower than the longest delay, so that every read is late.
            let wait = Duration::from_secs(6);
            sent += read(&hedge, |n| (wait, Ok(n))).await.2;
        }
        let most = BUDGET + 200.0 * EARNED;
        assert!(f64::from(sent - 200) <= most, "{sent}");
    }

    #[tokio::test(start_paused = true)]
    async fn sizes_have_delays_of_their_own() {
        let hedge = warmed_up().await;
        assert_eq!(hedge.with(|state| state.classes[class(Some(100))].delay()), FAST);
        assert_eq!(
            hedge.with(|state| state.classes[class(Some(2 << 20))].delay()),
            FIRST_DELAY
        );
        assert_eq!(hedge.with(|state| state.classes[class(None)].delay()), FIRST_DELAY);
        assert!(class(Some(u64::MAX)) < class(None));
    }
}
