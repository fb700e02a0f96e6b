//! The server that is tested, and its client.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::command::read;
use crate::error::{Error, Result};

/// How long the server may take to start.
const START: Duration = Duration::from_secs(60);

/// A server with a folder of its own; ends when it is dropped.
pub(super) struct Server {
    binary: PathBuf,
    folder: PathBuf,
    process: Child,
    url: String,
}

impl Server {
    pub(super) fn start(binary: &Path, folder: &Path) -> Result<Self> {
        let log = folder.join("log");
        let mut log_file = File::create(&log).map_err(Error::io("create", &log))?;
        let process = Command::new(binary)
            .current_dir(folder)
            .args(["dev", "--listen", "127.0.0.1:0", "--data-dir", "data"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| Error::Start {
                command: "weir dev".to_owned(),
                source,
            })?;
        let mut server = Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            process,
            url: String::new(),
        };
        let (found, address) = mpsc::channel();
        if let Some(stderr) = server.process.stderr.take() {
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(io::Result::ok) {
                    if let Some(url) = line.strip_prefix("listening on ") {
                        // Nobody waits for a second one.
                        let _ = found.send(url.to_owned());
                    }
                    // What cannot be kept is not worth the end of the test.
                    let _ = io::Write::write_all(&mut log_file, format!("{line}\n").as_bytes());
                }
            });
        }
        server.url = address.recv_timeout(START).map_err(|_| Error::Output {
            command: "weir dev".to_owned(),
            problem: "it does not say where it listens".to_owned(),
        })?;
        Ok(server)
    }

    /// Where it answers.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Writes a file into the folder that the client's commands run in.
    pub(super) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, bytes).map_err(Error::io("write", path))
    }

    /// What a command of the client prints as JSON.
    pub(super) fn json(&self, args: &[&str]) -> Result<Value> {
        let printed = self.client(&[args, &["-o", "json"]].concat())?;
        serde_json::from_str(&printed).map_err(|error| Error::Output {
            command: format!("weir {}", args.join(" ")),
            problem: error.to_string(),
        })
    }

    /// What a command of the client prints.
    pub(super) fn client(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.binary);
        command
            .current_dir(&self.folder)
            .env("WEIR_ENDPOINT", &self.url)
            .args(args);
        read(&mut command)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
