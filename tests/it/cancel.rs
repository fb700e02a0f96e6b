//! Ctrl-C.

use crate::jobs::ENDLESS;
use crate::support::{Place, Started};

#[test]
fn ctrl_c_cancels_and_leaves_nothing() {
    let place = Place::new();
    place.write("p.yaml", ENDLESS);
    let mut run = Started::new(&place, ["run", "p.yaml", "--param", "output=out/never", "--slots", "2"]);
    run.wait_for_event(&place, "attempt_started");
    run.kill("INT");
    let ran = run.end();
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    assert!(ran.stderr.contains("cancelling run"), "{}", ran.stderr);
    let got = place.ok(["runs", "get", "latest"]);
    assert!(got.contains("state    cancelled"), "{got}");
    assert!(!place.path("out").exists() || std::fs::read_dir(place.path("out")).unwrap().next().is_none());
}
