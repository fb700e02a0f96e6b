//! Who sends a request.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use weir_model::{Namespace, RunId};

use super::authenticate::Authenticated;
use super::{Api, Problem};
use crate::identity::{Identity, Role};

/// Names the namespace that a request is about.
pub(super) const NAMESPACE_HEADER: &str = "weir-namespace";
/// Runs whose namespaces are remembered; they never change.
const KEPT: usize = 1_024;

/// Who sends the request, as [`authenticate`](super::authenticate::authenticate) found out.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Identity);

impl Caller {
    /// The namespace that the request is about.
    pub(super) fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// Their name.
    pub(super) fn principal(&self) -> &str {
        &self.0.principal
    }

    /// Refuses whoever has a lesser role.
    pub(super) fn require(&self, role: Role) -> Result<(), Problem> {
        if self.0.role >= role {
            return Ok(());
        }
        let detail = format!(
            "this takes the role `{}` in the namespace `{}`, and you have `{}`; ask an admin of it",
            role, self.0.namespace, self.0.role
        );
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
    }

    /// Refuses whoever may not act beyond one namespace.
    pub(super) fn require_whole_service(&self) -> Result<(), Problem> {
        if self.0.whole_service {
            return Ok(());
        }
        let detail = "this is for admins of the whole service";
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        // Whoever was not let in has no extension, and no handler to come to.
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::internal)
    }
}

impl FromRequestParts<Api> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::internal)
    }
}

/// The namespaces of the runs that were asked for last.
#[derive(Default)]
pub(super) struct Namespaces(Mutex<VecDeque<(RunId, Namespace)>>);

impl Namespaces {
    /// Refuses a run of another namespace as one that does not exist.
    pub(super) async fn check(&self, api: &Api, caller: &Caller, run: RunId) -> Result<(), Problem> {
        match self.of(api, run).await? {
            Some(found) if found == *caller.namespace() => Ok(()),
            _ => Err(Problem::run_not_found(&run.to_string())),
        }
    }

    /// The namespace of a run, if there is such a run.
    pub(super) async fn of(&self, api: &Api, run: RunId) -> Result<Option<Namespace>, Problem> {
        if let Some(found) = self.known(run) {
            return Ok(Some(found));
        }
        let found = match api.options().read_only {
            true => api.history().namespace_of(run).await?,
            false => api.control_plane().run_get(run).await?.map(|row| row.namespace),
        };
        if let Some(found) = &found {
            self.remember(run, found.clone());
        }
        Ok(found)
    }

    fn known(&self, run: RunId) -> Option<Namespace> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .find(|(known, _)| *known == run)
            .map(|(_, found)| found.clone())
    }

    fn remember(&self, run: RunId, namespace: Namespace) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back((run, namespace));
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }
}
