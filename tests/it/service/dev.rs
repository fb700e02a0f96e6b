//! `weir dev`.

use crate::service::fleet::until;
use crate::support::{Place, Started, repository};

#[test]
fn one_process_is_the_whole_service() {
    let place = Place::new();
    let log = place.path("dev.log");
    let dev = Started::logging(&place, ["dev", "--listen", "127.0.0.1:0", "--workers", "2"], &log);
    let endpoint = until("the address", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.lines()
            .find_map(|line| line.strip_prefix("listening on "))
            .map(str::to_owned)
    });
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
        "--endpoint",
        &endpoint,
    ];
    let out = place.ok(args);
    assert!(out.contains("state    succeeded"), "{out}");
    assert!(!place.files("out/counts-").is_empty());
    // The data folder is the same as that of `weir run`.
    assert!(place.ok(["runs", "list"]).contains("wordcount"));
    dev.terminate();
}

#[test]
fn strangers_cannot_reach_it() {
    let place = Place::new();
    let ran = place.weir(["dev", "--listen", "0.0.0.0:0"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("loopback"), "{}", ran.stderr);
}
