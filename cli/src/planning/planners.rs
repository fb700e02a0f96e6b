//! Who has jobs planned by children.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{env, io};

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use weir_control_plane::Planner;
use weir_control_plane::http::resources::{SqlCheck, SqlCheckRequest};
use weir_control_plane::http::{CheckError, SqlChecker};
use weir_model::{Failure, FailureKind, Namespace, RunId, RunSettings, StageGraph, Submission};
use weir_platform::Storage;

use super::lane::Lane;
use super::{Answer, Question, Setup, frame, length};
use crate::args::PLAN_JOB;
use crate::error::Error;
use crate::service::sql;

/// Runs that are planned at once.
const RUNS: usize = 4;
/// Scripts that are looked at at once.
const CHECKS: usize = 4;
/// How many of either a namespace has at once.
const SHARE: usize = 2;
/// How long planning a run may take, listing its files and reading their beginnings included.
const RUN_PATIENCE: Duration = Duration::from_secs(120);
/// How long looking at a script may take.
const CHECK_PATIENCE: Duration = Duration::from_secs(20);
/// How long a script waits for its turn.
const CHECK_TURN: Duration = Duration::from_secs(10);

/// Names the folder in which a child spills.
pub(super) const SPILL: &str = "WEIR_PLANNER_SPILL";

/// Variables that children get, besides those of AWS.
const VARIABLES: [&str; 14] = [
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "NO_PROXY",
    "PATH",
    "RUST_BACKTRACE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "WEIR_LOG",
    "WEIR_LOG_FORMAT",
    "WEIR_S3_PATH_STYLE",
];

/// Plans by children. Cheap to clone; clones share the bounds.
#[derive(Clone)]
pub(crate) struct Planners(Arc<Inner>);

struct Inner {
    program: PathBuf,
    setup: Vec<u8>,
    runs: Lane,
    checks: Lane,
    /// A child that has begun, for whoever is next.
    spare: Mutex<Option<Process>>,
}

/// A child, which is killed when this is dropped.
struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    /// What it spills goes with it.
    _spill: TempDir,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error(
        "planning the job takes longer than {} s; let it read fewer files, or make it simpler",
        .0.as_secs()
    )]
    TooLong(Duration),
    #[error(
        "planning the job takes more than {} MiB of memory; what is made of constants, such as `repeat('x', 300000000)`, \
         is made while planning: make it of a column, or read it from a file",
        .0 >> 20
    )]
    TooLarge(u64),
    #[error("cannot plan in a process of its own")]
    Process(#[source] io::Error),
}

impl Planners {
    /// Children of this program that work with `setup`. The first is started at once.
    ///
    /// # Errors
    /// When this program cannot be found or started.
    pub(crate) fn start(setup: &Setup) -> Result<Self, Error> {
        let program = env::current_exe().map_err(Error::io("find this program"))?;
        let setup = frame(setup).map_err(Error::io("write down what planners work with"))?;
        let planners = Self(Arc::new(Inner {
            program,
            setup,
            runs: Lane::new(RUNS, SHARE),
            checks: Lane::new(CHECKS, SHARE),
            spare: Mutex::default(),
        }));
        let spare = planners.0.spawn().map_err(Error::io("start a planner"))?;
        planners.0.keep(spare);
        Ok(planners)
    }
}

impl Inner {
    fn spawn(&self) -> io::Result<Process> {
        let spill = TempDir::with_prefix("weir-planner-")?;
        let kept = env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            name.starts_with("AWS_") || VARIABLES.contains(&&*name)
        });
        let mut child = Command::new(&self.program)
            .arg(PLAN_JOB)
            // Neither the address of the database nor a key of the service is a job's business.
            .env_clear()
            .envs(kept)
            .env(SPILL, spill.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.ok_or_else(|| io::Error::other("it has no standard input"))?;
        Ok(Process {
            child,
            stdin,
            stdout,
            _spill: spill,
        })
    }

    fn keep(self: &Arc<Self>, mut spare: Process) {
        let inner = Arc::downgrade(self);
        tokio::spawn(async move {
            let Some(setup) = inner.upgrade().map(|inner| inner.setup.clone()) else {
                return;
            };
            // It fits the pipe. A child that has ended already is found when it is needed.
            let _ = spare.stdin.write_all(&setup).await;
            if let Some(inner) = inner.upgrade() {
                *inner.spare() = Some(spare);
            }
        });
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A child that is ready for a question, or will be; another one is made ready for the next.
    async fn take(self: &Arc<Self>) -> io::Result<Process> {
        let mut spare = self.spare().take();
        if let Some(process) = &mut spare
            && process.child.try_wait()?.is_some()
        {
            spare = None;
        }
        let ready = match spare {
            Some(spare) => spare,
            None => {
                let mut process = self.spawn()?;
                process.stdin.write_all(&self.setup).await?;
                process
            }
        };
        match self.spawn() {
            Ok(spare) => self.keep(spare),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "cannot start a spare planner"),
        }
        Ok(ready)
    }

    async fn ask(self: &Arc<Self>, question: &Question, patience: Duration) -> Result<Answer, Unanswered> {
        let memory = question.memory();
        let question = frame(question).map_err(Unanswered::Process)?;
        let process = self.take().await.map_err(Unanswered::Process)?;
        // The child is killed as its process is dropped, also when nobody waits for the answer any more.
        match tokio::time::timeout(patience, process.answer(&question, memory)).await {
            Ok(answer) => answer,
            Err(_) => Err(Unanswered::TooLong(patience)),
        }
    }
}

impl Process {
    async fn answer(mut self, question: &[u8], memory: u64) -> Result<Answer, Unanswered> {
        match self.exchange(question).await {
            Ok(answer) => Ok(serde_json::from_slice(&answer).map_err(|error| Unanswered::Process(error.into()))?),
            Err(error) => {
                let status = self.child.wait().await.map_err(Unanswered::Process)?;
                Err(ended(status, error, memory))
            }
        }
    }

    async fn exchange(&mut self, question: &[u8]) -> io::Result<Vec<u8>> {
        self.stdin.write_all(question).await?;
        let mut start = [0; 4];
        self.stdout.read_exact(&mut start).await?;
        let mut answer = vec![0; length(start)?];
        self.stdout.read_exact(&mut answer).await?;
        Ok(answer)
    }
}

/// What the end of a child without an answer says.
fn ended(status: ExitStatus, error: io::Error, memory: u64) -> Unanswered {
    match status.code() {
        // It has no memory or no stack, or the machine has none, which ends processes by signals.
        None => Unanswered::TooLarge(memory),
        Some(0) => Unanswered::Process(error),
        // It has said why in the log.
        Some(_) => Unanswered::Process(io::Error::other(format!("the planner ended with {status}"))),
    }
}

#[async_trait]
impl Planner for Planners {
    async fn plan(&self, run: RunId, submission: &Submission, storage: &Storage) -> Result<StageGraph, Failure> {
        let _place = self.0.runs.enter(&submission.namespace).await;
        let question = Question::Plan {
            run,
            submission: Box::new(submission.clone()),
        };
        let failed = |kind, error: &Unanswered| {
            let message = crate::error::chain(error);
            Failure::new(kind, "planning_failed", message)
        };
        match self.0.ask(&question, RUN_PATIENCE).await {
            Ok(Answer::Planned { planned, requests }) => {
                storage.s3().count(requests);
                *planned
            }
            Ok(Answer::Checked(_)) => Err(failed(FailureKind::Platform, &unasked())),
            Err(error @ Unanswered::Process(_)) => Err(failed(FailureKind::Platform, &error)),
            Err(error) => {
                tracing::warn!(%run, namespace = %submission.namespace, %error, "a planner was ended");
                Err(failed(FailureKind::User, &error))
            }
        }
    }
}

#[async_trait]
impl SqlChecker for Planners {
    async fn check(
        &self,
        namespace: &Namespace,
        request: SqlCheckRequest,
        base: String,
        settings: &RunSettings,
    ) -> Result<SqlCheck, CheckError> {
        let place = tokio::time::timeout(CHECK_TURN, self.0.checks.enter(namespace)).await;
        let _place = place.map_err(|_| CheckError::Busy)?;
        let question = Question::Check {
            namespace: namespace.clone(),
            request: Box::new(request),
            base,
            settings: Box::new(settings.clone()),
        };
        match self.0.ask(&question, CHECK_PATIENCE).await {
            Ok(Answer::Checked(checked)) => (*checked).map_err(|error| CheckError::Platform(error.into())),
            Ok(Answer::Planned { .. }) => Err(CheckError::Platform(Box::new(unasked()))),
            Err(error @ Unanswered::Process(_)) => Err(CheckError::Platform(Box::new(error))),
            Err(error) => {
                tracing::warn!(%namespace, %error, "a planner was ended");
                Ok(sql::wrong(Vec::new(), error.to_string(), None))
            }
        }
    }
}

fn unasked() -> Unanswered {
    Unanswered::Process(io::Error::other("the planner answered what it was not asked"))
}
