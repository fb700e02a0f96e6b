//! `weir doctor` and `weir migrate`.

use serde_json::Value;

use super::fleet::{Fleet, until};

fn findings(fleet: &Fleet, args: &[&str]) -> (Option<i32>, Vec<Value>) {
    let ran = fleet.weir(["doctor", "-o", "json"].into_iter().chain(args.iter().copied()));
    let findings: Value = serde_json::from_str(&ran.stdout).expect("findings are JSON");
    (ran.code, findings.as_array().expect("a list").clone())
}

fn outcome<'a>(findings: &'a [Value], check: &str) -> &'a str {
    let finding = findings.iter().find(|finding| finding["check"] == check);
    finding
        .and_then(|finding| finding["outcome"].as_str())
        .unwrap_or_else(|| panic!("no `{check}` in {findings:#?}"))
}

#[test]
fn what_is_missing_is_named_until_nothing_is() {
    let fleet = Fleet::bare();
    let (code, found) = findings(&fleet, &[]);
    assert_eq!(code, Some(1));
    assert_eq!(outcome(&found, "schema"), "fail");
    let schema = found
        .iter()
        .find(|finding| finding["check"] == "schema")
        .expect("found above");
    assert!(
        schema["help"]
            .as_str()
            .is_some_and(|help| help.contains("weir migrate"))
    );
    // A server says the same.
    let ran = fleet.weir(["server", "--listen", "127.0.0.1:0"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("weir migrate"), "{}", ran.stderr);

    let first = fleet.weir(["migrate"]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(first.stderr.contains("from version 0"), "{}", first.stderr);
    let second = fleet.weir(["migrate"]);
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    assert!(second.stderr.contains("up to date"), "{}", second.stderr);

    let (code, found) = findings(&fleet, &[]);
    assert_eq!(code, Some(0), "{found:#?}");
    for check in [
        "data folder",
        "database",
        "schema",
        "credentials",
        "region",
        "clock",
        "task queue",
        "report queue",
        "dead-letter queue",
        "storage",
        "conditional put",
    ] {
        assert_eq!(outcome(&found, check), "ok", "{found:#?}");
    }
    assert!(fleet.objects("weir").is_empty(), "the checks leave nothing");
}

#[test]
fn each_mistake_fails_its_own_check() {
    let fleet = Fleet::new();
    let nobody = "postgres://nobody:wrong@127.0.0.1:1/none";
    let (code, found) = findings(&fleet, &["--database-url", nobody]);
    assert_eq!(code, Some(1));
    assert_eq!(outcome(&found, "database"), "fail");
    assert_eq!(outcome(&found, "storage"), "ok");
    assert!(!format!("{found:?}").contains("wrong"), "no password is shown");

    let queue = fleet.variable("WEIR_TASK_QUEUE").replace("queue-", "nothing-");
    let (code, found) = findings(&fleet, &["--task-queue", &queue]);
    assert_eq!(code, Some(1));
    assert_eq!(outcome(&found, "task queue"), "fail");
    assert_eq!(outcome(&found, "report queue"), "ok");

    let (code, found) = findings(&fleet, &["--storage", "s3://there-is-no-such-bucket/x"]);
    assert_eq!(code, Some(1));
    assert_eq!(outcome(&found, "storage"), "fail");
}

#[test]
fn health_checks_of_containers_ask_one_url() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    let endpoint = fleet.endpoint(server);
    let ask = |url: String| fleet.weir(["doctor", "--url", &url]).code;
    assert_eq!(ask(format!("{endpoint}/healthz")), Some(0));
    assert_eq!(ask(format!("{endpoint}/readyz")), Some(0));
    assert_eq!(ask(format!("{endpoint}/api/v1/nothing")), Some(1));
    assert_eq!(ask("http://127.0.0.1:1/healthz".to_owned()), Some(1));
}

#[test]
fn a_worker_says_how_it_is() {
    let mut fleet = Fleet::new();
    let worker = fleet.worker_with(&["--health-listen", "127.0.0.1:0", "--log", "info"]);
    let address = until("the address in the log", || {
        let log = fleet.log(worker);
        let line = log.lines().find(|line| line.contains("answering health checks"))?;
        Some(line.rsplit_once("address=")?.1.trim().to_owned())
    });
    let ask = |path: &str| {
        fleet
            .weir(["doctor", "--url", &format!("http://{address}/{path}")])
            .code
    };
    assert_eq!(
        (ask("healthz"), ask("readyz"), ask("metrics")),
        (Some(0), Some(0), Some(0))
    );
    fleet.signal(worker, "TERM");
    assert!(fleet.wait(worker).success(), "{}", fleet.log(worker));
}

#[test]
fn the_configuration_file_is_checked() {
    let fleet = Fleet::bare();
    fleet.place.write("weir.toml", "lisen = '127.0.0.1:0'\n");
    let ran = fleet.weir(["server", "--config", "weir.toml"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("did you mean `listen`"), "{}", ran.stderr);
}

#[test]
fn metrics_are_answered_where_the_operator_says_and_nowhere_else() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&["--metrics-listen", "127.0.0.1:0", "--log", "info"]);
    let api = fleet.endpoint(server);
    let address = until("the address of the metrics", || {
        let log = fleet.log(server);
        let line = log.lines().find(|line| line.contains("answering health checks"))?;
        let (_, address) = line.split_once("address=")?;
        Some(address.split_whitespace().next()?.trim_matches('"').to_owned())
    });
    let ask = |url: String| fleet.weir(["doctor", "--url", &url]).code;
    assert_eq!(ask(format!("http://{address}/metrics")), Some(0));
    assert_eq!(ask(format!("{api}/metrics")), Some(1));
    assert_eq!(ask(format!("{api}/readyz")), Some(0));
    assert_eq!(
        ask(format!("http://{address}/api/v1/runs")),
        Some(1),
        "nothing else is there"
    );
}
