//! Tokens of an identity provider, which runs in this test.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};

use super::fleet::{Answer, Fleet, MemberId};
use super::http::assert_problem;
use super::identity::{make_namespace, send};

const AUDIENCE: &str = "weir-of-the-test";
/// RSA keys take long to make; nobody but this test trusts this one.
const RSA: &str = include_str!("tls/rsa.key.pem");
/// PKCS #8 of the two curves, up to the secret number.
const ED25519: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
const P256: [u8; 35] = [
    48, 65, 2, 1, 0, 48, 19, 6, 7, 42, 134, 72, 206, 61, 2, 1, 6, 8, 42, 134, 72, 206, 61, 3, 1, 7, 4, 39, 48, 37, 2,
    1, 1, 4, 32,
];

/// A provider, as far as it is needed to trust its tokens.
#[derive(Clone)]
struct Provider {
    issuer: String,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicU64>,
}

impl Provider {
    /// Starts one on a free port; it lives as long as the test process.
    fn start() -> Self {
        let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let provider = Self {
            issuer: format!("http://{address}/realm"),
            keys: Arc::default(),
            asked: Arc::default(),
        };
        let router = Router::new()
            .route("/realm/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .with_state(provider.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                listener.set_nonblocking(true).expect("a listener");
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                axum::serve(listener, router).await.expect("it serves");
            });
        });
        provider
    }

    /// Publishes the public half of a key.
    fn publish(&self, key: &Key) {
        let mut jwk = Jwk::from_encoding_key(&key.secret, key.algorithm).expect("a key");
        jwk.common.key_id = Some(key.name.clone());
        let jwk = serde_json::to_value(jwk).expect("JSON");
        self.keys.lock().expect("the lock").push(jwk);
    }

    /// What a good token says.
    fn claims(&self) -> Value {
        json!({
            "iss": self.issuer, "aud": [AUDIENCE, "others"], "sub": "ann", "exp": now() + 600, "nbf": now() - 5,
            "realm_access": {"roles": ["data", "unknown"]},
        })
    }
}

async fn discovery(State(provider): State<Provider>) -> Json<Value> {
    let jwks = provider.issuer.replace("/realm", "/keys");
    Json(json!({"issuer": provider.issuer, "jwks_uri": jwks, "more": true}))
}

async fn keys(State(provider): State<Provider>) -> Json<Value> {
    provider.asked.fetch_add(1, Ordering::SeqCst);
    Json(json!({"keys": *provider.keys.lock().expect("the lock")}))
}

/// A key that signs.
struct Key {
    name: String,
    algorithm: Algorithm,
    secret: EncodingKey,
}

impl Key {
    fn new(name: &str, algorithm: Algorithm) -> Self {
        let mut number = [0; 32];
        getrandom::fill(&mut number).expect("randomness");
        let secret = match algorithm {
            Algorithm::EdDSA => EncodingKey::from_ed_der(&[&ED25519[..], &number].concat()),
            Algorithm::ES256 => EncodingKey::from_ec_der(&[&P256[..], &number].concat()),
            _ => EncodingKey::from_rsa_pem(RSA.as_bytes()).expect("a key"),
        };
        let name = name.to_owned();
        Self {
            name,
            algorithm,
            secret,
        }
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.name, claims)
    }

    /// Says that it is another key.
    fn sign_as(&self, name: &str, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(name.to_owned());
        encode(&header, claims, &self.secret).expect("a token")
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs()
}

fn service(provider: &Provider) -> (Fleet, MemberId) {
    let mut fleet = Fleet::new();
    for (name, value) in [
        ("WEIR_BOOTSTRAP_API_KEY", "open-sesame-for-tests"),
        ("WEIR_OIDC_ISSUER", &*provider.issuer),
        ("WEIR_OIDC_AUDIENCE", AUDIENCE),
        ("WEIR_OIDC_CLAIM", "realm_access.roles"),
        ("WEIR_OIDC_GRANTS", "data=analytics:submitter,platform=*:admin"),
    ] {
        fleet.set(name, value);
    }
    let server = fleet.server(&[]);
    make_namespace((&fleet, server), "analytics");
    (fleet, server)
}

fn who(service: (&Fleet, MemberId), token: &str) -> Answer {
    send(service, token, None, Method::GET, "/api/v1/session", "")
}

#[test]
fn tokens_of_the_provider_let_people_in_as_what_their_claims_say() {
    let provider = Provider::start();
    let keys = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA].map(|kind| Key::new(&format!("{kind:?}"), kind));
    keys.iter().for_each(|key| provider.publish(key));
    let (fleet, server) = service(&provider);
    let service = (&fleet, server);
    for key in &keys {
        let known = who(service, &key.sign(&provider.claims()));
        assert_eq!(known.status, 200, "{}: {}", key.name, known.body);
        assert_eq!(
            (&known.body["principal"], &known.body["namespace"]),
            (&json!("oidc:ann"), &json!("analytics"))
        );
        assert_eq!(
            (&known.body["role"], &known.body["whole_service"]),
            (&json!("submitter"), &json!(false))
        );
    }
    let mut claims = provider.claims();
    claims["realm_access"]["roles"] = json!(["platform"]);
    let admin = who(service, &keys[1].sign(&claims));
    assert_eq!(
        (&admin.body["role"], &admin.body["whole_service"]),
        (&json!("admin"), &json!(true))
    );
    claims["realm_access"] = json!({});
    assert_problem(&who(service, &keys[1].sign(&claims)), 403, "forbidden");
    assert_eq!(provider.asked.load(Ordering::SeqCst), 1, "keys are kept");

    // A key that is new to the server, then strangers' that are new to everybody.
    let fresh = Key::new("next", Algorithm::ES256);
    provider.publish(&fresh);
    assert_eq!(who(service, &fresh.sign(&provider.claims())).status, 200);
    for n in 0..20 {
        let token = fresh.sign_as(&format!("stranger {n}"), &provider.claims());
        assert_problem(&who(service, &token), 401, "unauthorized");
    }
    assert!(
        provider.asked.load(Ordering::SeqCst) <= 4,
        "strangers do not make the server ask"
    );
    assert_eq!(who(service, &fresh.sign(&provider.claims())).status, 200);

    // A browser with a token.
    let body = json!({"token": fresh.sign(&provider.claims())}).to_string();
    let headers = [("content-type", "application/json")];
    let login = fleet.request(server, Method::POST, "/api/v1/session", &headers, body);
    assert_eq!(
        (login.status, &login.body["principal"]),
        (200, &json!("oidc:ann")),
        "{}",
        login.body
    );
    let cookie = login
        .header("set-cookie")
        .and_then(|cookie| cookie.split(';').next())
        .expect("a cookie");
    assert_eq!(
        fleet
            .request(server, Method::GET, "/api/v1/runs", &[("cookie", cookie)], "")
            .status,
        200
    );
}

#[test]
fn tokens_that_prove_nothing_are_refused() {
    let provider = Provider::start();
    let (rsa, ec) = (Key::new("rsa", Algorithm::RS256), Key::new("ec", Algorithm::ES256));
    provider.publish(&rsa);
    provider.publish(&ec);
    let (fleet, server) = service(&provider);
    let service = (&fleet, server);
    let good = provider.claims();
    assert_eq!(who(service, &ec.sign(&good)).status, 200);

    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        ec.sign(&claims)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().expect("claims").remove(name);
        ec.sign(&claims)
    };
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = ec.sign(&good);
    let signature = token.rsplit('.').next().expect("a signature");
    let mut confused = Header::new(Algorithm::HS256);
    confused.kid = Some("rsa".to_owned());
    let public = provider.keys.lock().expect("the lock")[0]["n"]
        .as_str()
        .expect("a modulus")
        .to_owned();
    let refused = [
        ("expired", with("exp", json!(now() - 120))),
        ("not yet", with("nbf", json!(now() + 600))),
        ("of another provider", with("iss", json!("http://127.0.0.1:1/realm"))),
        ("for another service", with("aud", json!("others"))),
        ("without an end", without("exp")),
        ("without a provider", without("iss")),
        ("without an audience", without("aud")),
        ("without a name", without("sub")),
        ("of another key", Key::new("ec", Algorithm::ES256).sign(&good)),
        ("of a key of another kind", ec.sign_as("rsa", &good)),
        (
            "without a signature",
            format!("{}.{}.", part(json!({"alg": "none", "kid": "ec"})), part(good.clone())),
        ),
        ("with another's signature", {
            let mut claims = good.clone();
            claims["realm_access"]["roles"] = json!(["platform"]);
            format!(
                "{}.{}.{signature}",
                part(json!({"alg": "ES256", "kid": "ec"})),
                part(claims)
            )
        }),
        (
            "signed by what everybody knows",
            encode(&confused, &good, &EncodingKey::from_secret(public.as_bytes())).expect("a token"),
        ),
        ("of half a token", token[..token.len() / 2].to_owned()),
        ("of dots", "..".to_owned()),
        (
            "endless",
            format!("{}.{}.{signature}", "a".repeat(20_000), "b".repeat(20_000)),
        ),
    ];
    for (what, token) in refused {
        let answer = who(service, &token);
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        assert_problem(&answer, 401, "unauthorized");
    }
}

#[test]
fn half_of_the_settings_and_providers_in_the_clear_are_refused() {
    let fleet = Fleet::new();
    for (args, what) in [
        (&["--oidc-issuer", "https://issuer.example"][..], "--oidc-audience"),
        (
            &["--oidc-issuer", "http://issuer.example", "--oidc-audience", "a"],
            "https://",
        ),
        (&["--oidc-grants", "data"], "VALUE=NAMESPACE:ROLE"),
        (&["--tls-cert", "cert.pem"], "--tls-key"),
        (
            &["--tls-cert", "/nowhere/cert.pem", "--tls-key", "/nowhere/key.pem"],
            "/nowhere/cert.pem",
        ),
    ] {
        let args = ["server", "--listen", "127.0.0.1:0"].iter().chain(args).copied();
        let ran = fleet.weir(args);
        assert!(ran.code.is_some_and(|code| code != 0), "{what}");
        assert!(ran.stderr.contains(what), "{what}: {}", ran.stderr);
    }
}
