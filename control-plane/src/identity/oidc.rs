//! Tokens of an identity provider (OpenID Connect): JWTs that it signs with keys which it publishes.
//!
//! The algorithm of a token must be the one that its key is for, so that no token can choose how it is looked at.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use weir_platform::aws;

use super::authenticator::Refusal;
use super::{Grant, Principal, Role};

/// How long a request to the provider may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer of the provider.
const MAX_ANSWER: usize = 1 << 20;
/// How long its keys are used without being asked for again.
const FRESH: Duration = Duration::from_secs(3_600);
/// Between two requests for keys that tokens made necessary, once the first few are used up.
const REFETCH: Duration = Duration::from_secs(30);
/// Such requests that may come at once.
const REFETCHES: u32 = 3;
/// Bytes of a token.
const MAX_TOKEN: usize = 16 << 10;
/// By how much the provider's clock may differ, in seconds.
const LEEWAY_S: u64 = 30;
/// Grants of one token that count.
const MAX_GRANTS: usize = 1_000;

/// The identity provider that is trusted, and what its people may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcOptions {
    /// Its address, exactly as it stands in its tokens (`iss`).
    pub issuer: String,
    /// Who its tokens must be for (`aud`).
    pub audience: String,
    /// The claim whose values are mapped to roles; one inside another is named with a dot, `realm_access.roles`.
    pub claim: String,
    /// The claim that names a person.
    pub principal_claim: String,
    /// What the values of the claim allow.
    pub grants: Vec<ClaimGrant>,
}

/// What a value of a claim allows: `VALUE=NAMESPACE:ROLE`, with `*` for the whole service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClaimGrant {
    value: String,
    grant: Grant,
}

impl FromStr for ClaimGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not VALUE=NAMESPACE:ROLE, such as `data-engineers=analytics:submitter`");
        let (value, granted) = text.rsplit_once('=').ok_or_else(wrong)?;
        let (namespace, role) = granted.split_once(':').ok_or_else(wrong)?;
        if value.is_empty() {
            return Err(wrong());
        }
        let namespace = match namespace {
            "*" => None,
            name => Some(name.parse().map_err(|error: weir_model::InvalidId| error.to_string())?),
        };
        Ok(Self {
            value: value.to_owned(),
            grant: Grant {
                namespace,
                role: role.parse::<Role>()?,
            },
        })
    }
}

impl fmt::Display for ClaimGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = self.grant.namespace.as_ref().map_or("*", |name| name.as_str());
        write!(f, "{}={namespace}:{}", self.value, self.grant.role)
    }
}

impl TryFrom<String> for ClaimGrant {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ClaimGrant> for String {
    fn from(grant: ClaimGrant) -> Self {
        grant.to_string()
    }
}

/// Why the settings of the provider cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// Its address.
    #[error("the issuer `{issuer}` cannot be used: {why}")]
    Issuer {
        /// As it was given.
        issuer: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// This side.
    #[error("cannot start the client for the identity provider")]
    Client(#[source] reqwest::Error),
}

/// Verifies tokens.
pub(super) struct Oidc {
    options: OidcOptions,
    http: reqwest::Client,
    keys: RwLock<Option<Fetched>>,
    /// One request for keys at a time.
    fetching: tokio::sync::Mutex<Allowance>,
}

#[derive(Clone)]
struct Fetched {
    keys: Arc<JwkSet>,
    at: Instant,
}

/// Requests for keys that may be made: tokens of strangers must not make this server ask all the time.
struct Allowance {
    left: u32,
    since: Instant,
}

impl Allowance {
    fn take(&mut self) -> bool {
        let gained = self.since.elapsed().as_secs() / REFETCH.as_secs();
        if gained > 0 {
            self.left = self
                .left
                .saturating_add(u32::try_from(gained).unwrap_or(u32::MAX))
                .min(REFETCHES);
            self.since = Instant::now();
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Oidc {
    pub(super) fn new(options: OidcOptions) -> Result<Self, OidcError> {
        let issuer = options.issuer.clone();
        safe_url(&options.issuer).map_err(|why| OidcError::Issuer { issuer, why })?;
        aws::install_crypto();
        let http = reqwest::Client::builder()
            .connect_timeout(TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(OidcError::Client)?;
        Ok(Self {
            options,
            http,
            keys: RwLock::default(),
            fetching: tokio::sync::Mutex::new(Allowance {
                left: REFETCHES,
                since: Instant::now(),
            }),
        })
    }

    /// Whose token this is.
    pub(super) async fn verify(&self, token: &str) -> Result<Principal, Refusal> {
        let wrong = || Refusal::Unauthorized("the token is not valid for this service, or has expired");
        if token.len() > MAX_TOKEN {
            return Err(wrong());
        }
        let header = decode_header(token).map_err(|_| wrong())?;
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) {
            return Err(wrong());
        }
        let key = self.key(header.kid.as_deref(), header.alg).await?.ok_or_else(wrong)?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.options.issuer]);
        validation.set_audience(&[&self.options.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let key = DecodingKey::from_jwk(&key).map_err(|_| wrong())?;
        let claims = decode::<Value>(token, &key, &validation).map_err(|error| {
            tracing::debug!(%error, "a token was refused");
            wrong()
        })?;
        let claims = claims.claims;
        let name = claim(&claims, &self.options.principal_claim).and_then(Value::as_str);
        let name = name.filter(|name| !name.is_empty()).ok_or_else(wrong)?;
        Ok(Principal {
            name: format!("oidc:{name}"),
            grants: self.grants(&claims),
            key: None,
            bootstrap: false,
        })
    }

    /// What the claims of a token allow.
    fn grants(&self, claims: &Value) -> Vec<Grant> {
        let values: Vec<&str> = match claim(claims, &self.options.claim) {
            // As `scope` is written.
            Some(Value::String(text)) => text.split(' ').collect(),
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let granted = self.options.grants.iter();
        let granted = granted.filter(|granted| values.contains(&granted.value.as_str()));
        granted.map(|granted| granted.grant.clone()).take(MAX_GRANTS).collect()
    }

    /// The key of a token; asks the provider for its keys when this one is not known.
    async fn key(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Option<Jwk>, Refusal> {
        let known = self.fetched();
        let found = known.as_ref().and_then(|known| find(&known.keys, kid, algorithm));
        let fresh = known.as_ref().is_some_and(|known| known.at.elapsed() < FRESH);
        if found.is_some() && fresh {
            return Ok(found);
        }
        let mut allowance = self.fetching.lock().await;
        // Another request may have fetched them meanwhile.
        let newer = self.fetched();
        if newer.as_ref().map(|newer| newer.at) == known.as_ref().map(|known| known.at) {
            if !allowance.take() {
                return match known {
                    // Keys do not go bad by age, as long as the provider is away.
                    Some(_) => Ok(found),
                    None => Err(Refusal::Provider),
                };
            }
            match self.fetch().await {
                Ok(keys) => {
                    let fetched = Fetched {
                        keys: Arc::new(keys),
                        at: Instant::now(),
                    };
                    *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(fetched);
                }
                Err(error) => {
                    tracing::warn!(
                        error,
                        issuer = self.options.issuer,
                        "cannot get the keys of the identity provider"
                    );
                    return match known {
                        Some(_) => Ok(found),
                        None => Err(Refusal::Provider),
                    };
                }
            }
        }
        Ok(self.fetched().and_then(|fetched| find(&fetched.keys, kid, algorithm)))
    }

    fn fetched(&self) -> Option<Fetched> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        let issuer = self.options.issuer.trim_end_matches('/');
        let discovery: Discovery = self.get(&format!("{issuer}/.well-known/openid-configuration")).await?;
        if discovery.issuer != self.options.issuer {
            return Err(format!("it calls itself `{}`", discovery.issuer));
        }
        self.get(&discovery.jwks_uri).await
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        let url = safe_url(url).map_err(|why| format!("`{url}` cannot be used: {why}"))?;
        let failed = |error: reqwest::Error| error.to_string();
        let mut answer = self.http.get(url).send().await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(format!("{} has the status {}", answer.url(), answer.status()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(format!("{} is larger than {MAX_ANSWER} bytes", answer.url()));
            }
            bytes.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&bytes).map_err(|error| format!("{} cannot be read: {error}", answer.url()))
    }
}

/// A URL whose answer nobody on the way can have made.
fn safe_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is no URL")?;
    let local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => return Err("it names no host"),
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if local => Ok(url),
        _ => Err("it must start with https://"),
    }
}

/// The key that a token names and that is for its algorithm; without a name, the only one that is.
fn find(keys: &JwkSet, kid: Option<&str>, algorithm: Algorithm) -> Option<Jwk> {
    let mut fitting = keys.keys.iter().filter(|key| is_for(key, algorithm));
    match kid {
        Some(kid) => fitting.find(|key| key.common.key_id.as_deref() == Some(kid)).cloned(),
        None => match (fitting.next(), fitting.next()) {
            (Some(only), None) => Some(only.clone()),
            _ => None,
        },
    }
}

fn is_for(key: &Jwk, algorithm: Algorithm) -> bool {
    let by_kind = match &key.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return false,
    };
    let stated = key.common.key_algorithm.as_ref().map(ToString::to_string);
    let signs = !matches!(&key.common.public_key_use, Some(usage) if *usage != PublicKeyUse::Signature);
    by_kind == algorithm && signs && stated.is_none_or(|stated| stated == format!("{algorithm:?}"))
}

/// A claim by its name, or by a path of names.
fn claim<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    // Names may have dots of their own.
    claims
        .get(name)
        .or_else(|| name.split('.').try_fold(claims, |value, part| value.get(part)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn grants_are_read_as_they_are_written() {
        for text in ["data=analytics:submitter", "https://x/y=1=a-b:admin", "ops=*:viewer"] {
            assert_eq!(text.parse::<ClaimGrant>().unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "data",
            "data=analytics",
            "=a:viewer",
            "data=a:root",
            "data=A:viewer",
            "data=:viewer",
        ] {
            assert!(wrong.parse::<ClaimGrant>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn claims_are_mapped_to_what_they_allow() {
        let grants = ["data=a:submitter", "ops=*:admin", "data=b:viewer"];
        let of = |name: &str, claims: Value| {
            let options = OidcOptions {
                issuer: "https://issuer".to_owned(),
                audience: "weir".to_owned(),
                claim: name.to_owned(),
                principal_claim: "sub".to_owned(),
                grants: grants.iter().map(|text| text.parse().unwrap()).collect(),
            };
            let granted = Oidc::new(options).unwrap().grants(&claims);
            let text = |grant: &Grant| {
                format!(
                    "{}:{}",
                    grant.namespace.clone().map_or("*".into(), String::from),
                    grant.role
                )
            };
            granted.iter().map(text).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of("groups", json!({"groups": ["data", "x"]})), "a:submitter b:viewer");
        assert_eq!(of("groups", json!({"groups": "ops"})), "*:admin");
        assert_eq!(of("scope", json!({"scope": "openid ops"})), "*:admin");
        assert_eq!(of("realm.roles", json!({"realm": {"roles": ["ops"]}})), "*:admin");
        assert_eq!(of("realm.roles", json!({"realm.roles": ["ops"]})), "*:admin");
        for nothing in [
            json!({}),
            json!({"groups": 7}),
            json!({"groups": ["Data", "op"]}),
            json!({"groups": {"ops": 1}}),
        ] {
            assert_eq!(of("groups", nothing), "");
        }
    }

    #[test]
    fn providers_are_reached_in_secret_or_on_this_machine() {
        for url in [
            "https://issuer.example.com/x",
            "http://127.0.0.1:1/x",
            "http://localhost/x",
            "http://[::1]:2",
        ] {
            assert!(safe_url(url).is_ok(), "{url}");
        }
        for url in [
            "http://issuer.example.com",
            "http://localhost.example.com",
            "ftp://localhost",
            "issuer",
            "file:///x",
        ] {
            assert!(safe_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn keys_are_asked_for_now_and_then() {
        let mut allowance = Allowance {
            left: REFETCHES,
            since: Instant::now(),
        };
        let taken = (0..10).filter(|_| allowance.take()).count();
        assert_eq!(taken, REFETCHES as usize);
        allowance.since -= REFETCH;
        assert!(allowance.take() && !allowance.take());
    }
}
