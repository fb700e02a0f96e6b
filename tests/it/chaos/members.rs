//! Servers and workers that are killed and come back.

use std::fs::File;
use std::net::TcpListener;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::service::fleet::Fleet;
use crate::support::Ran;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Server { port: u16 },
    Worker,
}

struct Member {
    role: Role,
    child: Option<Child>,
    /// When it comes back.
    back_at: Instant,
}

/// The processes over what a fleet has.
pub(super) struct Members<'a> {
    fleet: &'a Fleet,
    servers: usize,
    members: Vec<Member>,
    starts: usize,
}

impl<'a> Members<'a> {
    /// Nothing runs before [`revive`](Self::revive).
    pub(super) fn new(fleet: &'a Fleet, servers: usize, workers: usize) -> Self {
        let roles = (0..servers).map(|_| {
            let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
            let port = free.local_addr().expect("it is bound").port();
            Role::Server { port }
        });
        let members = roles.chain((0..workers).map(|_| Role::Worker)).map(|role| Member {
            role,
            child: None,
            back_at: Instant::now(),
        });
        Self {
            fleet,
            servers,
            members: members.collect(),
            starts: 0,
        }
    }

    fn start(&mut self, at: usize) {
        let member = &mut self.members[at];
        let place = &self.fleet.place;
        let log = place.write(&format!("logs/{at:02}-{:04}.log", self.starts), "");
        self.starts += 1;
        let mut command = match member.role {
            Role::Server { port } => {
                let address = format!("127.0.0.1:{port}");
                self.fleet.command(["server", "--migrate", "--listen", &address])
            }
            Role::Worker => self
                .fleet
                .command(["worker", "--slots", "2", "--visibility-ms", "5000"]),
        };
        let log = File::options().append(true).open(log).expect("the log was just made");
        command
            .env("WEIR_DATA_DIR", place.path(&format!("data-{at}")))
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        member.child = Some(command.spawn().expect("the command starts"));
    }

    pub(super) fn kill(&mut self, at: usize, back_at: Instant) {
        let member = &mut self.members[at];
        if let Some(mut child) = member.child.take() {
            child.kill().expect("the process is ours");
            child.wait().expect("the process is ours");
        }
        member.back_at = back_at;
    }

    /// Starts those whose time has come, and those that ended by themselves.
    pub(super) fn revive(&mut self) {
        for at in 0..self.members.len() {
            let member = &mut self.members[at];
            if let Some(child) = &mut member.child
                && let Some(status) = child.try_wait().expect("the process is ours")
            {
                // A server that cannot reach the storage when it starts may say so and end.
                eprintln!("member {at} ended by itself: {status}");
                member.child = None;
                member.back_at = Instant::now() + Duration::from_millis(500);
            }
            if member.child.is_none() && Instant::now() >= member.back_at {
                self.start(at);
            }
        }
    }

    /// Runs a command of the client against one server, whether it answers or not.
    pub(super) fn client(&self, server: usize, args: &[&str]) -> Ran {
        let Role::Server { port } = self.members[server % self.servers].role else {
            unreachable!("servers come first");
        };
        let mut command = self.fleet.place.command(args);
        command.env("WEIR_ENDPOINT", format!("http://127.0.0.1:{port}"));
        Ran::from(command.output().expect("the command starts"))
    }

    /// As [`client`](Self::client), of any server that answers, for a while.
    pub(super) fn patient(&self, args: &[&str]) -> Ran {
        let until = Instant::now() + Duration::from_secs(120);
        for server in 0.. {
            let ran = self.client(server, args);
            if ran.code == Some(0) {
                return ran;
            }
            assert!(Instant::now() < until, "no server answers {args:?}: {}", ran.stderr);
            sleep(Duration::from_millis(200));
        }
        unreachable!("the loop ends by a return or an assertion")
    }
}

impl Drop for Members<'_> {
    fn drop(&mut self) {
        for at in 0..self.members.len() {
            self.kill(at, Instant::now());
        }
    }
}
