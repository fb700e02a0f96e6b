//! Room for what a server does at once, and how much of it one tenant may take: whoever floods it leaves room for others.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_model::Namespace;

use super::Problem;

/// Shares that are remembered; those that nobody uses are forgotten from then on.
const REMEMBERED: usize = 1_024;

/// Places of one kind. `K` is whose they are.
pub(super) struct Pool<K = Namespace> {
    all: Arc<Semaphore>,
    /// Places that one may have.
    share: usize,
    shares: Mutex<HashMap<K, Arc<Semaphore>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    _of_all: OwnedSemaphorePermit,
    _of_share: OwnedSemaphorePermit,
}

/// There is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Whoever asks has as many as one may have.
    Share,
    /// All are taken.
    All,
}

impl Full {
    /// The answer to whoever found no place, which says what they have too many of.
    pub(super) fn problem(self, code: &'static str, of: &str) -> Problem {
        let detail = match self {
            Self::Share => format!("this namespace has as many {of} under way as one may have; try again"),
            Self::All => format!("this server has as many {of} under way as it can; try again"),
        };
        Problem::new(StatusCode::TOO_MANY_REQUESTS, code, detail).retry_after(1)
    }
}

impl<K: Hash + Eq + Clone> Pool<K> {
    /// A pool of `places`, of which one may have an `nth`: at least two, so that one slow piece of work holds nobody up,
    /// and never all, if there are more than one.
    pub(super) fn new(places: usize, nth: usize) -> Self {
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(places)),
            share: (places / nth.max(1)).max(2).min(places - 1).max(1),
            shares: Mutex::default(),
        }
    }

    /// Takes a place at once.
    pub(super) fn enter(&self, key: &K) -> Result<Room, Full> {
        let of_share = self.share_of(key).try_acquire_owned().map_err(|_| Full::Share)?;
        let of_all = Arc::clone(&self.all).try_acquire_owned().map_err(|_| Full::All)?;
        Ok(Room {
            _of_all: of_all,
            _of_share: of_share,
        })
    }

    /// Waits for a place, in the order in which others came.
    pub(super) async fn wait(&self, key: &K, patience: Duration) -> Result<Room, Full> {
        let end = tokio::time::Instant::now() + patience;
        let of_share = tokio::time::timeout_at(end, self.share_of(key).acquire_owned()).await;
        let Ok(Ok(of_share)) = of_share else {
            return Err(Full::Share);
        };
        let of_all = tokio::time::timeout_at(end, Arc::clone(&self.all).acquire_owned()).await;
        let Ok(Ok(of_all)) = of_all else {
            return Err(Full::All);
        };
        Ok(Room {
            _of_all: of_all,
            _of_share: of_share,
        })
    }

    fn share_of(&self, key: &K) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(key) {
            return Arc::clone(share);
        }
        if shares.len() >= REMEMBERED {
            // A place and whoever waits for one holds on to it.
            shares.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let share = Arc::new(Semaphore::new(self.share));
        shares.insert(key.clone(), Arc::clone(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_leaves_room_for_others() {
        let pool = Pool::new(16, 4);
        let mut taken: Vec<_> = (0..4).map(|_| pool.enter(&"a").unwrap()).collect();
        assert_eq!(pool.enter(&"a").unwrap_err(), Full::Share);
        for other in ["b", "c", "d"] {
            taken.extend((0..4).map(|_| pool.enter(&other).unwrap()));
        }
        assert_eq!(pool.enter(&"e").unwrap_err(), Full::All);
        taken.remove(0);
        assert!(pool.enter(&"a").is_ok());
    }

    #[test]
    fn small_pools_are_shared_as_well() {
        let share = |places, nth| Pool::<&str>::new(places, nth).share;
        assert_eq!([share(0, 8), share(1, 8), share(2, 8), share(4, 8)], [1, 1, 1, 2]);
        assert_eq!([share(16, 8), share(64, 8), share(1_024, 4)], [2, 8, 256]);
    }

    #[test]
    fn shares_are_forgotten_that_nobody_uses() {
        let pool = Pool::new(8, 4);
        let kept = (pool.enter(&0).unwrap(), pool.enter(&0).unwrap());
        for n in 1..REMEMBERED * 2 {
            pool.enter(&n).unwrap();
        }
        assert!(pool.shares.lock().unwrap().len() <= REMEMBERED);
        assert_eq!(
            pool.enter(&0).unwrap_err(),
            Full::Share,
            "whoever is there is remembered"
        );
        drop(kept);
    }

    #[tokio::test]
    async fn whoever_waits_has_the_next_place() {
        let pool = Arc::new(Pool::new(2, 8));
        let taken = pool.enter(&"a").unwrap();
        assert_eq!(
            pool.wait(&"a", Duration::from_millis(1)).await.unwrap_err(),
            Full::Share
        );
        let waiting = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.wait(&"a", Duration::from_secs(60)).await }
        });
        drop(taken);
        assert!(waiting.await.unwrap().is_ok());
    }
}
