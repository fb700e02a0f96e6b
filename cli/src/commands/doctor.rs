//! `weir doctor`.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::ProvideCredentials as _;
use serde::Serialize;
use weir_guest_build::GuestCompiler;
use weir_platform::{Storage, aws, clock};

use crate::args::{DoctorArgs, OutputFormat};
use crate::embedded::DataFolder;
use crate::error::{Error, chain};
use crate::service::parts::{self, Database, Queues};
use crate::summary::print_json;

/// Time for one check.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time for the answer to `--url`: shorter than the limit that container platforms set by default.
const PROBE_PATIENCE: Duration = Duration::from_secs(4);
/// Difference of clocks beyond which AWS refuses signatures.
const MAX_SKEW: Duration = Duration::from_secs(240);
/// Difference of clocks that is worth a word.
const ODD_SKEW: Duration = Duration::from_secs(5);

/// What came of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Ok,
    Warn,
    Fail,
}

/// One line of the answer.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    outcome: Outcome,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'static str>,
}

fn ok(check: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        check,
        outcome: Outcome::Ok,
        found: found.into(),
        help: None,
    }
}

fn warn(check: &'static str, found: impl Into<String>, help: &'static str) -> Finding {
    Finding {
        check,
        outcome: Outcome::Warn,
        found: found.into(),
        help: Some(help),
    }
}

fn fail(check: &'static str, found: impl Into<String>, help: &'static str) -> Finding {
    Finding {
        check,
        outcome: Outcome::Fail,
        found: found.into(),
        help: Some(help),
    }
}

pub(super) async fn execute(args: DoctorArgs) -> Result<(), Error> {
    if let Some(url) = &args.url {
        return probe(url).await;
    }
    let mut findings = vec![data_folder(&args)];
    findings.extend(within("database", database(&args)).await);
    if args.queues.task_queue.is_some() || storage_url(&args).starts_with("s3://") {
        findings.extend(within("credentials", credentials()).await);
    }
    findings.extend(within("clock", clock_skew(&args)).await);
    findings.extend(within("queues", queues(&args)).await);
    findings.extend(within("storage", storage(&args)).await);
    findings.push(toolchain());
    print(&findings, args.output).map_err(Error::io("print the findings"))?;
    match findings
        .iter()
        .filter(|finding| finding.outcome == Outcome::Fail)
        .count()
    {
        0 => Ok(()),
        failed => Err(Error::Unfit(format!("{failed} of {} checks failed", findings.len()))),
    }
}

fn print(findings: &[Finding], output: OutputFormat) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match output {
        OutputFormat::Json => print_json(&mut out, &findings, true),
        OutputFormat::Jsonl => findings
            .iter()
            .try_for_each(|finding| print_json(&mut out, finding, false)),
        OutputFormat::Table => {
            for finding in findings {
                let word = match finding.outcome {
                    Outcome::Ok => "ok",
                    Outcome::Warn => "warn",
                    Outcome::Fail => "fail",
                };
                writeln!(out, "{word:<5} {:<18} {}", finding.check, finding.found)?;
                if let Some(help) = finding.help {
                    writeln!(out, "{:<24} {help}", "")?;
                }
            }
            Ok(())
        }
    }
}

/// Asks one URL, as container platforms do.
async fn probe(url: &str) -> Result<(), Error> {
    aws::install_crypto();
    let client = reqwest::Client::builder()
        .timeout(PROBE_PATIENCE)
        .build()
        .map_err(Error::platform("start the HTTP client"))?;
    let answer = client.get(url).send().await;
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => {
            let status = answer.status();
            // A readiness answer says what is missing.
            let body = answer.text().await.unwrap_or_default();
            let body: String = body.chars().take(2_000).collect();
            Err(Error::Unfit(format!("{url} answered {status}: {body}")))
        }
        Err(error) => Err(Error::Unfit(format!(
            "{url} does not answer: {}",
            chain(&error.without_url())
        ))),
    }
}

/// The findings of a check, or that it took too long.
async fn within(check: &'static str, findings: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    match tokio::time::timeout(PATIENCE, findings).await {
        Ok(findings) => findings,
        Err(_) => vec![fail(
            check,
            format!("no answer within {} s", PATIENCE.as_secs()),
            "check the address, security groups, and that the network lets this machine through",
        )],
    }
}

fn storage_url(args: &DoctorArgs) -> &str {
    args.storage.storage.as_deref().unwrap_or_default()
}

fn data_folder(args: &DoctorArgs) -> Finding {
    const CHECK: &str = "data folder";
    let help = "choose another folder by --data-dir or WEIR_DATA_DIR";
    let folder = match DataFolder::open(&args.data) {
        Ok(folder) => folder,
        Err(error) => return fail(CHECK, chain(&error), help),
    };
    let probe = folder.path().join(format!(".doctor-{}", clock::new_request_id()));
    let written = std::fs::write(&probe, b"probe").and_then(|()| std::fs::remove_file(&probe));
    match written {
        Ok(()) => ok(CHECK, format!("{} can be written", folder.path().display())),
        Err(error) => fail(CHECK, format!("{}: {error}", folder.path().display()), help),
    }
}

async fn database(args: &DoctorArgs) -> Vec<Finding> {
    const CHECK: &str = "database";
    if args.database.database_url.is_none() {
        return vec![warn(
            CHECK,
            "no --database-url: not checked",
            "servers need one; `weir run` and `weir dev` keep runs in the data folder",
        )];
    }
    let database = match Database::open(&args.database).await {
        Ok(database) => database,
        Err(error) => {
            let help = "check host, port, user, password and sslmode of --database-url, and that the server runs";
            return vec![fail(CHECK, chain(&error), help)];
        }
    };
    let Database::Postgres(store) = database else {
        return vec![ok(CHECK, "SQLite, up to date; for the servers of one machine")];
    };
    let schema = match store.schema_version().await {
        Ok(version) if version.found == version.wanted => ok("schema", format!("version {}", version.found)),
        Ok(version) if version.found > version.wanted => warn(
            "schema",
            format!("version {}, newer than this build's {}", version.found, version.wanted),
            "fine while a deployment is under way; then use the newer build everywhere",
        ),
        Ok(version) => fail(
            "schema",
            format!("version {}, but this build needs {}", version.found, version.wanted),
            "run `weir migrate`",
        ),
        Err(error) => fail("schema", chain(&error), "the user must be able to read its own tables"),
    };
    vec![ok(CHECK, "Postgres answers"), schema]
}

async fn credentials() -> Vec<Finding> {
    const CHECK: &str = "credentials";
    let help = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role of the task or machine";
    let config = aws::config().await;
    let region = match config.region() {
        Some(region) => ok("region", region.to_string()),
        None => fail("region", "no AWS region", "set AWS_REGION"),
    };
    let credentials = match config.credentials_provider() {
        None => fail(CHECK, "no source of AWS credentials", help),
        Some(provider) => match provider.provide_credentials().await {
            Ok(found) => {
                let expiry = match found.expiry() {
                    Some(_) => ", for a while",
                    None => "",
                };
                ok(CHECK, format!("AWS credentials found{expiry}"))
            }
            Err(error) => fail(CHECK, chain(&error), help),
        },
    };
    vec![region, credentials]
}

/// Compares this machine's clock with that of whoever signs and expires things.
async fn clock_skew(args: &DoctorArgs) -> Vec<Finding> {
    const CHECK: &str = "clock";
    let help = "let the machine follow a time server; AWS refuses requests of clocks that are minutes off";
    let Some(url) = &args.queues.task_queue else {
        return vec![ok(
            CHECK,
            format!("{}, not compared with another", crate::format::time(clock::now())),
        )];
    };
    aws::install_crypto();
    let client = match reqwest::Client::builder().timeout(PROBE_PATIENCE).build() {
        Ok(client) => client,
        Err(error) => return vec![warn(CHECK, chain(&error), help)],
    };
    // Whatever the answer is, it has a date.
    let date = match client.head(url).send().await {
        Ok(answer) => answer
            .headers()
            .get(reqwest::header::DATE)
            .and_then(|date| date.to_str().ok())
            .and_then(|date| chrono::DateTime::parse_from_rfc2822(date).ok()),
        Err(error) => return vec![warn(CHECK, chain(&error.without_url()), help)],
    };
    let Some(date) = date else {
        return vec![warn(CHECK, "the queue's server does not say what time it has", help)];
    };
    let there = SystemTime::from(date);
    let here = SystemTime::now();
    let skew = here
        .duration_since(there)
        .or_else(|_| there.duration_since(here))
        .unwrap_or_default();
    let found = format!("{:.0} s from the queue's server", skew.as_secs_f64());
    vec![match skew {
        skew if skew > MAX_SKEW => fail(CHECK, found, help),
        skew if skew > ODD_SKEW => warn(CHECK, found, help),
        _ => ok(CHECK, found),
    }]
}

async fn queues(args: &DoctorArgs) -> Vec<Finding> {
    const CHECK: &str = "queues";
    if args.queues.task_queue.is_none() && args.queues.report_queue.is_none() {
        return vec![warn(
            CHECK,
            "no --task-queue and --report-queue: not checked",
            "servers and workers need both; `weir run` and `weir dev` have their own",
        )];
    }
    let queues = match Queues::open(&args.queues).await {
        Ok(queues) => queues,
        Err(error) => return vec![fail(CHECK, chain(&error), "give the URLs of SQS queues")],
    };
    let mut findings = Vec::new();
    for check in queues.checks() {
        let checked = check.run().await;
        let name = match checked.name.as_str() {
            "task_queue" => "task queue",
            "report_queue" => "report queue",
            _ => "dead-letter queue",
        };
        findings.push(match checked.error {
            None => ok(name, format!("answers in {} ms", checked.took_ms)),
            Some(error) => fail(
                name,
                error,
                "check the URL and region, and that the role may call sqs:GetQueueAttributes, SendMessage, \
                 ReceiveMessage, DeleteMessage and ChangeMessageVisibility",
            ),
        });
    }
    if queues.dead_letters.is_none() {
        findings.push(warn(
            "dead-letter queue",
            "no --dead-letter-queue",
            "with one, servers explain in the run which message ended its workers",
        ));
    }
    findings
}

async fn storage(args: &DoctorArgs) -> Vec<Finding> {
    const CHECK: &str = "storage";
    if args.storage.storage.is_none() {
        return vec![warn(
            CHECK,
            "no --storage: not checked",
            "servers and workers need one; `weir run` and `weir dev` keep objects in the data folder",
        )];
    }
    let help = "check the bucket's name and region, and that the role may get, put, list and delete below the prefix";
    let storage = match parts::storage(&args.storage).await {
        Ok(storage) => storage,
        Err(error) => return vec![fail(CHECK, chain(&error), help)],
    };
    let key = format!("doctor/{}", clock::new_request_id());
    let mut findings = Vec::new();
    match round_trip(&storage, &key).await {
        Ok(()) => findings.push(ok(CHECK, "objects can be written, read and deleted")),
        Err(error) => return vec![fail(CHECK, error, help)],
    }
    findings.push(match conditional_put(&storage, &key).await {
        Ok(true) => ok("conditional put", "an object that is there is not replaced"),
        Ok(false) => fail(
            "conditional put",
            "the storage replaces objects although it is told not to",
            "use storage that honours If-None-Match: without it two servers could both commit",
        ),
        Err(error) => fail("conditional put", error, help),
    });
    let _ = storage.delete(vec![key]).await;
    findings
}

async fn round_trip(storage: &Storage, key: &str) -> Result<(), String> {
    let told = |error: weir_platform::StorageError| chain(&error);
    storage.put(key, "probe".into()).await.map_err(told)?;
    let read = storage.get(key).await.map_err(told)?;
    if read != "probe" {
        return Err("what was written is not what is read".to_owned());
    }
    storage.delete(vec![key.to_owned()]).await.map_err(told)?;
    match storage.exists(key).await.map_err(told)? {
        true => Err("a deleted object is still there".to_owned()),
        false => Ok(()),
    }
}

/// Whether an object that is there stays when another is put in its place on the condition that there is none.
async fn conditional_put(storage: &Storage, key: &str) -> Result<bool, String> {
    let told = |error: weir_platform::StorageError| chain(&error);
    let first = storage.put_if_absent(key, "first".into()).await.map_err(told)?;
    let second = storage.put_if_absent(key, "second".into()).await.map_err(told)?;
    let kept = storage.get(key).await.map_err(told)?;
    Ok(first && !second && kept == "first")
}

/// Only those who build guests need it.
fn toolchain() -> Finding {
    const CHECK: &str = "guest toolchain";
    match GuestCompiler::find(Path::new(".")) {
        Ok(_) => ok(CHECK, "Rust for wasm32-wasip2"),
        Err(error) => warn(CHECK, chain(&error), "only `weir build` needs it"),
    }
}
