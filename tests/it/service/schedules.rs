//! Schedules: when they make runs, and what they do about those that are under way, missed or old.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Method;
use serde_json::{Value, json};

use super::fleet::{Answer, Fleet, MemberId, until};
use super::pipelines::{PIPELINE, assert_problem, end_of, get, runs, send, send_with};

const MINUTE_MS: u64 = 60_000;

fn now_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is right");
    u64::try_from(now.as_millis()).expect("it is not that late")
}

/// A time as the API writes it.
fn time(ms: u64) -> Value {
    let seconds = i64::try_from(ms / 1_000).expect("it is not that late");
    let time = chrono::DateTime::from_timestamp(seconds, 0).expect("a time");
    json!(time.format("%Y-%m-%dT%H:%M:%S.000Z").to_string())
}

/// Makes something by a `POST`.
#[track_caller]
fn make(fleet: &Fleet, server: MemberId, path: &str, body: &Value) -> Answer {
    let made = send(fleet, server, Method::POST, path, body);
    assert_eq!(made.status, 201, "{path}: {}", made.body);
    made
}

/// Makes the pipeline `sums`.
fn make_pipeline(fleet: &Fleet, server: MemberId) {
    let pipeline = json!({"name": "sums", "definition": {"pipeline": PIPELINE}});
    make(fleet, server, "/pipelines", &pipeline);
}

/// Sets how many runs may be under way at once.
fn limit_runs(fleet: &Fleet, server: MemberId, max_runs: &Value) {
    let quota = json!({"max_runs": max_runs});
    let set = send(fleet, server, Method::PUT, "/namespaces/default/quota", &quota);
    assert_eq!(set.status, 200, "{}", set.body);
}

/// Lets the next time of a schedule be this one.
fn set_next(fleet: &Fleet, schedule: &str, at: u64) {
    let changed = fleet.sql(&format!(
        "UPDATE schedules SET next_at = {at} WHERE name = '{schedule}'"
    ));
    assert_eq!(changed, 1, "there is a schedule `{schedule}`");
}

/// Waits until a schedule is as a test wants it; gives it.
#[track_caller]
fn schedule_that(fleet: &Fleet, server: MemberId, name: &str, is: impl Fn(&Value) -> bool) -> Value {
    until(&format!("the schedule `{name}` to go on"), || {
        let schedule = get(fleet, server, &format!("/schedules/{name}")).body;
        is(&schedule).then_some(schedule)
    })
}

/// Lets a time of a schedule come, and waits until it is dealt with.
fn come(fleet: &Fleet, server: MemberId, name: &str) -> Value {
    let before = get(fleet, server, &format!("/schedules/{name}")).body;
    set_next(fleet, name, now_ms());
    schedule_that(fleet, server, name, |schedule| schedule["last_at"] != before["last_at"])
}

#[test]
fn schedules_make_runs_at_their_times() {
    let mut fleet = Fleet::new();
    let servers = [fleet.server(&[]), fleet.server(&[])];
    let server = servers[0];
    let pipeline = json!({"name": "sums", "definition": {"pipeline": PIPELINE}});
    assert_eq!(send(&fleet, server, Method::POST, "/pipelines", &pipeline).status, 201);
    let post = |body: Value| send(&fleet, server, Method::POST, "/schedules", &body);
    for (wrong, status, code) in [
        (
            json!({"name": "s", "pipeline": "sums", "cron": "every day"}),
            422,
            "invalid_cron",
        ),
        (
            json!({"name": "s", "pipeline": "sums", "cron": "0 0 30 2 *"}),
            422,
            "invalid_cron",
        ),
        (
            json!({"name": "s", "pipeline": "sums", "cron": "@daily", "time_zone": "Mars"}),
            422,
            "invalid_time_zone",
        ),
        (
            json!({"name": "s", "pipeline": "none", "cron": "@daily"}),
            422,
            "pipeline_not_found",
        ),
        (
            json!({"name": "s", "pipeline": "sums", "version": 9, "cron": "@daily"}),
            422,
            "pipeline_version_not_found",
        ),
        (
            json!({"name": "preview", "pipeline": "sums", "cron": "@daily"}),
            422,
            "invalid_request",
        ),
        (
            json!({"name": "s", "pipeline": "sums", "cron": "@daily", "often": true}),
            422,
            "invalid_request",
        ),
    ] {
        assert_problem(&post(wrong), status, code);
    }
    let preview = get(
        &fleet,
        server,
        "/schedules/preview?cron=30+2+*+*+*&time_zone=Europe/Berlin",
    )
    .body;
    assert_eq!(preview["times"].as_array().map(Vec::len), Some(10), "{preview}");

    let daily = post(json!({"name": "daily", "pipeline": "sums", "cron": "@daily", "suspend": true}));
    assert_eq!(
        (daily.status, &daily.body["state"]),
        (201, &json!("suspended")),
        "{}",
        daily.body
    );
    assert_eq!(daily.body["next_at"], Value::Null);
    let resumed = send(&fleet, server, Method::POST, "/schedules/daily/resume", &json!({}));
    assert_eq!(
        (&resumed.body["state"], resumed.body["next_at"].is_string()),
        (&json!("scheduled"), true)
    );
    let stale = [("if-match", daily.header("etag").expect("a tag"))];
    let change = json!({"pipeline": "sums", "cron": "@hourly"});
    let refused = send_with(&fleet, server, Method::PUT, "/schedules/daily", &change, &stale);
    assert_problem(&refused, 412, "precondition_failed");
    let triggered = send(&fleet, server, Method::POST, "/schedules/daily/trigger", &json!({}));
    assert_eq!(
        triggered.body["schedule"],
        json!({"name": "daily", "at": null}),
        "{}",
        triggered.body
    );
    assert_problem(
        &send(&fleet, server, Method::DELETE, "/pipelines/sums", &json!({})),
        409,
        "pipeline_in_use",
    );

    post(json!({"name": "yearly", "pipeline": "sums", "cron": "@yearly"}));
    let at = (now_ms() / 1_000 + 3) * 1_000;
    set_next(&fleet, "yearly", at);
    let run = until("the run of a time", || {
        let made = runs(&fleet, server, "schedule=yearly").pop()?;
        Some(get(&fleet, server, &format!("/runs/{made}")).body)
    });
    assert_eq!(run["schedule"], json!({"name": "yearly", "at": time(at)}), "{run}");
    assert!(
        run["created_at"].as_str() >= time(at).as_str(),
        "not before its time: {run}"
    );
    assert_eq!(run["created_by"], "schedule yearly");
    let known = schedule_that(&fleet, server, "yearly", |schedule| schedule["last_run"].is_string());
    assert_eq!(
        (&known["last_run"], &known["last_at"]),
        (&run["id"], &run["schedule"]["at"])
    );
    let next = known["next_at"].as_str().expect("there are more");
    assert!(next.ends_with(":00.000Z") && Some(next) > time(at).as_str(), "{known}");

    // Whichever server made it, the other one makes the next.
    fleet.kill(server);
    let server = servers[1];
    let at = now_ms();
    set_next(&fleet, "yearly", at);
    schedule_that(&fleet, server, "yearly", |schedule| schedule["last_run"] != run["id"]);
    let made = runs(&fleet, server, "schedule=yearly");
    assert!(made.len() > 1, "the one before is still there");
    let mut times: Vec<Value> = made
        .iter()
        .map(|run| get(&fleet, server, &format!("/runs/{run}")).body["schedule"]["at"].clone())
        .collect();
    times.dedup();
    assert_eq!(times.len(), made.len(), "a run for each time: {times:?}");
    let list = fleet.client_ok(server, ["schedules", "list"]);
    assert!(list.contains("yearly") && list.contains("daily"), "{list}");
    fleet.client_ok(server, ["schedules", "delete", "yearly"]);
    assert_eq!(fleet.client(server, ["schedules", "get", "yearly"]).code, Some(4));
}

#[test]
fn a_time_that_comes_while_a_run_is_under_way_goes_by_the_policy() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    make_pipeline(&fleet, server);
    // Nobody works, so that runs stay under way.
    let first_run = |policy: &str| {
        let schedule = json!({"name": policy, "pipeline": "sums", "cron": "@yearly", "concurrency_policy": policy});
        make(&fleet, server, "/schedules", &schedule);
        let first = come(&fleet, server, policy)["last_run"].clone();
        first.as_str().expect("a run").to_owned()
    };
    let run = |id: &str| get(&fleet, server, &format!("/runs/{id}")).body;

    let first = first_run("allow");
    let second = come(&fleet, server, "allow");
    assert_eq!(runs(&fleet, server, "schedule=allow").len(), 2);
    assert_eq!((&run(&first)["result"], &second["skipped"]), (&Value::Null, &json!(0)));

    let first = first_run("forbid");
    let skipped = come(&fleet, server, "forbid");
    assert_eq!(
        (&skipped["skipped"], &skipped["skipped_at"], &skipped["reason"]["code"]),
        (&json!(1), &skipped["last_at"], &json!("still_running")),
        "{skipped}"
    );
    let message = skipped["reason"]["message"].as_str().expect("a message");
    assert!(message.contains(&first), "{message}");
    assert_eq!(runs(&fleet, server, "schedule=forbid"), std::slice::from_ref(&first));
    fleet.client_ok(server, ["runs", "cancel", &first]);
    end_of(&fleet, server, &first);
    let after = come(&fleet, server, "forbid");
    assert_eq!(runs(&fleet, server, "schedule=forbid").len(), 2);
    assert_eq!(
        (&after["skipped"], &after["reason"]),
        (&json!(1), &Value::Null),
        "{after}"
    );

    let first = first_run("replace");
    let replaced = come(&fleet, server, "replace");
    let old = run(&first);
    assert_eq!(
        (&old["state"], &old["result"]),
        (&json!("finished"), &json!("cancelled")),
        "{old}"
    );
    assert!(
        old["reason"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("schedule replace")),
        "it says who did it: {old}"
    );
    let [new, same_old] = &runs(&fleet, server, "schedule=replace")[..] else {
        panic!("one run for each of two times")
    };
    assert_eq!((same_old, &replaced["last_run"]), (&first, &json!(new)));
    let new = run(new);
    assert_eq!(
        (&new["result"], &new["schedule"]["at"]),
        (&Value::Null, &replaced["last_at"]),
        "{new}"
    );
    assert_eq!(
        (&replaced["skipped"], &replaced["reason"]),
        (&json!(0), &Value::Null),
        "{replaced}"
    );
}

#[test]
fn times_at_which_no_server_was_there_are_caught_up_with() {
    let mut fleet = Fleet::new();
    let first = fleet.server(&[]);
    make_pipeline(&fleet, first);
    // Ten minutes ago, and hourly before that.
    let last = (now_ms() / MINUTE_MS - 10) * MINUTE_MS;
    let cron = format!("{} * * * *", last / MINUTE_MS % 60);
    let cases = [
        // The name, what is said of catching up, and the hours ago that get a run.
        ("none", json!({}), &[][..]),
        ("patient", json!({"start_deadline_s": 1_200}), &[0]),
        ("latest", json!({"catch_up": "latest"}), &[0]),
        ("impatient", json!({"catch_up": "latest", "start_deadline_s": 300}), &[]),
        ("all", json!({"catch_up": "all"}), &[2, 1, 0]),
        ("recent", json!({"catch_up": "all", "start_deadline_s": 5_400}), &[1, 0]),
        ("suspended", json!({"catch_up": "all", "suspend": true}), &[]),
    ];
    for (name, more, _) in &cases {
        let mut schedule = json!({"name": name, "pipeline": "sums", "cron": cron});
        let fields = schedule.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        make(&fleet, first, "/schedules", &schedule);
    }
    fleet.kill(first);
    for (name, _, _) in &cases[..cases.len() - 1] {
        set_next(&fleet, name, last - 120 * MINUTE_MS);
    }

    let server = fleet.server(&[]);
    for (name, _, hours) in &cases[..cases.len() - 1] {
        let schedule = schedule_that(&fleet, server, name, |schedule| {
            let left_out = schedule["skipped"].as_u64().expect("a number");
            left_out + runs(&fleet, server, &format!("schedule={name}")).len() as u64 >= 3
                && schedule["next_at"].as_str() > schedule["updated_at"].as_str()
        });
        let made = runs(&fleet, server, &format!("schedule={name}"));
        let mut times: Vec<_> = made
            .iter()
            .map(|run| get(&fleet, server, &format!("/runs/{run}")).body["schedule"]["at"].clone())
            .collect();
        times.sort_by_key(|time| time.as_str().map(str::to_owned));
        let expected: Vec<_> = hours.iter().map(|hours| time(last - hours * 60 * MINUTE_MS)).collect();
        assert_eq!(times, expected, "{name}");
        assert_eq!(schedule["skipped"], json!(3 - hours.len()), "{schedule}");
        assert_eq!(schedule["next_at"], time(last + 60 * MINUTE_MS), "{schedule}");
        assert_eq!(schedule["last_at"], time(last), "{schedule}");
        if hours.is_empty() {
            assert_eq!(schedule["reason"]["code"], "missed", "{schedule}");
        }
    }
    assert_eq!(runs(&fleet, server, "schedule=suspended"), Vec::<String>::new());
}

#[test]
fn a_schedule_keeps_as_many_old_runs_as_it_says() {
    let mut fleet = Fleet::new();
    let first = fleet.server(&[]);
    fleet.worker(2);
    make_pipeline(&fleet, first);
    let missing = PIPELINE.replace("Create", "ReadFromText");
    let missing = missing.replace(
        "{elements: [1, 2]}",
        &format!("{{path: 's3://{}/none.txt'}}", fleet.bucket),
    );
    make(
        &fleet,
        first,
        "/pipelines",
        &json!({"name": "broken", "definition": {"pipeline": missing}}),
    );
    let triggered = |pipeline: &str, result: &str, number: usize| -> Vec<String> {
        let schedule = json!({
            "name": pipeline, "pipeline": pipeline, "cron": "@yearly", "successful_run_history_limit": 2,
            "failed_run_history_limit": 1,
        });
        make(&fleet, first, "/schedules", &schedule);
        let run = |_| {
            let run = make(&fleet, first, &format!("/schedules/{pipeline}/trigger"), &json!({}));
            let run = run.body["id"].as_str().expect("an id").to_owned();
            assert_eq!(end_of(&fleet, first, &run)["result"], result);
            run
        };
        (0..number).map(run).collect()
    };
    let good = triggered("sums", "succeeded", 4);
    let mut bad = triggered("broken", "failed", 1);
    // One that was cancelled counts with those that failed.
    limit_runs(&fleet, first, &json!(0));
    let waiting = make(&fleet, first, "/schedules/broken/trigger", &json!({})).body;
    assert_eq!(waiting["state"], "queued", "{waiting}");
    assert_eq!(waiting["durations"]["queued_ms"], Value::Null, "{waiting}");
    let listed = get(&fleet, first, "/runs?state=queued").body;
    assert_eq!(listed["items"][0]["id"], waiting["id"], "{listed}");
    let waiting = waiting["id"].as_str().expect("an id").to_owned();
    let cancelled = send(
        &fleet,
        first,
        Method::POST,
        &format!("/runs/{waiting}/cancel"),
        &Value::Null,
    );
    assert_eq!(cancelled.status, 202, "{}", cancelled.body);
    assert_eq!(
        end_of(&fleet, first, &waiting)["result"],
        "cancelled",
        "it needs no room for that"
    );
    limit_runs(&fleet, first, &Value::Null);
    bad.push(waiting);
    let has_history = |fleet: &Fleet, run: &str| !fleet.objects(&format!("weir/history/default/runs/{run}")).is_empty();
    for run in good.iter().chain(&bad) {
        // The first server may have looked already.
        let is_gone = || get(&fleet, first, &format!("/runs/{run}")).status == 404;
        until("its history to be written", || {
            (has_history(&fleet, run) || is_gone()).then_some(())
        });
    }

    // Whoever leads next looks at once.
    fleet.kill(first);
    let server = fleet.server(&[]);
    until("old runs to be forgotten", || {
        let left = [
            runs(&fleet, server, "schedule=sums"),
            runs(&fleet, server, "schedule=broken"),
        ];
        (left == [vec![good[3].clone(), good[2].clone()], vec![bad[1].clone()]]).then_some(())
    });
    for (run, is_kept) in [
        (&good[0], false),
        (&good[1], false),
        (&good[2], true),
        (&good[3], true),
        (&bad[0], false),
        (&bad[1], true),
    ] {
        let status = get(&fleet, server, &format!("/runs/{run}")).status;
        assert_eq!(status, if is_kept { 200 } else { 404 });
        assert_eq!(has_history(&fleet, run), is_kept, "its objects go with it");
    }
}
