//! The places in S3 that the jobs of namespaces may use: as the store said a moment ago.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_model::Namespace;

use crate::store::{Error, Store};

/// How long they are taken to be what they were: for so long a change by another process may go unnoticed.
const FRESH: Duration = Duration::from_secs(1);
/// Namespaces that are remembered.
const REMEMBERED: usize = 4_096;

/// The places of a namespace, if those are not all.
pub(crate) type Places = Option<Vec<String>>;

/// What is known of the places of namespaces.
pub(crate) struct Locations {
    fresh: Duration,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    places: HashMap<Namespace, (Instant, Places)>,
    /// When this process last changed some.
    changed: Option<Instant>,
}

impl Default for Locations {
    fn default() -> Self {
        Self::fresh_for(FRESH)
    }
}

impl Locations {
    fn fresh_for(fresh: Duration) -> Self {
        Self {
            fresh,
            known: Mutex::default(),
        }
    }

    /// The places of a namespace.
    pub(crate) async fn of(&self, store: &dyn Store, namespace: &Namespace) -> Result<Places, Error> {
        loop {
            if let Some(places) = self.known_of(namespace) {
                return Ok(places);
            }
            let asked = Instant::now();
            let row = store.identities().namespace_get(namespace).await?;
            let places = row.and_then(|row| row.allowed_locations);
            if self.keep(namespace, asked, &places) {
                return Ok(places);
            }
            // They were changed here since: whoever was refused a place must not come to it.
        }
    }

    /// Forgets all: this process has changed some.
    pub(crate) fn changed(&self) {
        let mut known = self.lock();
        known.places.clear();
        known.changed = Some(Instant::now());
    }

    fn known_of(&self, namespace: &Namespace) -> Option<Places> {
        let known = self.lock();
        let (at, places) = known.places.get(namespace)?;
        (at.elapsed() < self.fresh).then(|| places.clone())
    }

    /// Keeps what was asked for at a time; says whether it can be what is in the store now.
    fn keep(&self, namespace: &Namespace, asked: Instant, places: &Places) -> bool {
        let mut known = self.lock();
        if known.changed.is_some_and(|changed| changed >= asked) {
            return false;
        }
        if known.places.len() >= REMEMBERED {
            known.places.retain(|_, (at, _)| at.elapsed() < self.fresh);
            if known.places.len() >= REMEMBERED {
                known.places.clear();
            }
        }
        known.places.insert(namespace.clone(), (asked, places.clone()));
        true
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrow() -> Places {
        Some(vec!["s3://narrow".to_owned()])
    }

    #[test]
    fn what_the_store_said_is_believed_until_something_is_changed() {
        let locations = Locations::fresh_for(Duration::MAX);
        let namespace = Namespace::default();
        assert_eq!(locations.known_of(&namespace), None, "it was never asked");
        assert!(locations.keep(&namespace, Instant::now(), &None));
        assert_eq!(locations.known_of(&namespace), Some(None));
        locations.changed();
        assert_eq!(locations.known_of(&namespace), None);
        while !locations.keep(&namespace, Instant::now(), &narrow()) {}
        assert_eq!(locations.known_of(&namespace), Some(narrow()));
        let stale = Locations::fresh_for(Duration::ZERO);
        assert!(stale.keep(&namespace, Instant::now(), &None));
        assert_eq!(stale.known_of(&namespace), None, "what is not fresh is asked for again");
    }

    #[test]
    fn what_was_asked_before_a_change_is_not_believed_after_it() {
        let locations = Locations::fresh_for(Duration::MAX);
        let namespace = Namespace::default();
        let asked = Instant::now();
        locations.changed();
        assert!(!locations.keep(&namespace, asked, &None));
        assert_eq!(locations.known_of(&namespace), None);
    }

    #[test]
    fn few_namespaces_are_remembered() {
        let locations = Locations::fresh_for(Duration::MAX);
        for n in 0..REMEMBERED * 2 + 1 {
            assert!(locations.keep(&format!("n{n}").parse().unwrap(), Instant::now(), &None));
        }
        assert!(locations.lock().places.len() <= REMEMBERED);
    }
}
