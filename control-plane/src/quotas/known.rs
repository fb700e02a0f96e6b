//! What this control plane knows of the quotas: those in the store, as they were a moment ago.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use weir_model::Namespace;

use super::Quota;
use crate::store::{Error, Store};

/// How long quotas are taken to be what they were: for so long a change by another process may go unnoticed.
const FRESH: Duration = Duration::from_secs(1);

/// The quotas of the namespaces that have one of their own.
pub(crate) type Own = HashMap<Namespace, Quota>;

/// The quotas of all namespaces.
pub(crate) struct Quotas {
    /// Of namespaces that have none of their own.
    default: Quota,
    /// Whether others may change what is in the store.
    is_shared: bool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    own: Arc<Own>,
    read_at: Option<Instant>,
}

impl Quotas {
    pub(crate) fn new(default: Quota, is_shared: bool) -> Self {
        Self {
            default,
            is_shared,
            known: Mutex::default(),
        }
    }

    /// The quota of a namespace.
    pub(crate) async fn of(&self, store: &dyn Store, namespace: &Namespace) -> Result<Quota, Error> {
        let fresh = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let is_fresh = |at: Instant| !self.is_shared || at.elapsed() < FRESH;
            known.read_at.is_some_and(is_fresh)
        };
        if !fresh {
            self.read(store).await?;
        }
        Ok(self.known_of(namespace))
    }

    /// The quota of a namespace as far as it is known.
    pub(crate) fn known_of(&self, namespace: &Namespace) -> Quota {
        self.own().get(namespace).copied().unwrap_or(self.default)
    }

    /// The quota of namespaces that have none of their own.
    pub(crate) fn default(&self) -> Quota {
        self.default
    }

    /// The quotas of the namespaces that have one of their own, as far as they are known.
    pub(crate) fn own(&self) -> Arc<Own> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).own.clone()
    }

    /// Reads them anew.
    pub(crate) async fn read(&self, store: &dyn Store) -> Result<(), Error> {
        let asked = Instant::now();
        let own: Own = store.quotas().await?.into_iter().collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let own = match *known.own == own {
            true => known.own.clone(),
            false => Arc::new(own),
        };
        // Of two who ask, the one who asked last knows better.
        if known.read_at.is_none_or(|at| at <= asked) {
            *known = Known {
                own,
                read_at: Some(asked),
            };
        }
        Ok(())
    }
}
