//! The service's own storage, as those who submit jobs might try to reach it.

use reqwest::Method;
use serde_json::{Value, json};

use super::fleet::Fleet;

#[test]
fn jobs_reach_no_object_of_the_service() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    fleet.worker(2);
    let secret = fleet.put("weir/modules/of-another-tenant.txt", "their secret\n");
    fleet.put("mine/a.txt", "my own\n");
    let bucket = fleet.bucket.clone();
    let submit = |source: &str, sink: &str| {
        let pipeline = json!({"pipeline": {"type": "chain", "transforms": [
            {"type": "ReadFromText", "config": {"path": source}},
            {"type": "WriteToCsv", "config": {"path": sink}},
        ]}});
        let file = fleet.place.write("job.yaml", pipeline.to_string());
        let file = file.to_str().expect("a path of the test");
        let ran = fleet.client(server, ["submit", file, "--wait", "-o", "json"]);
        serde_json::from_str::<Value>(&ran.stdout).expect("a run is JSON")
    };
    let out = |name: &str| format!("s3://{bucket}/out/{name}");
    for source in [
        secret,
        format!("s3://{bucket}/weir/**"),
        format!("s3://{bucket}/weir/modules/"),
    ] {
        let run = submit(&source, &out("read"));
        assert_eq!(run["result"], "failed", "{source}: {run:#}");
        let why = run["reason"]["message"].as_str().unwrap_or_default();
        assert!(why.contains("storage of Weir itself"), "{source}: {why}");
    }
    let run = submit(
        &format!("s3://{bucket}/mine/*"),
        &format!("s3://{bucket}/weir/runs/mine"),
    );
    assert_eq!(run["result"], "failed", "{run:#}");
    let why = run["reason"]["message"].as_str().unwrap_or_default();
    assert!(why.contains("storage of Weir itself"), "{why}");
    assert_eq!(run["progress"]["attempts_failed"], 1, "it is no fault of the platform");

    // A list of the whole bucket has what is the user's.
    let run = submit(&format!("s3://{bucket}/**/*.txt"), &out("all"));
    assert_eq!(run["result"], "succeeded", "{run:#}");
    assert_eq!(fleet.csv_lines("out"), ["my own"]);
}

#[test]
fn jobs_of_a_namespace_reach_the_places_in_s3_that_it_may_use_and_no_others() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    fleet.worker(2);
    let bucket = fleet.bucket.clone();
    let at = |path: &str| format!("s3://{bucket}/{path}");
    fleet.put("mine/a.csv", "n\n1\n");
    fleet.put("shared/b.csv", "n\n2\n");
    fleet.put("theirs/c.csv", "n\n3\n");
    let ok = |args: &[&str]| fleet.client_ok(server, args.iter().copied());
    let bad = fleet.client(server, ["namespaces", "create", "team", "--allow-location", "/tmp"]);
    assert_eq!(bad.code, Some(2), "{}", bad.stderr);
    assert!(bad.stderr.contains("s3://BUCKET/PREFIX"), "{}", bad.stderr);
    let (mine, shared) = (at("mine"), at("shared/"));
    ok(&["namespaces", "create", "team", "--allow-location", &mine]);
    let listed = ok(&[
        "namespaces",
        "set",
        "team",
        "--allow-location",
        &mine,
        "--allow-location",
        &shared,
    ]);
    assert!(listed.contains(&mine) && listed.contains("/shared"), "{listed}");

    let in_team = [("content-type", "application/json"), ("weir-namespace", "team")];
    let ask = |path: &str, body: Value| fleet.request(server, Method::POST, path, &in_team, body.to_string());
    let run = |job: Value| {
        let made = ask("/api/v1/runs", job);
        assert_eq!(made.status, 201, "{}", made.body);
        let path = format!(
            "/api/v1/runs/{}?wait=60",
            made.body["id"].as_str().expect("it has an id")
        );
        fleet.request(server, Method::GET, &path, &in_team, String::new()).body
    };
    let sql = |statement: &str| json!({"sql": {"statement": statement}});
    let copy = |from: &str, to: &str| {
        let tables = json!([{"name": "t", "path": from}]);
        json!({"sql": {"statement": format!("COPY (SELECT * FROM t) TO '{to}'"), "tables": tables}})
    };
    let pipeline = |from: &str, to: &str| {
        json!({"pipeline": {"pipeline": {"type": "chain", "transforms": [
            {"type": "ReadFromCsv", "config": {"path": from}},
            {"type": "WriteToCsv", "config": {"path": to}},
        ]}}})
    };
    for job in [
        copy(&at("mine/a.csv"), &at("shared/out.csv")),
        pipeline(&at("shared/*.csv"), &at("mine/out/x")),
    ] {
        let run = run(job);
        assert_eq!(run["result"], "succeeded", "{run:#}");
    }
    for job in [
        copy(&at("theirs/c.csv"), &at("mine/stolen.csv")),
        copy(&at("theirs/"), &at("mine/stolen.csv")),
        copy(&at("mine/a.csv"), &at("theirs/c.csv")),
        copy(&at("mine/a.csv"), &at("minecraft.csv")),
        copy(&at("mine/../theirs/c.csv"), &at("mine/stolen.csv")),
        pipeline(&at("theirs/*.csv"), &at("mine/stolen")),
        pipeline(&at("**/*.csv"), &at("mine/stolen")),
        pipeline(&at("mine/a.csv"), &at("theirs/planted")),
        // Its files would begin with this, beside the folder.
        pipeline(&at("mine/a.csv"), &at("shared")),
        sql(&format!("SELECT * FROM '{}'", at("theirs/c.csv"))),
    ] {
        let shown = job.to_string();
        let run = run(job);
        assert_eq!(run["result"], "failed", "{shown}: {run:#}");
        assert_eq!(run["reason"]["retryable"], false, "{shown}: {run:#}");
    }
    let why = run(pipeline(&at("mine/a.csv"), &at("theirs/planted")));
    let why = why["reason"]["message"].as_str().unwrap_or_default();
    assert!(
        why.contains("no place for the jobs of this namespace") && why.contains(&mine),
        "{why}"
    );
    let script = json!({"script": "SELECT * FROM t", "tables": [{"name": "t", "path": at("theirs/c.csv")}]});
    let checked = ask("/api/v1/sql/check", script);
    assert_eq!(checked.status, 200, "{}", checked.body);
    let why = checked.body["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(
        why.contains("no place for the jobs of this namespace"),
        "{}",
        checked.body
    );

    // Nobody chooses for himself, and another namespace is not confined.
    let mut own = copy(&at("theirs/c.csv"), &at("mine/stolen.csv"));
    own["settings"] = json!({"allowed_locations": [at("theirs")]});
    assert_eq!(ask("/api/v1/runs", own).status, 422);
    assert!(fleet.objects("mine").iter().all(|(key, _)| !key.contains("stolen")));
    ok(&["namespaces", "set", "team", "--allow-all-locations"]);
    let run = run(copy(&at("theirs/c.csv"), &at("mine/taken.csv")));
    assert_eq!(run["result"], "succeeded", "{run:#}");
}
