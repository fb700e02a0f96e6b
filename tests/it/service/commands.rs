//! The client's commands: what they print, and how they end.

use serde_json::{Value, json};

use super::dev::Dev;
use crate::support::repository;

const PIPELINE: &str = r#"
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{n: 1}, {n: 2}]}
    - type: LogForTesting
    - type: WriteToJson
      config: {path: "out/{{ name }}"}
"#;

/// Nothing is called so.
const NOWHERE: &str = "01jz0000000000000000000000";

/// `weir dev` with a pipeline in a file.
fn dev() -> Dev {
    let dev = Dev::start(&[]);
    dev.place.write("p.yaml", PIPELINE);
    dev
}

/// Commands fail with these codes, say why on stderr, and print nothing.
#[track_caller]
fn assert_refused(dev: &Dev, cases: &[(&[&str], i32, &str)]) {
    for (args, code, hint) in cases {
        let ran = dev.weir(args);
        assert_eq!(ran.code, Some(*code), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(hint), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{args:?}");
    }
}

/// Objects of a list that a command prints, one a line.
fn lines(dev: &Dev, args: &[&str]) -> Vec<Value> {
    let text = dev.ok(&[args, &["-o", "jsonl"]].concat());
    text.lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect()
}

#[test]
fn pipelines_are_made_changed_run_and_deleted() {
    let dev = dev();
    let made = dev.json(&["pipelines", "apply", "p.yaml", "--name", "sums", "--param", "name=a"]);
    assert_eq!((&made["name"], &made["version"]), (&json!("sums"), &json!(1)), "{made}");
    let etag = made["etag"].as_str().expect("a tag");
    dev.place.write("p.yaml", PIPELINE.replace("{n: 2}", "{n: 3}"));
    let apply = ["pipelines", "apply", "p.yaml", "--name", "sums", "--param", "name=a"];
    let change = [
        &apply[..],
        &["--note", "other rows", "--description", "adds", "--if-match", etag],
    ]
    .concat();
    assert_eq!(dev.json(&change)["version"], 2);
    dev.place.write("p.yaml", PIPELINE);
    assert_refused(&dev, &[(&[&apply[..], &["--if-match", etag]].concat(), 5, "changed")]);

    let shown = dev.ok(&["pipelines", "get", "sums"]);
    assert!(shown.contains("adds") && shown.contains("version      2"), "{shown}");
    assert_eq!(lines(&dev, &["pipelines", "list"])[0]["name"], "sums");
    let versions = lines(&dev, &["pipelines", "versions", "sums"]);
    assert_eq!((versions.len(), &versions[0]["note"]), (2, &json!("other rows")));
    let first = dev.json(&["pipelines", "versions", "sums", "1"]);
    assert_eq!(first["definition"]["pipeline"], PIPELINE);

    let run = |key: &str| {
        let args = [
            "pipelines",
            "run",
            "sums",
            "--pipeline-version",
            "1",
            "--label",
            "day=1",
        ];
        dev.ok(&[
            &args[..],
            &["--param", "name=b", "--run-name", "first", "--idempotency-key", key],
        ]
        .concat())
    };
    let id = run("once");
    assert_eq!((run("once"), run("again") == id), (id.clone(), false));
    let done = dev.run_in(id.trim(), "finished");
    assert_eq!(
        (&done["result"], &done["name"]),
        (&json!("succeeded"), &json!("first")),
        "{done}"
    );
    assert_eq!(
        (&done["labels"]["day"], &done["pipeline"]["version"]),
        (&json!("1"), &json!(1))
    );
    assert!(!dev.place.files("out/b-").is_empty());

    dev.place.write("broken.yaml", PIPELINE.replace("Create", "Creat"));
    dev.place.write("wrong.json", r#"{"definition": {"pipelin": ""}}"#);
    assert_refused(
        &dev,
        &[
            (&["pipelines", "apply", "broken.yaml", "--param", "name=a"], 2, "Creat"),
            (&["pipelines", "apply", "wrong.json"], 2, "pipelin"),
            (&["pipelines", "apply", "absent.yaml"], 2, "absent.yaml"),
            (
                &["pipelines", "apply", "p.yaml", "--param", "name=a", "--name", "No!"],
                2,
                "not a name",
            ),
            (&["pipelines", "get", "none"], 4, "none"),
            (&["pipelines", "get", "No!"], 2, "not a name"),
            (&["pipelines", "versions", "none"], 4, "none"),
            (&["pipelines", "versions", "sums", "9"], 4, "9"),
            (&["pipelines", "run", "none"], 4, "none"),
            (&["pipelines", "run", "sums", "--set", "retries=1"], 2, "retries"),
            (&["pipelines", "run", "sums", "--pipeline-version", "9"], 4, "9"),
            (&["pipelines", "delete", "none"], 4, "none"),
        ],
    );
    assert_eq!(dev.ok(&["pipelines", "delete", "sums"]), "");
    assert_eq!(lines(&dev, &["pipelines", "list"]), [] as [Value; 0]);
}

#[test]
fn schedules_are_made_suspended_triggered_and_deleted() {
    let dev = dev();
    dev.ok(&["pipelines", "apply", "p.yaml", "--name", "sums", "--param", "name=a"]);
    let schedule = json!({"pipeline": "sums", "cron": "30 6 * * MON-FRI", "time_zone": "Europe/Berlin"});
    dev.place.write("daily.json", schedule.to_string());
    let apply = ["schedules", "apply", "daily.json", "--name", "daily"];
    let made = dev.json(&apply);
    assert_eq!(
        (&made["name"], &made["state"]),
        (&json!("daily"), &json!("scheduled")),
        "{made}"
    );
    assert_eq!(lines(&dev, &["schedules", "list", "--pipeline", "sums"]).len(), 1);
    assert_eq!(lines(&dev, &["schedules", "list", "--pipeline", "other"]).len(), 0);
    let suspended = dev.json(&["schedules", "suspend", "daily"]);
    assert_eq!(
        (&suspended["state"], &suspended["next_at"]),
        (&json!("suspended"), &Value::Null)
    );
    let resumed = dev.json(&["schedules", "resume", "daily"]);
    assert_eq!(
        (&resumed["state"], &resumed["next_at"]),
        (&json!("scheduled"), &made["next_at"])
    );
    let run = dev.json(&["schedules", "trigger", "daily", "--wait"]);
    assert_eq!(
        (&run["result"], &run["schedule"]["name"]),
        (&json!("succeeded"), &json!("daily")),
        "{run}"
    );
    let shown = dev.ok(&["schedules", "get", "daily"]);
    assert!(
        shown.contains("Europe/Berlin") && shown.contains("30 6 * * MON-FRI"),
        "{shown}"
    );
    let preview = dev.json(&[
        "schedules",
        "preview",
        "30 6 * * MON-FRI",
        "--time-zone",
        "Europe/Berlin",
    ]);
    assert_eq!(
        (preview["times"].as_array().map(Vec::len), &preview["times"][0]),
        (Some(10), &made["next_at"])
    );

    dev.place.write(
        "wrong.json",
        json!({"name": "s", "pipeline": "sums", "cron": "often"}).to_string(),
    );
    dev.place.write(
        "nameless.json",
        json!({"pipeline": "sums", "cron": "@daily"}).to_string(),
    );
    assert_refused(
        &dev,
        &[
            (&["pipelines", "delete", "sums"], 5, "delete them first"),
            (&["schedules", "apply", "wrong.json"], 2, "cron"),
            (&["schedules", "apply", "nameless.json"], 2, "--name"),
            (&["schedules", "apply", "p.yaml"], 2, "json"),
            (&["schedules", "apply", "daily.json", "--name", "preview"], 2, "preview"),
            (&["schedules", "get", "none"], 4, "none"),
            (&["schedules", "suspend", "none"], 4, "none"),
            (&["schedules", "resume", "none"], 4, "none"),
            (&["schedules", "trigger", "none"], 4, "none"),
            (&["schedules", "delete", "none"], 4, "none"),
            (&["schedules", "preview", "often"], 2, "often"),
            (&["schedules", "preview", "@daily", "--time-zone", "Mars"], 2, "Mars"),
        ],
    );
    assert_eq!(dev.ok(&["schedules", "delete", "daily"]), "");
    dev.ok(&["pipelines", "delete", "sums"]);
}

#[test]
fn modules_are_uploaded_inspected_and_deleted() {
    let dev = dev();
    let component = repository()
        .join("examples/wordcount/tokenizer.wasm")
        .display()
        .to_string();
    let digest = dev.ok(&["modules", "upload", &component]);
    let digest = digest.split_whitespace().next().expect("a digest");
    assert_eq!(
        dev.ok(&["modules", "upload", &component]).split_whitespace().next(),
        Some(digest),
        "as before"
    );
    let listed = lines(&dev, &["modules", "list"]);
    assert_eq!((listed.len(), &listed[0]["digest"]), (1, &json!(digest)));
    assert_eq!(listed[0]["functions"], json!(["tokenize"]));
    let shown = dev.ok(&["modules", "get", digest]);
    assert!(shown.contains("tokenize") && shown.contains("flat_map"), "{shown}");

    dev.place.write("q.sql", "SELECT 1 AS one");
    dev.ok(&["pipelines", "apply", "q.sql", "--name", "q", "--module", &component]);
    dev.place.write("junk.wasm", "junk");
    let nothing = "0".repeat(64);
    assert_refused(
        &dev,
        &[
            (&["modules", "upload", "junk.wasm"], 2, "component"),
            (&["modules", "upload", "absent.wasm"], 2, "absent.wasm"),
            (&["modules", "upload"], 2, "FILE"),
            (&["modules", "get", &nothing], 4, &nothing),
            (&["modules", "get", "abc"], 2, "abc"),
            (&["modules", "delete", &nothing], 4, &nothing),
            (&["modules", "delete", digest], 5, "q"),
        ],
    );
    dev.ok(&["pipelines", "delete", "q"]);
    assert_eq!(dev.ok(&["modules", "delete", digest]), "");
    assert_eq!(lines(&dev, &["modules", "list"]), [] as [Value; 0]);
}

#[test]
fn runs_are_looked_at_and_tried_again() {
    let dev = dev();
    let submit = [
        "submit", "p.yaml", "--param", "name=a", "--name", "rows", "--label", "team=x", "--wait",
    ];
    let run = dev.json(&submit);
    let id = run["id"].as_str().expect("an id");
    assert_eq!(lines(&dev, &["runs", "list", "--name", "rows"])[0]["id"], id);
    assert_eq!(lines(&dev, &["runs", "list", "--name", "other"]).len(), 0);
    assert_eq!(dev.json(&["runs", "get", "latest"]), dev.json(&["runs", "get", id]));
    let shown = dev.ok(&["runs", "watch", id]);
    assert!(shown.contains("state    succeeded"), "{shown}");
    assert_eq!(lines(&dev, &["runs", "logs", id, "--follow"]).len(), 2);
    let events = lines(&dev, &["runs", "events", id]);
    assert_eq!(events.first().map(|event| &event["type"]), Some(&json!("submitted")));
    assert!(events.iter().any(|event| event["type"] == "finished"));
    let outputs = dev.json(&["runs", "outputs", id, "--preview", "1"]);
    assert_eq!(
        outputs[0]["preview"]["rows"].as_array().map(Vec::len),
        Some(1),
        "{outputs}"
    );
    let page = dev.ok(&["runs", "export", id, "-o", "-"]);
    assert!(
        page.starts_with("<!doctype html>") || page.starts_with("<!DOCTYPE html>"),
        "{}",
        &page[..40]
    );
    let again = dev.json(&["runs", "retry", id, "--wait"]);
    assert_eq!(
        (&again["retry_of"], &again["result"]),
        (&json!(id), &json!("succeeded")),
        "{again}"
    );

    for command in [
        "get", "watch", "logs", "events", "diagnose", "outputs", "export", "cancel", "retry",
    ] {
        assert_refused(
            &dev,
            &[
                (&["runs", command, NOWHERE], 4, NOWHERE),
                (&["runs", command, "nonsense"], 2, "nonsense"),
            ],
        );
    }
    assert_refused(
        &dev,
        &[
            (&["runs", "cancel", id], 5, id),
            (&["runs", "pause", id], 5, id),
            (&["runs", "resume"], 2, "which run"),
            (&["runs", "list", "--limit", "0"], 2, "limit"),
            (&["submit", "absent.yaml"], 2, "absent.yaml"),
            (&["submit", "p.yaml"], 2, "`name` has no value"),
            (
                &["submit", "p.yaml", "--param", "name=b", "--set", "retries=1"],
                2,
                "retries",
            ),
            (&["submit", "p.yaml", "--label", "x"], 2, "KEY=VALUE"),
        ],
    );
    dev.place.write("wrong.sql", "SELECT * FROM nothing");
    let failed = dev.weir(&["submit", "wrong.sql", "--wait"]);
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(failed.stdout.contains("nothing"), "it says why: {}", failed.stdout);
    let place = dev.terminate();
    let nobody = place.weir(["runs", "list", "--endpoint", "http://127.0.0.1:1"]);
    assert_eq!((nobody.code, &*nobody.stdout), (Some(1), ""), "{}", nobody.stderr);
    assert!(nobody.stderr.contains("does not answer"), "{}", nobody.stderr);
}

#[test]
fn people_see_the_service_and_themselves() {
    let dev = dev();
    dev.ok(&["submit", "p.yaml", "--param", "name=a", "--wait"]);
    let worker = super::fleet::until("a worker that is known", || lines(&dev, &["workers", "list"]).pop());
    assert_eq!(
        (&worker["state"], &worker["version"]),
        (&json!("active"), &json!(env!("CARGO_PKG_VERSION")))
    );
    let scaling = dev.json(&["workers", "scaling"]);
    assert_eq!(
        (&scaling["backlog"]["runs"], &scaling["workers_active"]),
        (&json!(0), &json!(1)),
        "{scaling}"
    );
    let who = dev.json(&["whoami"]);
    assert_eq!(
        (&who["namespace"], &who["authentication"]),
        (&json!("default"), &json!("anonymous")),
        "{who}"
    );
    assert_eq!(lines(&dev, &["namespaces", "list"])[0]["name"], "default");
    assert_eq!(dev.json(&["namespaces", "get", "default"])["name"], "default");
    assert_eq!(dev.json(&["quotas", "get", "default"])["usage"]["runs"], 0);
    let entry = super::fleet::until("the entry of the submission", || {
        lines(&dev, &["audit", "--action", "runs_submit"]).pop()
    });
    assert_eq!((&entry["outcome"], &entry["status"]), (&json!("allowed"), &json!(201)));
    let secret = dev.ok(&["keys", "create", "ci", "--role", "viewer", "--expires-in", "never"]);
    assert!(secret.starts_with("weir_"), "{secret}");
    assert_refused(
        &dev,
        &[
            (&["namespaces", "create", "default"], 5, "default"),
            (&["namespaces", "delete", "none"], 4, "none"),
            (&["quotas", "get", "none"], 4, "none"),
            (&["quotas", "set", "none", "--weight", "2"], 4, "none"),
            (&["keys", "create", "ci", "--role", "king"], 2, "king"),
            (
                &["keys", "create", "ci", "--role", "viewer", "--expires-in", "soon"],
                2,
                "soon",
            ),
            (&["keys", "revoke", NOWHERE], 4, NOWHERE),
            (&["audit", "--limit", "0"], 2, "limit"),
            (&["workers", "list", "--namespace", "none"], 4, "none"),
            (&["whoami", "--namespace", "No!"], 2, "No!"),
        ],
    );
}
