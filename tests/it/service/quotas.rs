//! Quotas, as people set them and meet them.

use reqwest::Method;
use serde_json::json;

use super::dev::Dev;
use super::fleet::{Fleet, until};
use super::http::assert_problem;
use crate::support::repository;

const PIPELINE: &str = "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {elements: [1, 2, 3]}\n    \
                        - type: LogForTesting\n";

/// `weir dev` with a pipeline to submit.
fn dev(flags: &[&str]) -> Dev {
    let dev = Dev::start(flags);
    dev.place.write("p.yaml", PIPELINE);
    dev
}

/// The exit code, and what was said.
fn refused(dev: &Dev, args: &[&str]) -> (Option<i32>, String) {
    let ran = dev.weir(args);
    (ran.code, ran.stderr)
}

#[test]
fn a_quota_that_is_used_up_refuses_runs_until_it_is_changed() {
    let dev = dev(&[]);
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
    let (code, said) = refused(&dev, &["submit", "p.yaml"]);
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
fn modules_count_against_the_storage() {
    let dev = dev(&[]);
    let module = repository().join("examples/wordcount/tokenizer.wasm");
    let size = std::fs::metadata(&module).unwrap().len();
    let module = module.display().to_string();
    let digest = dev.ok(&["modules", "upload", &module]);
    let digest = digest.split_whitespace().next().unwrap().to_owned();
    let used = || {
        let usage = &dev.json(&["quotas", "get", "default"])["usage"];
        (usage["storage_bytes"].as_u64(), usage["module_bytes"].as_u64())
    };
    assert_eq!(used(), (Some(size), Some(size)));
    dev.ok(&["quotas", "set", "default", "--max-storage", &size.to_string()]);
    let (code, said) = refused(&dev, &["submit", "p.yaml"]);
    assert_eq!(code, Some(5), "{said}");
    assert!(
        said.contains("max_storage_bytes") && said.contains("delete modules"),
        "{said}"
    );
    // What is there already takes no more; what is not is refused.
    dev.ok(&["modules", "upload", &module]);
    dev.ok(&["modules", "delete", &digest]);
    assert_eq!(used(), (Some(0), Some(0)));
    dev.ok(&["submit", "p.yaml", "--wait"]);
    let little = (size - 1).to_string();
    dev.ok(&["quotas", "set", "default", "--max-storage", &little]);
    let (code, said) = refused(&dev, &["modules", "upload", &module]);
    assert_eq!(code, Some(5), "{said}");
    assert_eq!(used(), (Some(0), Some(0)));
}

#[test]
fn quotas_without_sense_are_refused() {
    let dev = dev(&[]);
    for (args, code, hint) in [
        (&["quotas", "set", "default", "--weight", "0"][..], 2, "weight"),
        (&["quotas", "set", "default", "--max-tasks", "0"], 2, "max_tasks"),
        (&["quotas", "set", "default", "--max-runs", "some"], 2, "none"),
        (&["quotas", "get", "No Namespace"], 2, "namespace"),
    ] {
        let (exit, said) = refused(&dev, args);
        assert_eq!(exit, Some(code), "{args:?}: {said}");
        assert!(said.contains(hint), "{args:?}: {said}");
    }
    assert_eq!(dev.json(&["quotas", "get", "default"])["is_default"], true);
}

#[test]
fn the_service_has_defaults_for_all_namespaces() {
    let dev = dev(&["--quota-max-runs", "3", "--quota-max-storage", "1GiB"]);
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

#[test]
fn programs_are_told_when_to_try_again() {
    let mut fleet = Fleet::new();
    let (first, second) = (fleet.server(&[]), fleet.server(&[]));
    let json = [("content-type", "application/json")];
    let path = "/api/v1/namespaces/default/quota";
    let ask = |server, method, path: &str, body: serde_json::Value| {
        fleet.request(server, method, path, &json, body.to_string())
    };
    let limits = json!({"submissions_per_minute": 1, "submission_burst": 1, "max_runs": 5});
    let set = ask(first, Method::PUT, path, limits);
    assert_eq!(set.status, 200, "{}", set.body);
    assert_eq!(set.body["limits"]["max_runs"], 5);
    let run = json!({"pipeline": PIPELINE});
    let submitted = ask(first, Method::POST, "/api/v1/runs", run.clone());
    assert_eq!(submitted.status, 201, "{}", submitted.body);
    let refused = until("the second server refuses", || {
        let answer = ask(second, Method::POST, "/api/v1/runs", run.clone());
        (answer.status != 201).then_some(answer)
    });
    assert_problem(&refused, 429, "quota_exceeded");
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=120).contains(&seconds), "{seconds}");

    for (body, code) in [
        (json!({"weight": 0}), "invalid_request"),
        (json!({"wieght": 1}), "invalid_request"),
    ] {
        assert_problem(&ask(second, Method::PUT, path, body), 422, code);
    }
    let absent = ask(second, Method::GET, "/api/v1/namespaces/absent/quota", json!(null));
    assert_problem(&absent, 404, "namespace_not_found");
    let removed = ask(second, Method::DELETE, path, json!(null));
    assert_eq!((removed.status, &removed.body["is_default"]), (200, &true.into()));
    let left = ask(second, Method::GET, path, json!(null));
    let usage = &left.body["usage"];
    assert!(
        usage["storage_bytes"].is_u64() && usage["queued_runs"].is_u64(),
        "{usage}"
    );
}
