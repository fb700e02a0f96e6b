//! The service's HTTP interface.
//!
//! Everything is below `/api/v1` but `/healthz`, `/readyz` and `/metrics`; `/api/v1/openapi.json` describes it. Errors
//! are RFC 9457 problems with a stable `code`. Handlers are thin: they read a request, ask the [`ControlPlane`] or the
//! storage, and write a resource.
//!
//! **Invariants.** No request holds more memory than its limits, or longer than its time. No input panics; a panic
//! would be one answer of status 500. What a store or a cloud said of itself goes to the log, not to the client.

mod attempts;
mod audit;
mod authenticate;
mod caller;
mod connection;
mod dashboard;
mod document;
mod export;
mod extract;
mod follow;
mod headers;
mod health;
mod history;
mod journal;
mod keys;
mod layer;
mod logs;
mod modules;
mod namespaces;
mod peer;
mod pipelines;
mod pool;
mod precondition;
mod problem;
mod profile;
mod quotas;
mod rate;
pub mod resources;
mod rows;
mod runs;
mod schedules;
mod serve;
mod session;
mod sessions;
mod source;
mod sql;
mod stages;
mod stream;
mod submit;
mod tasks;
mod tls;
mod workers;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use weir_model::{Digest, PriceTable, RunSettings};
use weir_platform::Storage;
use weir_platform::templates::Templates;

use self::journal::{Asked, Journal};
use self::peer::{Peer, Source};
use self::pool::{Full, Pool, Room};
use self::rate::Rates;
use crate::ControlPlane;
use crate::history::History;
use crate::identity::{Authenticator, OidcError, OidcOptions, SessionTimes};
use crate::pipelines::Defaults;

pub use health::{Check, metrics_router};
pub use modules::{InspectError, ModuleInspector};
pub use peer::Network;
pub use problem::{Problem, ProblemBody, ProblemDetail};
pub use rate::RateOptions;
pub use rows::{FileBytes, RowFormat, RowReader, Rows, RowsError};
pub use serve::serve;
pub use sql::{CheckError, SqlChecker};
pub use tls::TlsOptions;

/// What an operator can tune.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Bytes of a request's body, modules aside.
    pub max_body_bytes: usize,
    /// Bytes of a module.
    pub max_module_bytes: usize,
    /// Modules that are taken at once; one namespace has half.
    pub concurrent_uploads: usize,
    /// Requests that are answered at once, health checks aside; more are refused. One namespace has a quarter.
    pub concurrent_requests: usize,
    /// Long polls that wait at once; more are refused. One namespace has a quarter.
    pub concurrent_long_polls: usize,
    /// Streams of changes that are open at once; more are refused. One namespace has a quarter.
    pub concurrent_streams: usize,
    /// The longest time for one request, in milliseconds; longer than the longest wait of a long poll.
    pub request_timeout_ms: u64,
    /// The folder or URL that relative paths of jobs start from when a request does not say.
    pub base: String,
    /// Settings of runs, over which a request's go.
    pub default_settings: RunSettings,
    /// Whether runs are read from the history in storage alone, and nothing is changed.
    pub read_only: bool,
    /// What things cost, for estimates.
    pub prices: PriceTable,
    /// The digest of a key that opens everything, for whoever makes the first keys.
    pub api_key: Option<Digest>,
    /// Lets whoever reaches the server do everything.
    pub open: bool,
    /// The identity provider whose tokens are trusted.
    pub oidc: Option<OidcOptions>,
    /// The server's certificate; without one, requests come in the clear.
    pub tls: Option<TlsOptions>,
    /// Whether metrics are answered at another address alone, by [`metrics_router`].
    pub metrics_elsewhere: bool,
    /// Networks of proxies, which say by `X-Forwarded-For` and `X-Forwarded-Proto` where requests come from.
    pub trusted_proxies: Vec<Network>,
    /// Connections at once; more wait. One network, unless it is a trusted proxy's, has a quarter.
    pub max_connections: usize,
    /// How many requests one may send.
    pub rates: RateOptions,
    /// How long a browser stays logged in, in milliseconds, however much it is used.
    pub session_ms: u64,
    /// How long a browser stays logged in that sends nothing, in milliseconds.
    pub session_idle_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_body_bytes: 2 << 20,
            max_module_bytes: 64 << 20,
            concurrent_uploads: 4,
            concurrent_requests: 1_024,
            concurrent_long_polls: 4_096,
            concurrent_streams: 1_024,
            request_timeout_ms: 120_000,
            base: "/".to_owned(),
            default_settings: RunSettings::default(),
            read_only: false,
            prices: PriceTable::default(),
            api_key: None,
            open: false,
            oidc: None,
            tls: None,
            metrics_elsewhere: false,
            trusted_proxies: Vec::new(),
            max_connections: 4_096,
            rates: RateOptions::default(),
            session_ms: 12 * 3_600_000,
            session_idle_ms: 3_600_000,
        }
    }
}

impl Options {
    fn session_times(&self) -> SessionTimes {
        SessionTimes {
            absolute: Duration::from_millis(self.session_ms),
            idle: Duration::from_millis(self.session_idle_ms),
        }
    }

    /// What is added to jobs that say nothing of it.
    pub fn defaults(&self) -> Defaults {
        Defaults {
            base: self.base.clone(),
            settings: self.default_settings.clone(),
        }
    }

    fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms.max(1))
    }
}

/// What the interface works with.
pub struct Environment {
    /// Drives the runs.
    pub control_plane: ControlPlane,
    /// Where modules are.
    pub storage: Storage,
    /// Looks into modules.
    pub inspector: Arc<dyn ModuleInspector>,
    /// Reads what runs wrote.
    pub rows: Arc<dyn RowReader>,
    /// Looks at SQL.
    pub sql: Arc<dyn SqlChecker>,
    /// Renders the templates of pipelines. Others than those of who plans, so that nobody who submits can hold up what is
    /// submitted.
    pub templates: Templates,
    /// What the server needs to do its work, store and storage aside.
    pub checks: Vec<Check>,
    /// Writes the metrics of the process in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// The interface's state. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    options: Options,
    environment: Environment,
    rooms: Rooms,
    folds: follow::Folds,
    feeds: stream::Feeds,
    streams: stream::Streams,
    log_folds: source::LogFolds,
    orders: tasks::Orders,
    history: History,
    namespaces: caller::Namespaces,
    authenticator: Authenticator,
    rates: Rates,
    journal: Journal,
    /// Requests that change something: they come to their end, whoever waits for it.
    changes: TaskTracker,
    readiness: health::Known,
    closing: CancellationToken,
}

/// Room for what is done at once. One namespace has a part of it.
struct Rooms {
    requests: Pool,
    long_polls: Pool,
    streams: Pool,
    /// Modules, each of which is held in memory while it is checked.
    uploads: Pool,
    /// Pages of rows.
    pages: Pool,
    /// Results and files that are sent.
    downloads: Pool,
    checks_of_sql: Pool,
    /// Runs that are written as one file.
    exports: Pool,
    /// By network: nobody is known yet.
    logins: Pool<IpAddr>,
}

impl Rooms {
    fn new(options: &Options) -> Self {
        Self {
            requests: Pool::new(options.concurrent_requests, 4),
            long_polls: Pool::new(options.concurrent_long_polls, 4),
            streams: Pool::new(options.concurrent_streams, 4),
            uploads: Pool::new(options.concurrent_uploads, 8),
            pages: Pool::new(rows::CONCURRENT_PAGES, 8),
            downloads: Pool::new(rows::CONCURRENT_DOWNLOADS, 8),
            checks_of_sql: Pool::new(sql::CONCURRENT_CHECKS, 8),
            exports: Pool::new(export::CONCURRENT_EXPORTS, 8),
            logins: Pool::new(session::CONCURRENT_LOGINS, 8),
        }
    }
}

impl Api {
    /// The interface over a service.
    ///
    /// # Errors
    /// When the identity provider of the options cannot be one.
    pub fn new(options: Options, mut environment: Environment) -> Result<Self, OidcError> {
        let control_plane = environment.control_plane.clone();
        let storage = environment.storage.clone();
        environment.checks.insert(
            0,
            Check::new("store", move || {
                let control_plane = control_plane.clone();
                async move {
                    let listed = control_plane.run_list(&Default::default(), None, 1).await;
                    listed.map(drop).map_err(|error| describe(&error))
                }
            }),
        );
        environment.checks.insert(
            1,
            Check::new("storage", move || {
                let storage = storage.clone();
                async move {
                    let asked = storage.exists("readiness").await;
                    asked.map(drop).map_err(|error| describe(&error))
                }
            }),
        );
        let authenticator = Authenticator::new(
            environment.control_plane.clone(),
            options.api_key,
            options.oidc.clone(),
            options.session_times(),
        )?;
        Ok(Self(Arc::new(Inner {
            rates: Rates::new(&options.rates),
            journal: Journal::start(environment.control_plane.clone()),
            authenticator,
            rooms: Rooms::new(&options),
            folds: Default::default(),
            feeds: Default::default(),
            streams: Default::default(),
            log_folds: Default::default(),
            orders: Default::default(),
            history: History::new(environment.storage.clone()),
            namespaces: Default::default(),
            changes: TaskTracker::new(),
            readiness: Default::default(),
            closing: CancellationToken::new(),
            options,
            environment,
        })))
    }

    fn options(&self) -> &Options {
        &self.0.options
    }

    /// What is added to jobs that say nothing of it.
    fn defaults(&self) -> Defaults {
        self.0.options.defaults()
    }

    fn control_plane(&self) -> &ControlPlane {
        &self.0.environment.control_plane
    }

    fn storage(&self) -> &Storage {
        &self.0.environment.storage
    }

    fn inspector(&self) -> Arc<dyn ModuleInspector> {
        Arc::clone(&self.0.environment.inspector)
    }

    fn rows(&self) -> &dyn RowReader {
        &*self.0.environment.rows
    }

    fn sql(&self) -> &dyn SqlChecker {
        &*self.0.environment.sql
    }

    fn templates(&self) -> &Templates {
        &self.0.environment.templates
    }

    fn checks(&self) -> &[Check] {
        &self.0.environment.checks
    }

    fn metrics_text(&self) -> String {
        (self.0.environment.metrics)()
    }

    fn rooms(&self) -> &Rooms {
        &self.0.rooms
    }

    fn folds(&self) -> &follow::Folds {
        &self.0.folds
    }

    fn orders(&self) -> &tasks::Orders {
        &self.0.orders
    }

    fn log_folds(&self) -> &source::LogFolds {
        &self.0.log_folds
    }

    fn history(&self) -> &History {
        &self.0.history
    }

    fn feeds(&self) -> &stream::Feeds {
        &self.0.feeds
    }

    fn streams(&self) -> &stream::Streams {
        &self.0.streams
    }

    fn namespaces(&self) -> &caller::Namespaces {
        &self.0.namespaces
    }

    fn authenticator(&self) -> &Authenticator {
        &self.0.authenticator
    }

    fn rates(&self) -> &Rates {
        &self.0.rates
    }

    fn journal(&self) -> &Journal {
        &self.0.journal
    }

    fn readiness(&self) -> &health::Known {
        &self.0.readiness
    }

    fn changes(&self) -> &TaskTracker {
        &self.0.changes
    }

    /// Where a request comes from.
    fn source(&self, request: &Request) -> Source {
        // Without a connection it is of this process.
        let peer = request.extensions().get().copied().unwrap_or(Peer {
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            tls: false,
        });
        Source::of(peer, request.headers(), &self.options().trusted_proxies)
    }

    /// Ends when the server begins to shut down, so that nobody is kept waiting.
    async fn closing(&self) {
        self.0.closing.cancelled().await;
    }

    fn is_closing(&self) -> bool {
        self.0.closing.is_cancelled()
    }

    /// Lets a request in: it is known who sends it, they do not send too many, and there is room.
    async fn admit(&self, request: &mut Parts, source: Source, asked: &mut Asked) -> Result<Room, Problem> {
        request.extensions.insert(source);
        let Some((authenticated, caller)) = authenticate::authenticate(self, request, source, asked).await? else {
            let room = self.rooms().logins.enter(&source.network());
            return room.map_err(|_| {
                let detail = "others log in at the moment; try again";
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_logins", detail).retry_after(1)
            });
        };
        let namespace = caller.namespace().clone();
        request.extensions.insert(authenticated);
        request.extensions.insert(caller);
        // Whoever looks at it in a browser may have to log in.
        let changes = !matches!(request.method, Method::GET | Method::HEAD) && request.uri.path() != session::PATH;
        if self.0.options.read_only && changes {
            let detail =
                "this server shows the history of runs in storage and changes nothing; send this to `weir server`";
            return Err(Problem::new(StatusCode::FORBIDDEN, "read_only", detail));
        }
        self.rooms().requests.enter(&namespace).map_err(|full| match full {
            Full::Share => full.problem("too_many_requests", "requests"),
            Full::All => {
                let detail = "this server answers as many requests as it can; try again";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).retry_after(1)
            }
        })
    }
}

/// An error with its causes, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Weir",
        description = "Batch pipelines and SQL with sandboxed Wasm functions. Errors are RFC 9457 problems.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "runs", description = "Executions of jobs"),
        (name = "pipelines", description = "Named, versioned definitions of jobs"),
        (name = "schedules", description = "When runs of pipelines are made"),
        (name = "modules", description = "Wasm components, by content"),
        (name = "namespaces", description = "Tenants, what they may use and what they use"),
        (name = "identity", description = "Who may do what, and what they did: keys, sessions, the audit log"),
        (name = "workers", description = "The processes that run tasks"),
        (name = "health", description = "For load balancers, orchestrators and monitoring"),
    ),
    // Data of events, which no answer names.
    components(schemas(
        resources::StreamRows,
        resources::StreamRun,
        resources::StreamRunPatch,
        resources::StreamResource,
        resources::StreamChanged,
        resources::StreamEnd,
        resources::TaskRange,
    )),
)]
struct Document;

fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(runs::list, runs::submit))
        .routes(routes!(runs::get))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::retry))
        .routes(routes!(runs::pause))
        .routes(routes!(runs::resume))
        .routes(routes!(attempts::list))
        .routes(routes!(pipelines::list, pipelines::create))
        .routes(routes!(pipelines::get, pipelines::put, pipelines::delete))
        .routes(routes!(pipelines::versions))
        .routes(routes!(pipelines::version))
        .routes(routes!(pipelines::run))
        .routes(routes!(schedules::list, schedules::create))
        .routes(routes!(schedules::preview))
        .routes(routes!(schedules::get, schedules::put, schedules::delete))
        .routes(routes!(schedules::suspend))
        .routes(routes!(schedules::resume))
        .routes(routes!(schedules::trigger))
        .routes(routes!(stream::stream))
        .routes(routes!(stages::list))
        .routes(routes!(stages::get))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::get))
        .routes(routes!(profile::metrics))
        .routes(routes!(profile::list))
        .routes(routes!(export::get))
        .routes(routes!(history::events))
        .routes(routes!(history::event))
        .routes(routes!(logs::list))
        .routes(routes!(rows::result::get))
        .routes(routes!(rows::outputs::list))
        .routes(routes!(rows::outputs::rows))
        .routes(routes!(rows::outputs::links))
        .routes(routes!(rows::outputs::file))
        .routes(routes!(sql::check))
        .routes(routes!(modules::list))
        .routes(routes!(modules::head, modules::get, modules::put, modules::delete))
        .routes(routes!(modules::upload))
        .routes(routes!(modules::complete))
        .routes(routes!(quotas::get, quotas::put, quotas::delete))
        .routes(routes!(session::get, session::create, session::delete))
        .routes(routes!(sessions::list, sessions::end_all))
        .routes(routes!(sessions::end))
        .routes(routes!(namespaces::list, namespaces::create))
        .routes(routes!(namespaces::get, namespaces::put, namespaces::delete))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::get, keys::revoke))
        .routes(routes!(workers::list))
        .routes(routes!(workers::scaling))
        .routes(routes!(audit::list))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

/// The OpenAPI document, as indented JSON with a line end.
pub fn openapi() -> String {
    let mut document = routes().into_openapi();
    document::finish(&mut document);
    // A document of constants: writing it cannot fail.
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// All routes, ready to serve.
pub fn router(api: Api) -> Router {
    let (router, mut document) = routes().split_for_parts();
    document::finish(&mut document);
    let document = Arc::new(document);
    let describe = move || {
        let document = Arc::clone(&document);
        async move { axum::Json(&*document).into_response() }
    };
    router
        .route("/api/v1/openapi.json", axum::routing::get(describe))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        // Bodies are read by the handlers, each with a limit of its own.
        .layer(axum::extract::DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(layer::panicked))
        .layer(CompressionLayer::new())
        .layer(axum::middleware::from_fn_with_state(api.clone(), layer::frame))
        .with_state(api)
}

/// A page of the dashboard, unless the path is one of the API's.
async fn no_route(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let page = dashboard::respond(&method, &uri, &headers);
    page.unwrap_or_else(|| Problem::route_not_found(uri.path()).into_response())
}

async fn no_method(State(_): State<Api>, request: Request) -> Problem {
    let detail = format!("`{}` does not take {}", request.uri().path(), request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `WEIR_UPDATE=1 cargo test -p weir-control-plane openapi` writes it anew.
    #[test]
    fn the_committed_openapi_document_is_that_of_the_code() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.json");
        let document = openapi();
        if std::env::var_os("WEIR_UPDATE").is_some() {
            std::fs::write(file, &document).expect("the document can be written");
        }
        let committed = std::fs::read_to_string(file).expect("openapi.json is committed");
        assert!(
            committed == document,
            "openapi.json is not that of the code; write it anew with WEIR_UPDATE=1, look at the difference, and \
             make the dashboard's client of it: `npm run client`"
        );
    }

    #[test]
    fn every_route_says_what_its_errors_are() {
        let document: serde_json::Value = serde_json::from_str(&openapi()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        assert!(paths.len() >= 10);
        for (path, operations) in paths {
            for (method, operation) in operations.as_object().unwrap() {
                let responses = &operation["responses"];
                assert!(
                    method == "head"
                        || (responses["4XX"]["content"]["application/problem+json"].is_object()
                            && responses["5XX"]["content"]["application/problem+json"].is_object()),
                    "{method} {path}"
                );
                assert!(operation["operationId"].is_string(), "{method} {path}");
            }
        }
    }
}
