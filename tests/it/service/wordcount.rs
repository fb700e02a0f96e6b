//! The example that newcomers run first, on the service.

use serde_json::Value;

use super::fleet::Fleet;
use crate::support::repository;

#[test]
fn a_word_count_over_s3_gives_what_it_gives_here() {
    let mut fleet = Fleet::new();
    let servers = [fleet.server(&[]), fleet.server(&[])];
    fleet.worker(2);
    fleet.worker(2);
    let example = repository().join("examples/wordcount");
    let pipeline = example.join("pipeline.yaml").display().to_string();
    let text = std::fs::read_to_string(example.join("weirs.txt")).expect("the example's text");
    let input = fleet.put("in/weirs.txt", text);
    let output = format!("output=s3://{}/out/counts", fleet.bucket);
    let ran = fleet.client(
        servers[0],
        [
            "submit",
            &pipeline,
            "--param",
            &format!("input={input}"),
            "--param",
            &output,
            "--label",
            "team=rivers",
            "--wait",
            "-o",
            "json",
        ],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let run: Value = serde_json::from_str(&ran.stdout).expect("a run is JSON");
    assert_eq!(run["result"], "succeeded");
    assert_eq!(run["labels"]["team"], "rivers");

    let here = format!("output={}", fleet.place.path("out/counts").display());
    let input = format!("input={}", example.join("weirs.txt").display());
    fleet.place.ok(["run", &pipeline, "--param", &input, "--param", &here]);
    let mut expected: Vec<String> = fleet
        .place
        .files("out/counts-")
        .iter()
        .flat_map(|(_, text)| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    expected.sort_unstable();
    assert!(expected.len() > 500);
    assert_eq!(fleet.csv_lines("out"), expected);

    // Both servers tell the same of it, whichever drove it.
    let id = run["id"].as_str().expect("an id");
    let stored = super::fleet::until("the history of the run", || {
        let run = fleet.run(servers[0], id);
        (run["history"] == "stored").then_some(run)
    });
    // Each worker has a cache of its own, which was empty.
    let first = &stored["usage"]["modules"];
    assert!(first["load_seconds"].as_f64() > Some(0.0), "{first}");
    let again = fleet.client_ok(servers[0], ["runs", "retry", id, "--wait", "-o", "json"]);
    let again: Value = serde_json::from_str(&again).expect("a run is JSON");
    let second = &again["usage"]["modules"];
    let of = |modules: &Value, origin: &str| modules[origin].as_u64().expect("a number");
    let compiled = [first, second].map(|modules| of(modules, "compiled"));
    assert!(compiled[0] > 0 && compiled[0] + compiled[1] <= 2, "{first} {second}");
    assert_eq!((of(first, "cached"), of(second, "cached")), (0, 0));
    let all = |modules: &Value| of(modules, "compiled") + of(modules, "warm");
    assert_eq!(all(first), all(second), "{first} {second}");
    assert_eq!(fleet.run(servers[0], id), fleet.run(servers[1], id));
    assert_eq!(fleet.events(servers[0], id), fleet.events(servers[1], id));
    assert!(fleet.client_ok(servers[1], ["runs", "list"]).contains(id));
    assert!(
        fleet
            .client_ok(servers[1], ["runs", "get", "latest"])
            .contains("tokenize.words")
    );
    let watched = fleet.client_ok(servers[1], ["runs", "watch", id]);
    assert!(watched.contains("state    succeeded"), "{watched}");
    // What the run needed on the way is gone; its module, what is known of that, and the history stay.
    let left = super::fleet::until("the run's objects to be deleted", || {
        let mut left = fleet.objects("weir");
        left.retain(|(key, _)| !key.starts_with("weir/history/"));
        (left.len() == 2).then_some(left)
    });
    assert!(
        left.iter().all(|(key, _)| key.starts_with("weir/modules/default/")),
        "{left:?}"
    );
}
