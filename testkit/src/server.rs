//! Servers that end with the test process, however that ends.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Runs `"$@"` until it ends or the pipe at standard input is closed, which the kernel does for a process that was
/// killed; then removes the folder `$SCRATCH`.
const GUARD: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ read -r _ <&3; kill -s "$SIGNAL" "$server"; } 2>/dev/null &
guard=$!
exec 3<&- </dev/null
wait "$server"
status=$?
kill "$guard" 2>/dev/null
rm -rf "$SCRATCH"
exit "$status"
"#;
/// How long a server may take to answer after its start.
const START: Duration = Duration::from_secs(60);
/// How often another port is tried, when somebody was faster to take the one that was free.
const PORTS: u32 = 5;

/// A server; it ends when this is dropped, or with the process.
pub(crate) struct Server {
    guard: Child,
    port: u16,
    scratch: PathBuf,
}

impl Server {
    /// Starts a server on a free loopback port. `command` gets the port and a folder that lives as long as the server
    /// does, into which standard output and error go as `log`; its program, arguments, directory and environment are
    /// used. `signal`, such as `KILL`, is what ends the server at once.
    ///
    /// # Panics
    ///
    /// When it does not accept connections in time.
    pub(crate) fn start(name: &str, signal: &str, command: impl Fn(u16, &Path) -> Command) -> Self {
        let mut last = String::new();
        for _ in 0..PORTS {
            match Self::try_start(signal, &command) {
                Ok(server) => return server,
                Err(log) => last = log,
            }
        }
        panic!("{name} does not start; the end of its log:\n{last}");
    }

    fn try_start(signal: &str, command: &impl Fn(u16, &Path) -> Command) -> Result<Self, String> {
        let port = free_port();
        let scratch = scratch();
        let log = scratch.join("log");
        let out = File::create(&log).expect("the folder was just made");
        let wanted = command(port, &scratch);
        let mut guard = Command::new("sh");
        guard.args([
            OsStr::new("-c"),
            OsStr::new(GUARD),
            OsStr::new("guard"),
            wanted.get_program(),
        ]);
        guard
            .args(wanted.get_args())
            .env("SCRATCH", &scratch)
            .env("SIGNAL", signal);
        for (name, value) in wanted.get_envs() {
            match value {
                Some(value) => guard.env(name, value),
                None => guard.env_remove(name),
            };
        }
        if let Some(folder) = wanted.get_current_dir() {
            guard.current_dir(folder);
        }
        // A group of its own: an interrupt from the terminal is for the tests, which then end it.
        guard.process_group(0).stdin(Stdio::piped());
        guard.stderr(out.try_clone().expect("files can be cloned")).stdout(out);
        let guard = guard.spawn().expect("there is a shell");
        let mut server = Self { guard, port, scratch };
        if server.wait() {
            Ok(server)
        } else {
            Err(std::fs::read_to_string(log).unwrap_or_default())
        }
    }

    /// Waits until it accepts connections; says whether it does.
    fn wait(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < START {
            // Asked first: when the port was taken by another, that one would answer.
            if !matches!(self.guard.try_wait(), Ok(None)) {
                return false;
            }
            if TcpStream::connect_timeout(&self.address(), Duration::from_secs(1)).is_ok() {
                return matches!(self.guard.try_wait(), Ok(None));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// The folder that lives as long as it does.
    pub(crate) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
    listener.local_addr().expect("it is bound").port()
}

/// A folder that the guard removes, since destructors of statics never run.
fn scratch() -> PathBuf {
    TempDir::with_prefix("weir-testkit-")
        .expect("there is room for temporary files")
        .keep()
}
