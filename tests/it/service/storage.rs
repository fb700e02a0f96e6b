//! The service's own storage, as those who submit jobs might try to reach it.

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
