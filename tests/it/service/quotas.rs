//! Quotas, as people set them and meet them.

use crate::service::fleet::until;
use crate::support::{Place, Started};

const PIPELINE: &str = "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {elements: [1, 2, 3]}\n    \
                        - type: LogForTesting\n";

struct Dev {
    place: Place,
    endpoint: String,
    _process: Started,
}

impl Dev {
    fn start(flags: &[&str]) -> Self {
        let place = Place::new();
        let log = place.path("dev.log");
        let args = [&["dev", "--listen", "127.0.0.1:0"], flags].concat();
        let process = Started::logging(&place, args, &log);
        let endpoint = until("the address", || {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            log.lines()
                .find_map(|line| line.strip_prefix("listening on "))
                .map(str::to_owned)
        });
        place.write("p.yaml", PIPELINE);
        Self {
            place,
            endpoint,
            _process: process,
        }
    }

    fn ok(&self, args: &[&str]) -> String {
        self.place.ok([args, &["--endpoint", &self.endpoint]].concat())
    }

    /// The exit code, and what was said.
    fn refused(&self, args: &[&str]) -> (Option<i32>, String) {
        let ran = self.place.weir([args, &["--endpoint", &self.endpoint]].concat());
        (ran.code, ran.stderr)
    }

    fn json(&self, args: &[&str]) -> serde_json::Value {
        let text = self.ok(&[args, &["--output", "json"]].concat());
        serde_json::from_str(&text).unwrap()
    }
}

#[test]
fn a_quota_that_is_used_up_refuses_runs_until_it_is_changed() {
    let dev = Dev::start(&[]);
    let quota = dev.json(&["quotas", "get", "default"]);
    assert_eq!(
        (&quota["is_default"], &quota["limits"]["weight"]),
        (&true.into(), &1.into())
    );

    let set = [
        "quotas",
        "set",
        "default",
        "--submissions-per-minute",
        "1",
        "--submission-burst",
        "2",
    ];
    let quota = dev.json(&set);
    assert_eq!(quota["limits"]["submissions_per_minute"], 1);
    for _ in 0..2 {
        dev.ok(&["submit", "p.yaml", "--wait"]);
    }
    let (code, said) = dev.refused(&["submit", "p.yaml"]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("submissions_per_minute"), "{said}");

    // What is not named stays; a limit goes by its name.
    let quota = dev.json(&[
        "quotas",
        "set",
        "default",
        "--submissions-per-minute",
        "none",
        "--weight",
        "7",
    ]);
    let limits = &quota["limits"];
    assert_eq!((&limits["weight"], &limits["submission_burst"]), (&7.into(), &2.into()));
    assert_eq!(limits["submissions_per_minute"], serde_json::Value::Null);
    dev.ok(&["submit", "p.yaml", "--wait"]);

    let quota = dev.json(&["quotas", "set", "default", "--default"]);
    assert_eq!(
        (&quota["is_default"], &quota["limits"]["weight"]),
        (&true.into(), &1.into())
    );
}

#[test]
fn quotas_without_sense_are_refused() {
    let dev = Dev::start(&[]);
    for (args, code, hint) in [
        (&["quotas", "set", "default", "--weight", "0"][..], 2, "weight"),
        (&["quotas", "set", "default", "--max-tasks", "0"], 2, "max_tasks"),
        (&["quotas", "set", "default", "--max-runs", "some"], 2, "none"),
        (&["quotas", "get", "No Namespace"], 2, "namespace"),
    ] {
        let (exit, said) = dev.refused(args);
        assert_eq!(exit, Some(code), "{args:?}: {said}");
        assert!(said.contains(hint), "{args:?}: {said}");
    }
    assert_eq!(dev.json(&["quotas", "get", "default"])["is_default"], true);
}

#[test]
fn the_service_has_defaults_for_all_namespaces() {
    let dev = Dev::start(&["--quota-max-runs", "3", "--quota-max-storage", "1GiB"]);
    let quota = dev.json(&["quotas", "get", "default"]);
    assert_eq!(quota["limits"]["max_runs"], 3);
    assert_eq!(quota["limits"]["max_storage_bytes"], 1 << 30);
    assert_eq!(quota["is_default"], true);
    let shown = dev.ok(&["quotas", "get", "default"]);
    assert!(
        shown.contains("1.0 GiB") && shown.contains("that of the service"),
        "{shown}"
    );
}
