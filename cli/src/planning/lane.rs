//! Turns at a bounded number of places.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_model::Namespace;

/// Places that namespaces share. Each waits for some with as many as it may have, and with the others behind these, so
/// that one of them cannot take all, and takes turns with the others when they are short.
#[derive(Debug)]
pub(super) struct Lane {
    places: Arc<Semaphore>,
    /// Places of a namespace.
    share: usize,
    /// Of namespaces that have a place or wait for one.
    shares: Mutex<HashMap<Namespace, Weak<Semaphore>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _place: OwnedSemaphorePermit,
    _share: OwnedSemaphorePermit,
}

impl Lane {
    /// So many places, of which a namespace has at most `share`.
    pub(super) fn new(places: usize, share: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            share,
            shares: Mutex::default(),
        }
    }

    /// Waits for a place.
    pub(super) async fn enter(&self, namespace: &Namespace) -> Place {
        let share = self.share_of(namespace);
        // Neither semaphore is ever closed.
        let share = share.acquire_owned().await.expect("it is open");
        let place = Arc::clone(&self.places).acquire_owned().await.expect("it is open");
        Place {
            _place: place,
            _share: share,
        }
    }

    fn share_of(&self, namespace: &Namespace) -> Arc<Semaphore> {
        // The map is changed by single insertions and removals.
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(namespace).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.share));
        shares.insert(namespace.clone(), Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_namespace_takes_its_share_and_waits_behind_others() {
        let lane = Lane::new(3, 2);
        let [one, two, three] = ["one", "two", "three"].map(|name| name.parse::<Namespace>().unwrap());
        let enter = |namespace| lane.enter(namespace).now_or_never();
        let first = enter(&one).expect("a place");
        let _second = enter(&one).expect("a place");
        assert!(enter(&one).is_none(), "more than its share");
        let third = enter(&two).expect("a place");
        assert!(enter(&two).is_none(), "all places are taken");

        // Who has waited longer is first, and a namespace at its share is behind others.
        let mut again = Box::pin(lane.enter(&one));
        assert!((&mut again).now_or_never().is_none());
        let mut other = Box::pin(lane.enter(&three));
        assert!((&mut other).now_or_never().is_none());
        drop(third);
        assert!((&mut again).now_or_never().is_none());
        let other = (&mut other).now_or_never().expect("a place");
        drop(first);
        let again = (&mut again).now_or_never().expect("a place");
        drop((other, again));
        assert!(enter(&two).is_some());
        assert!(lane.shares.lock().unwrap().len() <= 3);
    }
}
