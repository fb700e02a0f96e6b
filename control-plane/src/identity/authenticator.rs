//! From what a request carries to who sent it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use weir_model::{Digest, Namespace};
use weir_platform::clock;

use super::oidc::{Oidc, OidcError, OidcOptions};
use super::{Grant, Principal, Secret};
use crate::ControlPlane;
use crate::store::{self, KeyRow, SessionFilter, SessionPlace, SessionRow};

/// How long what the store said of a key, a session or a namespace is believed: what is revoked ends within this time
/// on every server.
const BELIEVED: Duration = Duration::from_secs(5);
/// Keys, sessions and namespaces that are remembered, of each.
const REMEMBERED: usize = 4_096;
/// The use of a key or a session is noted this often at most.
const NOTED_MS: u64 = 60_000;
/// Random bytes of a session's cookie.
const TOKEN_BYTES: usize = 32;

/// What a request carries.
#[derive(Clone, Copy, Debug)]
pub enum Credential<'a> {
    /// An API key or a token of an identity provider.
    Bearer(&'a str),
    /// The cookie of a session.
    Session(&'a str),
}

impl Credential<'_> {
    /// Whether somebody could come upon it by trying: the bootstrap key may be any word. Keys that this service makes,
    /// tokens and cookies are too long for that.
    pub fn is_guessable(self) -> bool {
        match self {
            Self::Bearer(text) => Secret::parse(text).is_none() && text.matches('.').count() != 2,
            Self::Session(_) => false,
        }
    }
}

/// Somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// What they sent proves nothing.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// The identity provider does not answer, and its keys are not known.
    #[error("the identity provider does not answer")]
    Provider,
    /// It cannot be told now whether it does.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The operating system has no randomness.
    #[error("cannot make a secret")]
    Random(#[source] getrandom::Error),
}

/// How long sessions of browsers last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionTimes {
    /// However much they are used.
    pub(crate) absolute: Duration,
    /// When they are not used.
    pub(crate) idle: Duration,
}

/// Knows who sends a request by what it carries.
pub struct Authenticator {
    control_plane: ControlPlane,
    bootstrap: Option<Digest>,
    oidc: Option<Oidc>,
    times: SessionTimes,
    keys: Believed<Digest, KeyRow>,
    sessions: Believed<Digest, SessionRow>,
    namespaces: Believed<Namespace, ()>,
}

impl Authenticator {
    /// One over the store of a control plane. The key whose digest is `bootstrap` is that of an admin of everything.
    ///
    /// # Errors
    /// When the identity provider cannot be one.
    pub(crate) fn new(
        control_plane: ControlPlane,
        bootstrap: Option<Digest>,
        oidc: Option<OidcOptions>,
        times: SessionTimes,
    ) -> Result<Self, OidcError> {
        Ok(Self {
            control_plane,
            bootstrap,
            oidc: oidc.map(Oidc::new).transpose()?,
            times,
            keys: Believed::new(),
            sessions: Believed::new(),
            namespaces: Believed::new(),
        })
    }

    /// Who carries this.
    ///
    /// # Errors
    /// When it proves nothing, or when the store does not answer.
    pub async fn authenticate(&self, credential: Credential<'_>) -> Result<Principal, Refusal> {
        match credential {
            Credential::Bearer("") | Credential::Session("") => Err(Refusal::Unauthorized(
                "there is nothing in the credential; is the variable set that it comes from?",
            )),
            Credential::Bearer(text) => self.bearer(text).await,
            Credential::Session(token) => {
                let row = self.session(token).await?;
                Ok(Principal {
                    name: row.principal,
                    grants: row.grants,
                    key: row.key,
                    bootstrap: row.bootstrap.is_some(),
                })
            }
        }
    }

    async fn bearer(&self, text: &str) -> Result<Principal, Refusal> {
        // Digests are compared, so that the time says nothing of the key.
        if self.bootstrap == Some(Digest::of(text.as_bytes())) {
            return Ok(Principal::of_bootstrap_key());
        }
        let Some(secret) = Secret::parse(text) else {
            return match &self.oidc {
                Some(oidc) if text.contains('.') => oidc.verify(text).await,
                _ => Err(Refusal::Unauthorized(
                    "this is no API key of this service; one whose checksum does not fit is mistyped or cut",
                )),
            };
        };
        let digest = secret.digest();
        let unknown = || Refusal::Unauthorized("the API key is not known here, has expired or was revoked");
        let key = match self.keys.get(&digest) {
            Some(key) => key,
            None => self.identities().key_find(digest).await?.ok_or_else(unknown)?,
        };
        let now = clock::now();
        if !key.is_live(now) {
            return Err(unknown());
        }
        let mut known = key.clone();
        if now.ms_since(key.last_used_at.unwrap_or_default()) > NOTED_MS {
            known.last_used_at = Some(now);
            let (control_plane, id) = (self.control_plane.clone(), key.id);
            tokio::spawn(async move {
                if let Err(error) = control_plane.identities().key_used(id, now).await {
                    tracing::debug!(error = &error as &dyn std::error::Error, "cannot note the use of a key");
                }
            });
        }
        self.keys.put(digest, known);
        Ok(Principal {
            name: format!("{} ({})", key.name, key.id),
            grants: vec![Grant {
                namespace: key.namespace,
                role: key.role,
            }],
            key: Some(key.id),
            bootstrap: false,
        })
    }

    /// The session of a cookie.
    ///
    /// # Errors
    /// When there is none, or when the store does not answer.
    pub async fn session(&self, token: &str) -> Result<SessionRow, Refusal> {
        let over = || Refusal::Unauthorized("the session is over; log in again");
        let hash = Digest::of(token.as_bytes());
        let now = clock::now();
        let session = match self.sessions.get(&hash) {
            Some(session) => session,
            None => self.identities().session_find(hash, now).await?.ok_or_else(over)?,
        };
        let idle_ms = u64::try_from(self.times.idle.as_millis()).unwrap_or(u64::MAX);
        if now >= session.expires_at || now.ms_since(session.seen_at) >= idle_ms {
            return Err(over());
        }
        if session.bootstrap.is_some() && session.bootstrap != self.bootstrap_tie(token) {
            // The bootstrap key is another one since.
            return Err(over());
        }
        let mut known = session.clone();
        if now.ms_since(session.seen_at) > NOTED_MS.min(idle_ms / 4) {
            known.seen_at = now;
            self.identities().session_seen(hash, now).await?;
        }
        self.sessions.put(hash, known);
        Ok(session)
    }

    /// Begins a session for somebody; gives the cookie and the session.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn session_begin(&self, principal: &Principal) -> Result<(String, SessionRow), Refusal> {
        use base64::Engine as _;
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes).map_err(Refusal::Random)?;
        let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        let now = clock::now();
        let absolute = u64::try_from(self.times.absolute.as_millis()).unwrap_or(u64::MAX);
        let session = SessionRow {
            hash: Digest::of(token.as_bytes()),
            principal: principal.name.clone(),
            grants: principal.grants.clone(),
            key: principal.key,
            bootstrap: self.bootstrap_tie(&token).filter(|_| principal.bootstrap),
            created_at: now,
            expires_at: now.plus_ms(absolute),
            seen_at: now,
        };
        self.identities().session_create(&session).await?;
        Ok((token, session))
    }

    /// What ties a session to the bootstrap key. It says nothing of the key to whoever reads the store, who does not know
    /// the cookie.
    fn bootstrap_tie(&self, token: &str) -> Option<Digest> {
        let key = self.bootstrap?;
        Some(Digest::of(format!("{key} {token}").as_bytes()))
    }

    /// Sessions that are good, those of somebody or all, the youngest first: at most `limit` that come after a place.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn sessions(
        &self,
        principal: Option<String>,
        after: Option<SessionPlace>,
        limit: u32,
    ) -> Result<Vec<SessionRow>, store::Error> {
        let filter = SessionFilter {
            principal,
            at: clock::now(),
            idle: self.times.idle,
        };
        self.identities().session_list(&filter, after, limit).await
    }

    /// Ends the session of a cookie with this digest, on every server within seconds and here at once.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn session_end(&self, hash: Digest) -> Result<(), store::Error> {
        self.identities().session_delete(hash).await?;
        self.sessions.forget();
        Ok(())
    }

    /// Ends all sessions of somebody, on every server within seconds and here at once; says how many there were.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn sessions_end(&self, principal: &str) -> Result<u64, store::Error> {
        let ended = self.identities().sessions_delete(principal).await?;
        self.sessions.forget();
        Ok(ended)
    }

    /// Whether somebody who was let in still would be. When the store does not answer, they are believed.
    pub(crate) async fn is_good(&self, principal: &Principal, session: Option<&str>) -> bool {
        match (session, principal.key) {
            (Some(token), _) => !matches!(self.session(token).await, Err(Refusal::Unauthorized(_))),
            (None, Some(key)) => match self.identities().key_get(key).await {
                Ok(key) => key.is_some_and(|key| key.is_live(clock::now())),
                Err(_) => true,
            },
            (None, None) => true,
        }
    }

    /// Whether there is a namespace.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn namespace_exists(&self, namespace: &Namespace) -> Result<bool, store::Error> {
        if *namespace == Namespace::default() || self.namespaces.get(namespace).is_some() {
            return Ok(true);
        }
        // That one is not there is not remembered: it may be made at any moment.
        let exists = self.identities().namespace_get(namespace).await?.is_some();
        if exists {
            self.namespaces.put(namespace.clone(), ());
        }
        Ok(exists)
    }

    /// Forgets what the store said: something was revoked or deleted here.
    pub fn forget(&self) {
        self.keys.forget();
        self.sessions.forget();
        self.namespaces.forget();
    }

    fn identities(&self) -> &dyn store::IdentityStore {
        self.control_plane.identities()
    }
}

/// What the store said not long ago.
struct Believed<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K: Hash + Eq, V: Clone> Believed<K, V> {
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn get(&self, key: &K) -> Option<V> {
        let entries = self.entries();
        let (at, value) = entries.get(key)?;
        (at.elapsed() < BELIEVED).then(|| value.clone())
    }

    /// Remembers a value. What is known already keeps its time: it must be asked for again when that is over.
    fn put(&self, key: K, value: V) {
        let mut entries = self.entries();
        if entries.len() >= REMEMBERED && !entries.contains_key(&key) {
            entries.retain(|_, (at, _)| at.elapsed() < BELIEVED);
            if entries.len() >= REMEMBERED {
                entries.clear();
            }
        }
        let known = entries.get(&key).map(|(at, _)| *at);
        let at = known.filter(|at| at.elapsed() < BELIEVED).unwrap_or_else(Instant::now);
        entries.insert(key, (at, value));
    }

    fn forget(&self) {
        self.entries().clear();
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<K, (Instant, V)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_believed_is_bounded_and_forgotten() {
        let believed = Believed::new();
        for n in 0..REMEMBERED * 2 + 1 {
            believed.put(n, n);
        }
        assert_eq!(believed.get(&(REMEMBERED * 2)), Some(REMEMBERED * 2));
        assert!(believed.entries().len() <= REMEMBERED);
        let first = believed.entries()[&(REMEMBERED * 2)].0;
        believed.put(REMEMBERED * 2, 7);
        assert_eq!(believed.entries()[&(REMEMBERED * 2)], (first, 7), "its time goes on");
        believed.forget();
        assert_eq!(believed.get(&(REMEMBERED * 2)), None);
    }
}
