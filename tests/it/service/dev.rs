//! `weir dev`.

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::database;
use super::fleet::until;
use crate::jobs::slow;
use crate::support::{Place, Ran, Started, repository};

/// `weir dev` with a folder of its own.
pub(crate) struct Dev {
    pub(crate) place: Place,
    pub(crate) endpoint: String,
    process: Started,
}

impl Dev {
    /// Starts it and waits until it answers.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_in(Place::new(), flags)
    }

    /// The same over what was there before.
    pub(crate) fn start_in(place: Place, flags: &[&str]) -> Self {
        let log = place.path("dev.log");
        let args = [&["dev", "--listen", "127.0.0.1:0"], flags].concat();
        let process = Started::logging(&place, args, &log);
        let endpoint = until("the address", || {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            log.lines()
                .find_map(|line| line.strip_prefix("listening on "))
                .map(str::to_owned)
        });
        Self {
            place,
            endpoint,
            process,
        }
    }

    /// Ends it in good order; gives its folder.
    #[track_caller]
    pub(crate) fn terminate(self) -> Place {
        self.process.terminate();
        self.place
    }

    /// Runs a client's command.
    pub(crate) fn weir(&self, args: &[&str]) -> Ran {
        self.place.weir([args, &["--endpoint", &self.endpoint]].concat())
    }

    /// Runs a client's command, which must succeed; gives its stdout.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        self.place.ok([args, &["--endpoint", &self.endpoint]].concat())
    }

    /// What a client's command prints as JSON.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["--output", "json"]].concat());
        serde_json::from_str(&text).expect("it prints JSON")
    }

    /// Waits until a run is in a state; gives it.
    #[track_caller]
    pub(crate) fn run_in(&self, run: &str, state: &str) -> Value {
        until(&format!("a run that is {state}"), || {
            let run = self.json(&["runs", "get", run]);
            (run["state"] == state).then_some(run)
        })
    }
}

/// Changes rows of the data folder's database, at least one, behind the service's back.
#[track_caller]
fn sql(place: &Place, statement: &str) {
    let url = format!("sqlite://{}", place.path("data/weir.db").display());
    let runtime = Runtime::new().expect("a runtime");
    let changed = runtime.block_on(database::execute(&url, statement));
    assert!(changed > 0, "{statement}");
}

#[test]
fn one_process_is_the_whole_service() {
    let dev = Dev::start(&["--workers", "2"]);
    let pipeline = repository()
        .join("examples/wordcount/pipeline.yaml")
        .display()
        .to_string();
    let input = format!("input={}", repository().join("examples/wordcount/weirs.txt").display());
    // A path of the folder that the client is in.
    let args = [
        "submit",
        &pipeline,
        "--param",
        &input,
        "--param",
        "output=out/counts",
        "--wait",
    ];
    let out = dev.ok(&args);
    assert!(out.contains("state    succeeded"), "{out}");
    assert!(!dev.place.files("out/counts-").is_empty());
    // The data folder is the same as that of `weir run`.
    assert!(dev.place.ok(["runs", "list"]).contains("wordcount"));
    dev.terminate();
}

#[test]
fn schedules_make_runs_here_too_and_those_that_were_missed() {
    let dev = Dev::start(&[]);
    dev.place.write(
        "p.yaml",
        "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {elements: [1, 2]}\n    \
         - type: LogForTesting\n",
    );
    dev.ok(&["pipelines", "apply", "p.yaml", "--name", "sums"]);
    let yearly = json!({"name": "yearly", "pipeline": "sums", "cron": "@yearly", "catch_up": "latest"});
    dev.place.write("s.json", yearly.to_string());
    let made = dev.json(&["schedules", "apply", "s.json"]);
    assert_eq!(
        (&made["state"], &made["last_run"]),
        (&json!("scheduled"), &Value::Null),
        "{made}"
    );
    let last_run = |dev: &Dev, known: &Value| {
        until("a run of the schedule", || {
            let schedule = dev.json(&["schedules", "get", "yearly"]);
            (schedule["last_run"] != *known).then(|| schedule["last_run"].clone())
        })
    };
    // Its time comes.
    sql(&dev.place, "UPDATE schedules SET next_at = created_at");
    let first = last_run(&dev, &Value::Null);
    let run = dev.run_in(first.as_str().expect("an id"), "finished");
    assert_eq!(run["result"], "succeeded", "{run}");
    assert_eq!(run["schedule"]["name"], "yearly");
    assert_eq!(run["pipeline"], json!({"name": "sums", "version": 1}));

    // Its time comes while nobody is there.
    let place = dev.terminate();
    sql(&place, "UPDATE schedules SET next_at = created_at + 1");
    let dev = Dev::start_in(place, &[]);
    let second = last_run(&dev, &first);
    let run = dev.run_in(second.as_str().expect("an id"), "finished");
    assert_eq!(run["result"], "succeeded", "{run}");
    let of_schedule = dev.json(&["runs", "list", "--schedule", "yearly"]);
    assert_eq!(of_schedule.as_array().map(Vec::len), Some(2), "{of_schedule}");
}

#[test]
fn a_run_is_paused_here_too_and_goes_on() {
    let dev = Dev::start(&["--slots", "1"]);
    dev.place.write("p.yaml", slow(20_000, 40_000, 12));
    dev.place.write("quick.yaml", slow(20_000, 40_000, 0));
    let submit = [
        "submit",
        "p.yaml",
        "--param",
        "output=out/slow",
        "--set",
        "target_partitions=8",
        "--set",
        "coalesce.min_bytes=1",
        "--set",
        "coalesce.target_bytes=1",
    ];
    let run = dev.ok(&submit);
    let run = run.trim();
    let done = |run: &Value| run["progress"]["tasks_done"].as_u64().expect("a number");
    until("tasks that are done", || {
        (done(&dev.json(&["runs", "get", run])) > 0).then_some(())
    });
    dev.ok(&["runs", "pause", run]);
    dev.run_in(run, "paused");
    // Another one takes the slot, when the worker has done what it had begun with.
    let other = || {
        let other = dev.json(&["submit", "quick.yaml", "--param", "output=out/quick", "--wait"]);
        assert_eq!(other["result"], "succeeded");
        dev.json(&["runs", "get", run])
    };
    let paused = other();
    assert!(done(&paused) < 9, "it was over before: {paused}");
    // Meanwhile nothing happens to the one that is paused.
    let still = other();
    assert_eq!(
        (&still["state"], done(&still)),
        (&json!("paused"), done(&paused)),
        "{still}"
    );

    dev.ok(&["runs", "resume", run]);
    let over = dev.run_in(run, "finished");
    assert_eq!((&over["result"], done(&over)), (&json!("succeeded"), 9), "{over}");
    for command in ["pause", "resume"] {
        let late = dev.weir(&["runs", command, run]);
        assert_eq!(late.code, Some(5), "{}", late.stderr);
        let unknown = dev.weir(&["runs", command, "01jz0000000000000000000000"]);
        assert_eq!(unknown.code, Some(4), "{}", unknown.stderr);
    }
}

/// A join that lets nothing through is in one step for as long as it has pairs to look at.
#[test]
fn joins_that_give_nothing_end_when_their_run_does() {
    let dev = Dev::start(&["--slots", "1"]);
    let nested = "generate_series(1, 1000000) a JOIN generate_series(1, 1000000) b ON sin(a.value * b.value) > 2";
    let hashed = "generate_series(1, 300000) a JOIN generate_series(1, 300000) b ON a.value % 2 = b.value % 2 AND \
                  sin(a.value * b.value) > 2";
    for joined in [nested, hashed] {
        let statement = format!("SELECT count(*) AS n FROM {joined}");
        dev.place.write("q.sql", &statement);
        let run = dev.ok(&["submit", "q.sql"]);
        let run = run.trim();
        until("the join", || {
            let run = dev.json(&["runs", "get", run]);
            let joins = |stage: &&Value| {
                stage["tasks_running"] == 1 && stage["name"].as_str().is_some_and(|name| name.contains("join"))
            };
            run["stages"].as_array()?.iter().find(joins).map(drop)
        });
        dev.ok(&["runs", "cancel", run]);
        assert_eq!(dev.run_in(run, "finished")["result"], "cancelled", "{joined}");
        // The slot and its thread are free.
        dev.place.write("small.sql", "SELECT 1 AS one");
        let small = dev.json(&["submit", "small.sql", "--wait"]);
        assert_eq!(small["result"], "succeeded", "{small}");
    }
}

#[test]
fn strangers_cannot_reach_it() {
    let place = Place::new();
    let ran = place.weir(["dev", "--listen", "0.0.0.0:0"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("loopback"), "{}", ran.stderr);
}
