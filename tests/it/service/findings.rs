//! What is worth a look in a run, as people are told of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_guest_build::BuildOptions;

use super::dev::Dev;
use super::fleet::{Fleet, until};
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

/// The kinds of functions that the sandbox is tested with, as a component.
fn kinds() -> Vec<u8> {
    let guest = repository().join("sandbox/tests/guests/kinds");
    let built = weir_guest_build::build(&guest, &BuildOptions::for_tests(env!("CARGO_TARGET_TMPDIR")));
    built.unwrap_or_else(|error| panic!("{error}")).bytes
}

/// The finding of a kind, which there must be.
#[track_caller]
fn of_kind(found: &[Value], code: &str) -> Value {
    let finding = found.iter().find(|finding| finding["code"] == code);
    finding.unwrap_or_else(|| panic!("no `{code}` in {found:?}")).clone()
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
fn tasks_so_short_that_starting_them_costs_as_much_are_found() {
    // More than there may be, with some to spare for partitions that no key falls into.
    const PARTITIONS: u32 = 5_100;
    // Each of which tells of the partitions that it has written to, and of all at once none could.
    const WRITERS: u32 = 16;
    let numbers = |writer: u32| {
        format!(
            "SELECT value AS k FROM generate_series({}, {})",
            writer * 3_000 + 1,
            writer * 3_000 + 3_000
        )
    };
    let numbers: Vec<_> = (0..WRITERS).map(numbers).collect();
    let dev = Dev::start(&[]);
    dev.place.write(
        "short.sql",
        format!(
            "SELECT count(*) AS keys FROM (SELECT k, count(*) AS n FROM ({}) GROUP BY k)",
            numbers.join(" UNION ALL ")
        ),
    );
    let partitions = format!("target_partitions={PARTITIONS}");
    let submit = ["submit", "short.sql", "--wait", "--set", &partitions];
    let coalesce = ["--set", "coalesce.min_bytes=1", "--set", "coalesce.target_bytes=1"];
    let run = dev.json(&[&submit[..], &coalesce].concat());
    assert_eq!(run["result"], "succeeded", "{run}");
    let found = dev.json(&["runs", "diagnose", "latest"]);
    let short = of_kind(found["items"].as_array().expect("a list"), "small_tasks");
    let evidence = &short["evidence"];
    assert_eq!(
        (&short["severity"], &evidence["stage"], &evidence["threshold"]),
        (&json!("warning"), &json!(1), &json!(5_000.0)),
        "{short}"
    );
    let tasks = evidence["value"].as_f64().expect("a number");
    assert!(tasks > 5_000.0 && tasks <= f64::from(PARTITIONS), "{short}");
}

#[test]
fn a_task_that_reads_more_than_a_task_should_is_found() {
    let place = Place::new();
    // A folder with one file of 64 MiB under so many names that they are more than 5 GiB together.
    place.ok([
        "sql",
        "--target-partitions",
        "1",
        "COPY (SELECT lpad(CAST(value AS VARCHAR), 1048576, 'x') AS t FROM generate_series(1, 64)) TO 'file.parquet' \
         OPTIONS ('compression' 'uncompressed')",
    ]);
    let file = place.path("file-00000-of-00001.parquet");
    let bytes = std::fs::metadata(&file).expect("the file is there").len();
    std::fs::create_dir(place.path("large")).expect("the folder can be made");
    let names = (5 << 30) / bytes + 1;
    for name in 0..names {
        let name = place.path(&format!("large/{name}.parquet"));
        std::fs::hard_link(&file, name).expect("a file can have many names");
    }
    place.ok([
        "sql",
        "--table",
        "t=large",
        "--slots",
        "1",
        "--target-partitions",
        "1",
        "SELECT max(octet_length(t)) FROM t",
    ]);
    let large = of_kind(&findings(&place), "large_partition");
    let evidence = &large["evidence"];
    assert_eq!(
        (&evidence["stage"], &evidence["task"], &evidence["metric"]),
        (&json!(0), &json!(0), &json!("bytes_in")),
        "{large}"
    );
    // What is read of a file is most of it, and its footer.
    let read = evidence["value"].as_f64().expect("bytes");
    let all = (names * bytes) as f64;
    assert!(
        read > (5_u64 << 30) as f64 && (read / all - 1.0).abs() < 0.01,
        "{large}"
    );
}

#[test]
fn spilling_is_found() {
    let place = Place::new();
    let statement = "COPY (SELECT encode(sha512(CAST(value AS VARCHAR)), 'hex') AS h FROM generate_series(1, 300000) \
                     ORDER BY h) TO 'sorted.csv'";
    place.ok(["sql", "--memory", "24MiB", "--target-partitions", "1", statement]);
    let found = findings(&place);
    let spill = of_kind(&found, "spill");
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
    // It spills since its memory is full.
    let full = of_kind(&found, "memory_nearly_full");
    let share = full["evidence"]["value"].as_f64().expect("a share");
    assert!(share > 0.95 && share <= 1.0, "{full}");
    assert_eq!(
        (&full["evidence"]["stage"], &full["evidence"]["task"]),
        (&json!(0), &json!(0)),
        "{full}"
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
    let skew = of_kind(&skew.collect::<Vec<_>>(), "skewed_bytes");
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

#[test]
fn slots_and_memory_that_nobody_needs_are_found() {
    let place = Place::new();
    // What a worker has is what it says: a petabyte, of which each of its slots is billed a part.
    let machine = ["--memory", "8192TiB", "--slots", "1024", "--target-partitions", "1"];
    let statement = "SELECT max(encode(sha512(CAST(value AS VARCHAR)), 'hex')) AS h FROM generate_series(1, 200000)";
    place.ok([&["sql"], &machine[..], &[statement]].concat());
    let found = findings(&place);
    let idle = of_kind(&found, "idle_slots");
    assert_eq!(
        (&idle["severity"], &idle["evidence"]["threshold"]),
        (&json!("info"), &json!(0.5)),
        "{idle}"
    );
    assert!(
        idle["evidence"]["value"].as_f64().is_some_and(|share| share > 0.9),
        "{idle}"
    );
    assert!(
        idle["detail"]
            .as_str()
            .is_some_and(|text| text.starts_with("1024 slots ")),
        "{idle}"
    );
    let unused = of_kind(&found, "memory_unused");
    assert!(
        unused["evidence"]["value"].as_f64().is_some_and(|share| share < 0.7),
        "{unused}"
    );
    let title = unused["title"].as_str().expect("a title");
    assert_eq!(title, "Of a worker's memory less than 0.1 % was used at most");
    assert_eq!(found.len(), 2, "{found:?}");

    // The same work by a machine of its size.
    place.ok([
        "sql",
        "--memory",
        "64MiB",
        "--slots",
        "1",
        "--target-partitions",
        "1",
        statement,
    ]);
    assert_eq!(findings(&place), [] as [Value; 0]);
}

#[test]
fn a_function_that_takes_most_of_the_time_and_a_task_that_it_takes_it_in_are_found() {
    let dev = Dev::start(&["--slots", "2"]);
    dev.place.write("kinds.wasm", kinds());
    // The rounds of the row with the key 0; others take one. A task has a few of the keys.
    let submit = |rounds: u64| {
        let pipeline = format!(
            "pipeline:\n  type: chain\n  transforms:\n    - {{type: Create, config: {{elements: [{{one: 1}}]}}}}\n    - type: \
             Sql\n      config:\n        query: >\n          SELECT value AS k, max(CASE WHEN value = 0 THEN {rounds} \
             ELSE one END) AS rounds FROM PCOLLECTION CROSS JOIN generate_series(0, 63) GROUP BY 1\n    - {{type: \
             MapToFields, config: {{language: wasm, fields: {{n: {{path: kinds.wasm, name: toil, args: [rounds]}}}}}}}}\n    \
             - {{type: WriteToJson, config: {{path: out/toil}}}}\n"
        );
        dev.place.write("toil.yaml", pipeline);
        let submit = ["submit", "toil.yaml", "--wait", "--set", "target_partitions=8"];
        let coalesce = ["--set", "coalesce.min_bytes=1", "--set", "coalesce.target_bytes=1"];
        dev.json(&[&submit[..], &coalesce].concat())
    };
    let wasm_seconds = |run: &Value| run["usage"]["wasm_seconds"].as_f64().expect("a time");
    // As many as this machine needs to be busy with for more than the ten seconds from which functions are looked at,
    // whatever else it does meanwhile.
    let mut rounds = 50_000_000;
    let mut took = wasm_seconds(&submit(rounds));
    let mut tries = 0;
    while took <= 10.0 {
        tries += 1;
        assert!(tries <= 5, "{rounds} rounds take {took} s");
        rounds = (14.0 / took * rounds as f64) as u64;
        took = wasm_seconds(&submit(rounds));
    }
    let found = dev.json(&["runs", "diagnose", "latest"]);
    let found = found["items"].as_array().expect("a list");

    let hot = of_kind(found, "hot_function");
    let evidence = &hot["evidence"];
    assert_eq!(
        (&evidence["function"], &evidence["stage"]),
        (&json!("toil"), &json!(1)),
        "{hot}"
    );
    assert!(evidence["operator"].is_number(), "{hot}");
    assert!(
        evidence["value"]
            .as_f64()
            .is_some_and(|share| share > 0.5 && share <= 1.0),
        "{hot}"
    );
    let skew = of_kind(found, "skewed_duration");
    let evidence = &skew["evidence"];
    assert_eq!(
        (&evidence["stage"], &evidence["metric"]),
        (&json!(1), &json!("elapsed_us")),
        "{skew}"
    );
    assert!(evidence["value"].as_f64().is_some_and(|ratio| ratio > 10.0), "{skew}");
    assert!(evidence["task"].is_number(), "{skew}");
}

#[test]
fn rows_that_functions_refuse_are_found() {
    let place = Place::new();
    place.write("kinds.wasm", kinds());
    let pipeline = |bad: usize| {
        let good = std::iter::repeat_n("{t: '1'}", 200 - bad);
        let elements: Vec<_> = good.chain(std::iter::repeat_n("{t: x}", bad)).collect();
        format!(
            "pipeline:\n  transforms:\n    - {{type: Create, config: {{elements: [{}]}}}}\n    - {{type: MapToFields, \
             name: M, input: Create, config: {{language: wasm, fields: {{n: {{path: kinds.wasm, name: parse, args: \
             [t]}}}}, error_handling: {{output: bad}}}}}}\n    - {{type: WriteToJson, name: Good, input: M, config: \
             {{path: out/good}}}}\n    - {{type: WriteToJson, name: Bad, input: M.bad, config: {{path: out/bad}}}}\n",
            elements.join(", ")
        )
    };
    // One in a hundred may be.
    place.write("p.yaml", pipeline(2));
    place.ok(["run", "p.yaml"]);
    assert_eq!(findings(&place), [] as [Value; 0]);
    place.write("p.yaml", pipeline(3));
    place.ok(["run", "p.yaml"]);
    let found = findings(&place);
    let refused = of_kind(&found, "refused_rows");
    assert_eq!(
        (&refused["evidence"]["value"], found.len()),
        (&json!(0.015), 1),
        "{found:?}"
    );
}

#[test]
fn a_run_that_waited_for_a_worker_says_so() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    fleet.place.write("q.sql", "SELECT 1 AS one");
    let run = fleet.client_ok(server, ["submit", "q.sql"]);
    let run = run.trim();
    let planned = fleet.wait_for_event(server, run, "task_dispatched");
    assert!(!planned.is_empty());
    // Less would not be worth anybody's time.
    let planned = Instant::now();
    until("ten seconds without a worker", || {
        (planned.elapsed() > Duration::from_millis(10_500)).then_some(())
    });
    fleet.worker(1);
    assert_eq!(fleet.client(server, ["runs", "watch", run]).code, Some(0));
    let found = fleet.client_ok(server, ["runs", "diagnose", run, "-o", "json"]);
    let found: Value = serde_json::from_str(&found).expect("JSON");
    let cold = of_kind(found["items"].as_array().expect("a list"), "cold_start");
    let waited = fleet.run(server, run)["durations"]["cold_start_ms"]
        .as_u64()
        .expect("a time");
    assert!(waited >= 10_000, "{waited}");
    assert!(
        cold["evidence"]["value"]
            .as_f64()
            .is_some_and(|share| share > 0.2 && share <= 1.0),
        "{cold}"
    );
}

#[test]
fn a_task_that_ends_its_workers_is_found() {
    let mut fleet = Fleet::new();
    let [tasks, dead] = fleet.queues_with_patience(2);
    fleet.set("WEIR_TASK_QUEUE", &tasks);
    fleet.set("WEIR_DEAD_LETTER_QUEUE", &dead);
    let server = fleet.server(&[]);
    let endless = "SELECT count(*) AS n FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE \
                   sin(a.value * b.value) > 2";
    fleet.place.write("q.sql", endless);
    // Before the attempts are given up for lost, and others take their places.
    let run = fleet.client_ok(server, ["submit", "q.sql", "--set", "attempt_timeout_ms=600000"]);
    let run = run.trim();
    let started = |fleet: &Fleet| {
        let events = fleet.events(server, run);
        events.iter().filter(|event| event["type"] == "attempt_started").count()
    };
    for times in 1..=2 {
        let worker = fleet.worker(1);
        until("the task to be taken", || (started(&fleet) >= times).then_some(()));
        fleet.kill(worker);
    }
    // Whoever asks for a message next makes the queue set the task's aside.
    fleet.worker(1);
    until("the failure that says so", || {
        let events = fleet.events(server, run);
        let failed = |event: &Value| event["type"] == "attempt_failed" && event.to_string().contains("poison_task");
        events.iter().any(failed).then_some(())
    });
    let found = fleet.client_ok(server, ["runs", "diagnose", run, "-o", "json"]);
    let found: Value = serde_json::from_str(&found).expect("JSON");
    let dead = of_kind(found["items"].as_array().expect("a list"), "dead_letters");
    assert_eq!(
        (&dead["severity"], &dead["evidence"]["value"]),
        (&json!("error"), &json!(1.0)),
        "{dead}"
    );
    fleet.client_ok(server, ["runs", "cancel", run]);
}
