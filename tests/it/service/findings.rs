//! What is worth a look in a run, as people are told of it.

use serde_json::Value;

use super::dev::Dev;
use crate::support::{Place, repository};

/// The findings about the newest run.
fn findings(place: &Place) -> Vec<Value> {
    let out = place.ok(["runs", "diagnose", "latest", "-o", "json"]);
    let found: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(found["complete"], true, "{found}");
    found["items"].as_array().expect("a list").clone()
}

fn codes(found: &[Value]) -> Vec<&str> {
    found.iter().filter_map(|finding| finding["code"].as_str()).collect()
}

#[test]
fn a_healthy_run_has_none() {
    let place = Place::new();
    let example = repository().join("examples/wordcount");
    let ran = place.weir([
        "run".as_ref(),
        example.join("pipeline.yaml").as_os_str(),
        "--param".as_ref(),
        format!("input={}", example.join("weirs.txt").display()).as_ref(),
        "--param".as_ref(),
        format!("output={}", place.path("out/counts").display()).as_ref(),
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!ran.stderr.contains("diagnose"), "{}", ran.stderr);
    assert_eq!(findings(&place), [] as [Value; 0]);
    let told = place.ok(["runs", "diagnose", "latest"]);
    assert!(told.contains("nothing stands out"), "{told}");
    assert_eq!(place.ok(["runs", "diagnose", "latest", "-o", "jsonl"]), "");
    let unknown = place.weir(["runs", "diagnose", "01jz0000000000000000000000"]);
    assert_eq!(unknown.code, Some(4), "{}", unknown.stderr);
}

#[test]
fn many_small_files_are_found() {
    let place = Place::new();
    let pipeline = |shards: u32| {
        format!(
            "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {{elements: [1, 2, 3]}}\n    \
             - type: WriteToCsv\n      config: {{path: out/small, num_shards: {shards}}}\n"
        )
    };
    place.write("p.yaml", pipeline(100));
    place.ok(["run", "p.yaml"]);
    assert_eq!(findings(&place), [] as [Value; 0]);
    place.write("p.yaml", pipeline(101));
    let ran = place.weir(["run", "p.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("1 finding (warning at worst): `weir runs diagnose "),
        "{}",
        ran.stderr
    );
    let found = findings(&place);
    assert_eq!(codes(&found), ["small_files"]);
    let evidence = &found[0]["evidence"];
    assert_eq!(
        (&evidence["value"], &evidence["threshold"]),
        (&Value::from(101.0), &Value::from(100.0))
    );
    let told = place.ok(["runs", "diagnose", "latest"]);
    assert!(
        told.contains("[small_files]") && told.contains("fix: Set `num_shards`"),
        "{told}"
    );
}

#[test]
fn spilling_is_found() {
    let place = Place::new();
    let statement = "COPY (SELECT encode(sha512(CAST(value AS VARCHAR)), 'hex') AS h FROM generate_series(1, 300000) \
                     ORDER BY h) TO 'sorted.csv'";
    place.ok(["sql", "--memory", "24MiB", "--target-partitions", "1", statement]);
    let found = findings(&place);
    let spill = found.iter().find(|finding| finding["code"] == "spill");
    let spill = spill.unwrap_or_else(|| panic!("{found:?}"));
    assert!(
        spill["evidence"]["value"].as_f64().is_some_and(|bytes| bytes > 1e7),
        "{spill}"
    );
    assert!(spill["evidence"]["operator"].is_number(), "{spill}");
    assert!(
        spill["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("`SortExec`")),
        "{spill}"
    );
}

#[test]
fn a_skewed_key_is_found_by_the_service_and_told_of_by_its_client() {
    let place = Place::new();
    let prices = place.write(
        "prices.toml",
        "version = \"ours-1\"\ncurrency = \"EUR\"\nvcpu_hour = 3600.0\n",
    );
    let dev = Dev::start_in(place, &["--prices", &prices.display().to_string()]);
    dev.place.write(
        "skew.sql",
        "SELECT max(n) AS n FROM (SELECT row_number() OVER (PARTITION BY k ORDER BY h) AS n FROM (SELECT CASE WHEN \
         value % 100 < 95 THEN 0 ELSE value % 97 END AS k, encode(sha512(CAST(value AS VARCHAR)), 'hex') AS h FROM \
         generate_series(1, 250000)));",
    );
    let submit = [
        "submit",
        "skew.sql",
        "--wait",
        "--set",
        "target_partitions=16",
        "--set",
        "coalesce.min_bytes=1",
        "--set",
        "coalesce.target_bytes=1",
    ];
    let ran = dev.weir(&submit);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("`weir runs diagnose "), "{}", ran.stderr);
    let out = dev.ok(&["runs", "diagnose", "latest", "-o", "jsonl"]);
    let skew = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let skew = skew.into_iter().find(|finding| finding["code"] == "skewed_bytes");
    let skew = skew.unwrap_or_else(|| panic!("{out}"));
    let evidence = &skew["evidence"];
    assert_eq!(
        (&evidence["stage"], &evidence["metric"]),
        (&Value::from(1), &Value::from("bytes_in"))
    );
    let task = evidence["task"].as_u64().expect("a task");
    let link = evidence["link"].as_str().expect("a link");
    assert!(link.ends_with(&format!("?stage=1&task=1.{task}")), "{link}");
    let run = dev.json(&["runs", "get", "latest"]);
    let usage = &run["usage"];
    let cost = &usage["estimated_cost"];
    assert_eq!(
        (&cost["currency"], &cost["price_table_version"]),
        (&Value::from("EUR"), &Value::from("ours-1"))
    );
    // One a second.
    assert_eq!(cost["lines"][0]["item"], "vcpu");
    let paid = cost["lines"][0]["amount"].as_f64().expect("an amount");
    assert!(
        (paid - usage["vcpu_seconds"].as_f64().expect("a time")).abs() < 1e-9,
        "{usage}"
    );
    dev.terminate();
}

#[test]
fn a_price_table_that_is_none_is_refused() {
    let place = Place::new();
    let prices = place.write("prices.toml", "vcpu_hour = -1\nversion = \"x\"");
    let ran = place.weir([
        "dev",
        "--listen",
        "127.0.0.1:0",
        "--prices",
        &prices.display().to_string(),
    ]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("`vcpu_hour`"), "{}", ran.stderr);
}
