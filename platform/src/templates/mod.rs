//! Parameters put into pipelines, with a bound on what that may cost.
//!
//! A template is a program of whoever submits. Its steps are counted ([`weir_model::spec::render`]), but a few of them
//! can build strings that no machine has the memory for. So a process that serves others has each template rendered by
//! a child of its own, which limits itself before it reads anything: to [`MEMORY_BYTES`] of memory (on Linux; elsewhere
//! its time alone is limited) and to [`CPU_SECONDS`] of a processor. It has no environment, and sees nothing but the
//! template and its parameters.

mod child;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;
use weir_model::spec::{self, Diagnostic, Diagnostics, MAX_RENDERED_BYTES, Pipeline};

pub use child::serve;

/// Bytes that the rendering of a template may take.
pub const MEMORY_BYTES: u64 = 64 << 20;
/// Seconds of a processor that the rendering of a template may take.
pub const CPU_SECONDS: u64 = 2;

/// Templates that are rendered at once.
const CHILDREN: usize = 2;
/// How long a template waits for its turn.
const TURN: Duration = Duration::from_secs(15);
/// How long a child may take by the clock, on a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(15);
/// The exit code of a child that says what is wrong with its template.
const REFUSED: i32 = 3;

/// Why a pipeline could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is wrong with it.
    #[error("{0}")]
    Pipeline(#[from] Diagnostics),
    /// Its template costs too much.
    #[error(
        "the template takes more than {} MiB of memory, or {CPU_SECONDS} s of a processor, to put parameters in; it \
         should do little more than that: keep data in files and read them",
        MEMORY_BYTES >> 20
    )]
    TooLarge,
    /// Other templates are rendered.
    #[error("too many templates are rendered at once; try again")]
    Busy,
    /// The process for it does not do its work.
    #[error("cannot render the template in a process of its own")]
    Process(#[source] io::Error),
}

/// Who renders templates. Cheap to clone; clones share the bound on how many are rendered at once.
#[derive(Clone, Debug, Default)]
pub struct Templates(Option<Arc<Children>>);

#[derive(Debug)]
struct Children {
    program: PathBuf,
    arguments: Vec<OsString>,
    room: Semaphore,
}

/// What a child is asked.
#[derive(Serialize, Deserialize)]
struct Question<'a> {
    file: std::borrow::Cow<'a, str>,
    text: std::borrow::Cow<'a, str>,
    params: std::borrow::Cow<'a, BTreeMap<String, String>>,
}

impl Templates {
    /// This process does it: for templates of its own user, who may use its memory.
    pub fn in_process() -> Self {
        Self(None)
    }

    /// Children do it: `program` with `arguments` must call [`serve`].
    pub fn in_children(program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self(Some(Arc::new(Children {
            program,
            arguments,
            room: Semaphore::new(CHILDREN),
        })))
    }

    /// Reads a pipeline, as [`spec::parse`].
    ///
    /// # Errors
    /// What is wrong with the pipeline, or with this machine.
    pub async fn parse(&self, file: &str, text: &str, params: &BTreeMap<String, String>) -> Result<Pipeline, Error> {
        let rendered = match &self.0 {
            Some(children) if spec::is_template(text) && text.len() <= spec::MAX_FILE_BYTES => {
                Some(children.render(file, text, params).await?)
            }
            _ => None,
        };
        let (file, text, params) = (file.to_owned(), text.to_owned(), params.clone());
        // It may compute for a moment.
        let read = tokio::task::spawn_blocking(move || match rendered {
            Some(rendered) => spec::read(&file, &text, &rendered),
            None => spec::parse(&file, &text, &params),
        });
        match read.await {
            Ok(read) => Ok(read?),
            Err(error) => Err(Error::Process(io::Error::other(error))),
        }
    }
}

impl Children {
    async fn render(&self, file: &str, text: &str, params: &BTreeMap<String, String>) -> Result<String, Error> {
        use std::borrow::Cow::Borrowed;
        let question = serde_json::to_vec(&Question {
            file: Borrowed(file),
            text: Borrowed(text),
            params: Borrowed(params),
        })
        .map_err(|error| Error::Process(error.into()))?;
        let _room = match tokio::time::timeout(TURN, self.room.acquire()).await {
            Ok(Ok(room)) => room,
            Ok(Err(_)) | Err(_) => return Err(Error::Busy),
        };
        match tokio::time::timeout(PATIENCE, self.ask(question)).await {
            Ok(answer) => answer,
            // The child is killed as it is dropped.
            Err(_) => Err(Error::TooLarge),
        }
    }

    async fn ask(&self, question: Vec<u8>) -> Result<String, Error> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            // Nothing that the service knows is the template's business.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::Process)?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let send = async move {
            if let Some(mut stdin) = stdin {
                // A child that ends before it has read all says by its end why.
                let _ = stdin.write_all(&question).await;
            }
        };
        let receive = async move {
            let mut answer = Vec::new();
            if let Some(stdout) = stdout {
                let limit = MAX_RENDERED_BYTES as u64 + 1;
                stdout.take(limit).read_to_end(&mut answer).await?;
            }
            Ok::<_, io::Error>(answer)
        };
        let ((), answer) = tokio::join!(send, receive);
        let answer = answer.map_err(Error::Process)?;
        let status = child.wait().await.map_err(Error::Process)?;
        match status.code() {
            Some(0) => String::from_utf8(answer).map_err(|error| Error::Process(io::Error::other(error))),
            Some(REFUSED) => {
                let diagnostic: Diagnostic =
                    serde_json::from_slice(&answer).map_err(|error| Error::Process(error.into()))?;
                Err(Error::Pipeline(diagnostic.into()))
            }
            // No memory and no more time end it by signals.
            None => Err(Error::TooLarge),
            Some(_) => Err(Error::Process(io::Error::other(format!("it ended with {status}")))),
        }
    }
}
