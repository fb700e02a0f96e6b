//! What a child does.

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::sync::oneshot;
use weir_control_plane::Planner;
use weir_control_plane::http::SqlChecker;
use weir_engine::{Engine, EngineOptions, STACK_BYTES};
use weir_platform::s3::RequestCounts;
use weir_platform::templates::Templates;
use weir_platform::{Storage, StorageOptions, aws, limits, telemetry};
use weir_sandbox::{Sandbox, SandboxOptions};

use super::planners::SPILL;
use super::{Answer, MEMORY_BYTES, Question, Setup, frame, length};
use crate::args::{DataArgs, LogFormat};
use crate::embedded::DataFolder;
use crate::error::{self, Error};
use crate::service::machine::EnginePlanner;
use crate::service::sql::EngineChecker;

/// Answers one question of standard input to standard output, in a process that is there for nothing else.
pub(crate) fn serve(log: Option<String>, log_format: LogFormat) -> ExitCode {
    let filter = log.unwrap_or_else(|| "info".to_owned());
    let telemetry = telemetry::init(&telemetry::Options {
        filter,
        format: match log_format {
            LogFormat::Text => telemetry::Format::Human,
            LogFormat::Json => telemetry::Format::Json,
        },
    });
    let planner = std::thread::Builder::new()
        .name("planner".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(answer);
    let result = match planner.map(std::thread::JoinHandle::join) {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::platform("plan: the panic is above")(io::Error::other("a panic"))),
        Err(error) => Err(Error::io("start the planner's thread")(error)),
    };
    drop(telemetry);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error::report(&error),
    }
}

fn answer() -> Result<(), Error> {
    let setup: Setup = read(&mut io::stdin().lock())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .thread_stack_size(STACK_BYTES)
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .map_err(Error::io("start the runtime"))?;
    runtime.block_on(async {
        let (engine, storage) = engine(&setup).await?;
        let Some(question) = question()?.await.ok().transpose()? else {
            // Nobody wants to know anything any more.
            return Ok(());
        };
        limits::memory(question.memory()).map_err(Error::io("limit the memory of a planner"))?;
        let answer = match question {
            Question::Plan { run, submission } => {
                let requests = Arc::new(RequestCounts::default());
                let storage = storage.counted(&requests);
                let planned = EnginePlanner(engine).plan(run, &submission, &storage).await;
                Answer::Planned {
                    planned: Box::new(planned),
                    requests: requests.totals(),
                }
            }
            Question::Check {
                namespace,
                request,
                base,
                settings,
            } => {
                let checked = EngineChecker(engine).check(&namespace, *request, base, &settings).await;
                Answer::Checked(Box::new(checked.map_err(|error| error::chain(&error))))
            }
        };
        let answer = frame(&answer).map_err(Error::io("write down what was planned"))?;
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(&answer)
            .and_then(|()| stdout.flush())
            .map_err(Error::io("answer"))?;
        Ok(())
    })?;
    // Whatever the job left running is of no use to anybody.
    runtime.shutdown_background();
    Ok(())
}

async fn engine(setup: &Setup) -> Result<(Engine, Storage), Error> {
    aws::install_crypto();
    let options = StorageOptions {
        path_style: setup.s3_path_style,
        aws: match setup.storage.contains("://") {
            true => Some(aws::config().await),
            // For the files of jobs it is found when there is one.
            false => None,
        },
    };
    let storage = Storage::open_with(&setup.storage, options).map_err(Error::platform("open the storage"))?;
    let folder = DataFolder::open(&DataArgs {
        data_dir: Some(setup.data_dir.clone()),
    })?;
    let sandbox = Sandbox::new(SandboxOptions {
        cache: Some(folder.cache()),
        ..Default::default()
    })
    .map_err(Error::platform("start the Wasm sandbox"))?;
    let options = EngineOptions {
        memory_bytes: usize::try_from(MEMORY_BYTES / 2).unwrap_or(usize::MAX),
        spill_dir: std::env::var_os(SPILL).map_or_else(|| folder.spill(), Into::into),
        local_files: setup.local_files,
        templates: Templates::in_process(),
    };
    let engine = Engine::new(options, storage.clone(), sandbox.into()).map_err(Error::platform("start the engine"))?;
    Ok((engine, storage))
}

/// Reads the question in a thread of its own, which ends the process when standard input ends.
fn question() -> Result<oneshot::Receiver<Result<Question, Error>>, Error> {
    let (send, receive) = oneshot::channel();
    std::thread::Builder::new()
        .name("parent-watch".to_owned())
        .spawn(move || {
            let mut stdin = io::stdin().lock();
            match read(&mut stdin) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::UnexpectedEof => {}
                read => drop(send.send(read)),
            }
            let mut sink = [0; 64];
            while stdin.read(&mut sink).is_ok_and(|read| read > 0) {}
            end();
        })
        .map(|_| receive)
        .map_err(Error::io("watch the parent process"))
}

/// Ends the process: nobody is there any more who waits for an answer, and a plan cannot be interrupted.
#[expect(
    clippy::disallowed_methods,
    reason = "what is dropped has nothing that outlives the process"
)]
fn end() -> ! {
    std::process::exit(0)
}

fn read<T: serde::de::DeserializeOwned>(from: &mut impl Read) -> Result<T, Error> {
    let mut read = || {
        let mut start = [0; 4];
        from.read_exact(&mut start)?;
        let mut bytes = vec![0; length(start)?];
        from.read_exact(&mut bytes)?;
        Ok::<_, io::Error>(serde_json::from_slice(&bytes)?)
    };
    read().map_err(Error::io("read from the parent process"))
}
