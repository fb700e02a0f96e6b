//! What is deleted since nothing needs it, and what stays.

use std::fs::File;
use std::time::{Duration, SystemTime};

use reqwest::Method;
use serde_json::{Value, json};
use weir_model::Digest;

use super::fleet::{Fleet, MemberId, until};
use super::pipelines::{end_of, send};
use crate::support::repository;

/// Longer than a module is kept that nothing uses.
const OLD: Duration = Duration::from_secs(8 * 24 * 3_600);

/// Uploads a component that is like no other; gives its digest.
fn upload(fleet: &Fleet, server: MemberId, number: u8) -> String {
    let mut bytes = std::fs::read(repository().join("examples/wordcount/tokenizer.wasm")).expect("the component");
    // A section that means nothing: its length, and its name with the length of that.
    bytes.extend([0, 3, 1, b'n', number]);
    let digest = Digest::of(&bytes).to_string();
    let path = format!("/api/v1/modules/{digest}");
    let put = fleet.request(
        server,
        Method::PUT,
        &path,
        &[("content-type", "application/wasm")],
        bytes,
    );
    assert_eq!(put.status, 201, "{}", put.body);
    digest
}

#[test]
fn a_module_stays_as_long_as_a_pipeline_or_a_run_names_it() {
    let mut fleet = Fleet::new();
    // A folder, whose files can be made old.
    let storage = fleet.place.path("storage");
    fleet.set("WEIR_STORAGE", &storage.display().to_string());
    fleet.set("WEIR_HOUSEKEEPING_MS", "1000");
    let server = fleet.server(&[]);
    let [of_pipeline, of_version, of_run, of_nothing] = [0, 1, 2, 3].map(|number| upload(&fleet, server, number));
    let there = |digest: &str| {
        let path = format!("/api/v1/modules/{digest}");
        fleet.request(server, Method::HEAD, &path, &[], "").status == 200
    };
    let age = |digest: &str| {
        let file = storage.join(format!("modules/default/{digest}.wasm"));
        let file = File::options().write(true).open(file).expect("the module's file");
        file.set_modified(SystemTime::now() - OLD).expect("its time can be set");
    };
    let job = |digest: &str| json!({"sql": {"statement": "SELECT 1 AS one"}, "modules": {"a.wasm": digest}});
    let put = |digest: &str| {
        let body = json!({"definition": job(digest)});
        let put = send(&fleet, server, Method::PUT, "/pipelines/p", &body);
        assert!([200, 201].contains(&put.status), "{}", put.body);
    };
    // The first version still names a module when there is a second.
    put(&of_version);
    put(&of_pipeline);
    // Nobody works: it stays under way.
    let run = send(&fleet, server, Method::POST, "/runs", &job(&of_run));
    let run = run.body["id"].as_str().expect("an id").to_owned();

    let named = [&of_pipeline, &of_version, &of_run];
    named.into_iter().chain([&of_nothing]).for_each(|digest| age(digest));
    until("what nothing names to be deleted", || {
        (!there(&of_nothing)).then_some(())
    });
    assert!(named.into_iter().all(|digest| there(digest)));

    // Once more with nothing but the run.
    let deleted = send(&fleet, server, Method::DELETE, "/pipelines/p", &Value::Null);
    assert_eq!(deleted.status, 204, "{}", deleted.body);
    until("what nothing names any more to be deleted", || {
        (!there(&of_pipeline) && !there(&of_version)).then_some(())
    });
    assert!(there(&of_run));
    // A run that is over can be tried again.
    send(
        &fleet,
        server,
        Method::POST,
        &format!("/runs/{run}/cancel"),
        &Value::Null,
    );
    end_of(&fleet, server, &run);
    let other = upload(&fleet, server, 4);
    age(&other);
    until("another round", || (!there(&other)).then_some(()));
    assert!(there(&of_run));
}
