//! Running the command.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the repository")
        .to_owned()
}

/// A folder of a test: its files, and the data folder of the commands that it runs.
pub(crate) struct Place {
    dir: TempDir,
}

/// What a command gave.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            dir: TempDir::new().expect("a temporary folder"),
        }
    }

    /// A path in this place.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file; gives its path.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the folder can be made");
        std::fs::write(&path, text).expect("the file can be written");
        path
    }

    /// The command, ready to start here.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("WEIR_DATA_DIR", self.path("data"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env_remove("WEIR_CONFIG")
            .env_remove("WEIR_ENDPOINT")
            .env_remove("WEIR_LOG")
            .env_remove("WEIR_PROFILE")
            .stdin(Stdio::null());
        command
    }

    /// Runs the command to its end.
    pub(crate) fn weir<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Ran::from(self.command(args).output().expect("the command starts"))
    }

    /// Runs the command; it must succeed. Gives its stdout.
    #[track_caller]
    pub(crate) fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let ran = self.weir(args);
        assert_eq!(ran.code, Some(0), "stdout:\n{}\nstderr:\n{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Files whose path starts with `prefix`, in order of name, with their text; those of a folder when it ends with `/`.
    pub(crate) fn files(&self, prefix: &str) -> Vec<(String, String)> {
        // A path knows nothing of a slash at its end.
        let (folder, start) = prefix.rsplit_once('/').unwrap_or((".", prefix));
        let folder = self.path(folder);
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .map(|entry| entry.expect("the folder can be read"))
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
            .filter(|(name, _)| name.starts_with(start))
            .map(|(name, path)| (name, std::fs::read_to_string(path).expect("the file is text")))
            .collect();
        files.sort();
        files
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Place {
    /// The events of the newest run; none while there is no run.
    pub(crate) fn events(&self) -> Vec<Value> {
        let ran = self.weir(["runs", "events", "latest", "-o", "jsonl"]);
        if ran.code == Some(4) {
            return Vec::new();
        }
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("an event is JSON"))
            .collect()
    }
}

/// A command that goes on while the test does; killed when the test ends early.
pub(crate) struct Started {
    child: Child,
}

impl Started {
    pub(crate) fn new<S: AsRef<OsStr>>(place: &Place, args: impl IntoIterator<Item = S>) -> Self {
        let child = place
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        Self { child }
    }

    /// With everything that it prints in a file.
    pub(crate) fn logging<S: AsRef<OsStr>>(place: &Place, args: impl IntoIterator<Item = S>, log: &Path) -> Self {
        let log = std::fs::File::create(log).expect("the log can be made");
        let child = place
            .command(args)
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("the command starts");
        Self { child }
    }

    /// Asks it to end, which it must do in good order.
    #[track_caller]
    pub(crate) fn terminate(mut self) {
        self.kill("TERM");
        let status = self.child.wait().expect("the command can be waited for");
        assert!(status.success(), "{status}");
    }

    /// Waits until the newest run has an event of this type and is not over; gives its events.
    #[track_caller]
    pub(crate) fn wait_for_event(&mut self, place: &Place, kind: &str) -> Vec<Value> {
        loop {
            let ended = self.child.try_wait().expect("the command can be asked");
            let events = place.events();
            if events.iter().any(|event| event["type"] == kind) {
                let over = events.iter().any(|event| event["type"] == "finished");
                assert!(!over, "the run was over before it could be disturbed");
                return events;
            }
            if ended.is_some() {
                let mut stderr = String::new();
                // What it says of why it ended is all that this is for.
                let _ = self
                    .child
                    .stderr
                    .take()
                    .map(|mut pipe| pipe.read_to_string(&mut stderr));
                panic!("the command ended without a `{kind}` event:\n{stderr}");
            }
        }
    }

    /// Sends a signal; after `KILL`, waits for the process to be gone.
    pub(crate) fn kill(&mut self, signal: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &self.child.id().to_string()])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal is sent");
        if signal == "KILL" {
            self.child.wait().expect("the command can be waited for");
        }
    }

    /// Waits for the command to end.
    pub(crate) fn end(mut self) -> Ran {
        let mut stdout = String::new();
        let mut stderr = String::new();
        // Both are small: the pipes hold them until they are read.
        self.child
            .stdout
            .take()
            .expect("stdout is piped")
            .read_to_string(&mut stdout)
            .expect("stdout is text");
        self.child
            .stderr
            .take()
            .expect("stderr is piped")
            .read_to_string(&mut stderr)
            .expect("stderr is text");
        let status = self.child.wait().expect("the command can be waited for");
        Ran {
            code: status.code(),
            stdout,
            stderr,
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Fails when it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
