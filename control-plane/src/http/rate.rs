//! How many requests one may send: token buckets, per address and per principal.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Problem;

/// Buckets of one kind that are kept; one that is full again is forgotten without effect.
const BUCKETS: usize = 10_000;

/// Refusals of one address that are noted in the audit log, in the long run and at once.
const NOTES_PER_SECOND: f64 = 0.1;
const NOTES_BURST: f64 = 5.0;

/// How many requests one may send.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateOptions {
    /// Requests a second of one principal, in the long run.
    pub requests_per_second: f64,
    /// Requests that one principal may send at once.
    pub burst: f64,
    /// Requests a second of one address, whoever sends them from there.
    pub source_requests_per_second: f64,
    /// Requests that may come from one address at once.
    pub source_burst: f64,
    /// Requests a minute of one address that prove nothing: each could be a guess.
    pub failures_per_minute: f64,
    /// Such requests that may come from one address at once.
    pub failure_burst: f64,
}

impl Default for RateOptions {
    fn default() -> Self {
        Self {
            requests_per_second: 200.0,
            burst: 2_000.0,
            source_requests_per_second: 1_000.0,
            source_burst: 10_000.0,
            failures_per_minute: 60.0,
            failure_burst: 60.0,
        }
    }
}

/// The buckets.
pub(super) struct Rates {
    sources: Buckets<IpAddr>,
    principals: Buckets<String>,
    failures: Buckets<IpAddr>,
    /// Requests that were refused here and are to be noted: a flood must not become one of notes.
    notes: Buckets<IpAddr>,
}

impl Rates {
    pub(super) fn new(options: &RateOptions) -> Self {
        Self {
            sources: Buckets::new(options.source_requests_per_second, options.source_burst),
            principals: Buckets::new(options.requests_per_second, options.burst),
            failures: Buckets::new(options.failures_per_minute / 60.0, options.failure_burst),
            notes: Buckets::new(NOTES_PER_SECOND, NOTES_BURST),
        }
    }

    /// Lets one more request of an address in, before it is known who sends it.
    pub(super) fn source(&self, address: IpAddr) -> Result<(), Problem> {
        self.sources.take(address, 1.0).map_err(limited)
    }

    /// Lets one more guess of an address come to be looked at, if it has any left.
    pub(super) fn guess(&self, address: IpAddr) -> Result<(), Problem> {
        self.failures.take(address, 0.0).map_err(limited)
    }

    /// Lets one more request of a principal in.
    pub(super) fn principal(&self, name: &str) -> Result<(), Problem> {
        self.principals.take(name.to_owned(), 1.0).map_err(limited)
    }

    /// Whether one more refusal for the number of requests is noted.
    pub(super) fn is_noted(&self, address: IpAddr) -> bool {
        self.notes.take(address, 1.0).is_ok()
    }

    /// Counts a request that proved nothing; refuses one of too many.
    pub(super) fn failed(&self, address: IpAddr) -> Result<(), Problem> {
        self.failures.take(address, 1.0).map_err(limited)
    }
}

fn limited(wait: Duration) -> Problem {
    let seconds = u32::try_from(wait.as_secs_f64().ceil() as u64)
        .unwrap_or(u32::MAX)
        .max(1);
    let detail = format!("you send more requests than is allowed; wait for {seconds} s");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).retry_after(seconds)
}

struct Buckets<K> {
    per_second: f64,
    burst: f64,
    kept: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<K: Hash + Eq> Buckets<K> {
    fn new(per_second: f64, burst: f64) -> Self {
        Self {
            per_second: per_second.max(f64::MIN_POSITIVE),
            burst: burst.max(1.0),
            kept: Mutex::default(),
        }
    }

    /// Takes tokens from a bucket, or one when that many are needed to be there; otherwise says when there is one.
    fn take(&self, key: K, tokens: f64) -> Result<(), Duration> {
        self.take_at(key, tokens, Instant::now())
    }

    fn take_at(&self, key: K, tokens: f64, now: Instant) -> Result<(), Duration> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let present = |bucket: &Bucket| {
            let gained = now.saturating_duration_since(bucket.at).as_secs_f64() * self.per_second;
            (bucket.tokens + gained).min(self.burst)
        };
        let there = kept.get(&key).map_or(self.burst, present);
        if there < 1.0 {
            return Err(Duration::try_from_secs_f64((1.0 - there) / self.per_second).unwrap_or(Duration::MAX));
        }
        if tokens > 0.0 {
            if kept.len() >= BUCKETS && !kept.contains_key(&key) {
                kept.retain(|_, bucket| present(bucket) < self.burst);
            }
            if kept.len() >= BUCKETS && !kept.contains_key(&key) {
                // So many at once that none can be told from another: whoever has most left is forgotten first.
                let half = kept.values().map(present).sum::<f64>() / kept.len() as f64;
                kept.retain(|_, bucket| present(bucket) < half);
            }
            let tokens = there - tokens;
            kept.insert(key, Bucket { tokens, at: now });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_used_up_and_fills_again() {
        let buckets = Buckets::new(2.0, 3.0);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for _ in 0..3 {
            assert_eq!(buckets.take_at("a", 1.0, at(0)), Ok(()));
        }
        assert_eq!(buckets.take_at("a", 1.0, at(0)), Err(Duration::from_millis(500)));
        assert_eq!(buckets.take_at("a", 0.0, at(0)), Err(Duration::from_millis(500)));
        assert_eq!(buckets.take_at("b", 1.0, at(0)), Ok(()), "another's is its own");
        assert_eq!(buckets.take_at("a", 1.0, at(499)), Err(Duration::from_millis(1)));
        assert_eq!(buckets.take_at("a", 1.0, at(500)), Ok(()));
        for _ in 0..3 {
            assert_eq!(
                buckets.take_at("a", 1.0, at(60_000)),
                Ok(()),
                "it is never more than full"
            );
        }
        assert!(buckets.take_at("a", 1.0, at(60_000)).is_err());
    }

    #[test]
    fn buckets_are_bounded_and_whoever_floods_is_remembered() {
        let buckets = Buckets::new(0.001, 10.0);
        let now = Instant::now();
        while buckets.take_at(0, 1.0, now).is_ok() {}
        for n in 1..BUCKETS * 3 {
            assert_eq!(buckets.take_at(n, 1.0, now), Ok(()));
        }
        assert!(buckets.kept.lock().unwrap().len() <= BUCKETS);
        assert!(buckets.take_at(0, 1.0, now).is_err());
    }
}
