//! Control planes that die, and others that go on.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use weir_control_plane::store::{Acquired, Lease};
use weir_control_plane::{Error as ControlPlaneError, Options};
use weir_model::RunOutcome;

use crate::history::check_history;
use crate::kit::{Kit, PATIENCE, eventually};
use crate::mortal::{Death, Mortal, Renewals};
use crate::script::{Act, MAPS, REDUCES, submission, task};

async fn kit_with_lease(lease_ms: u64) -> Kit {
    let kit = Kit::new().await;
    let options = Options {
        lease_ms,
        ..kit.options.clone()
    };
    Kit { options, ..kit }
}

/// Runs the job in a process that dies at the given append, and again in another; says whether the first one died.
async fn survives(death: Death, appends: i64) -> bool {
    let kit = Kit::new().await;
    let mortal = Mortal::new(kit.store.clone(), death, appends);
    let mut dead = mortal.dead.subscribe();
    let first = kit.process_over(mortal);
    let run = first.control_plane.submit(submission()).await.unwrap();
    let died = tokio::select! {
        died = dead.wait_for(|dead| *dead) => died.map(|died| *died).unwrap(),
        () = eventually("the run is cleaned up", async || {
            kit.store.run_get(run).await.unwrap().unwrap().cleaned.then_some(())
        }) => false,
    };
    first.kill().await;
    kit.expire(run).await;
    let before: HashMap<_, _> = kit
        .acceptances(run)
        .await
        .into_iter()
        .map(|task| (task, kit.runner.executions(task)))
        .collect();

    let second = kit.process();
    let when = format!("died {death:?} append {appends}");
    match second.control_plane.resume(run).await {
        Ok(()) => {
            let snapshot = second.finished(run).await;
            assert_eq!(
                snapshot.outcome,
                Some(RunOutcome::Succeeded),
                "{when}: {:?}",
                snapshot.reason
            );
        }
        Err(ControlPlaneError::Finished { .. }) => {}
        Err(error) => panic!("{when}: {error}"),
    }
    kit.check_output();
    let mut accepted = kit.acceptances(run).await;
    accepted.sort();
    accepted.dedup();
    assert_eq!(accepted.len() as u32, MAPS + REDUCES, "{when}: every task was accepted");
    assert_eq!(
        kit.acceptances(run).await.len(),
        accepted.len(),
        "{when}: and only once"
    );
    for (task, executions) in before {
        assert_eq!(
            kit.runner.executions(task),
            executions,
            "{when}: accepted task {task} ran again"
        );
    }
    eventually("the clean-up is noted", async || {
        kit.store.run_get(run).await.unwrap().unwrap().cleaned.then_some(())
    })
    .await;
    assert_eq!(kit.objects(run), Vec::<String>::new(), "{when}");
    check_history(&*kit.store, &kit.storage, run).await;
    died
}

#[tokio::test]
async fn a_crash_before_any_append_loses_no_accepted_work_and_doubles_no_output() {
    let mut appends = 0;
    while survives(Death::Before, appends).await {
        appends += 1;
    }
    assert!(appends > 4, "the job has some steps: {appends}");
}

#[tokio::test]
async fn a_crash_between_any_append_and_its_effects_loses_no_accepted_work_and_doubles_no_output() {
    let mut appends = 0;
    while survives(Death::After, appends).await {
        appends += 1;
    }
    assert!(appends > 4, "the job has some steps: {appends}");
}

#[tokio::test]
async fn a_run_whose_owner_is_alive_is_not_taken_over() {
    let kit = kit_with_lease(1_500).await;
    kit.runner.script(|_, _| Act::Hang);
    let (first, second) = (kit.process(), kit.process());
    let run = first.control_plane.submit(submission()).await.unwrap();
    let refused = second.control_plane.resume(run).await.unwrap_err();
    assert!(matches!(refused, ControlPlaneError::Owned { .. }), "{refused}");
    assert_eq!(second.control_plane.unfinished(None, 10).await.unwrap()[0].run, run);
    first.control_plane.resume(run).await.unwrap();
}

#[tokio::test]
async fn after_a_kill_another_control_plane_goes_on_when_the_lease_has_run_out() {
    let kit = kit_with_lease(1_500).await;
    kit.runner.script(|id, nth| match (id == task(1, 1), nth) {
        (true, 1) => Act::Hang,
        _ => Act::Work,
    });
    let first = kit.process();
    let run = first.control_plane.submit(submission()).await.unwrap();
    first
        .until(run, |snapshot| {
            snapshot.stages.get(1).is_some_and(|stage| stage.done == 2)
        })
        .await;
    first.kill().await;

    let second = kit.process();
    second.control_plane.resume(run).await.unwrap();
    let snapshot = second.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Succeeded), "{:?}", snapshot.reason);
    kit.check_output();
    assert_eq!(
        kit.runner.all_executions(),
        MAPS + REDUCES + 1,
        "only the task that hung ran again"
    );
}

#[tokio::test]
async fn a_shutdown_gives_runs_back_at_once() {
    let kit = kit_with_lease(3_600_000).await;
    kit.runner.script(|id, nth| match (id == task(1, 1), nth) {
        (true, 1) => Act::Hang,
        _ => Act::Work,
    });
    let first = kit.process();
    let run = first.control_plane.submit(submission()).await.unwrap();
    first
        .until(run, |snapshot| {
            snapshot.stages.get(1).is_some_and(|stage| stage.done == 2)
        })
        .await;
    let mut watch = first.control_plane.watch(run).await.unwrap();
    first.stop_worker();
    let start = Instant::now();
    first.control_plane.shutdown().await;
    assert!(start.elapsed() < Duration::from_secs(30), "it waits for nothing");
    while watch.changed().await.is_ok() {}
    assert_eq!(watch.borrow().outcome, None);

    let second = kit.process();
    second.control_plane.resume(run).await.unwrap();
    assert_eq!(second.finished(run).await.outcome, Some(RunOutcome::Succeeded));
    kit.check_output();
}

#[tokio::test]
async fn an_owner_that_cannot_renew_its_lease_stops_and_another_takes_over() {
    let mut kit = kit_with_lease(60).await;
    kit.runner.script(|id, _| match id.stage.0 {
        1 => Act::WorkAfter(Duration::from_millis(200)),
        _ => Act::Work,
    });
    let cut_off = Mortal::new(kit.store.clone(), Death::After, i64::MAX);
    cut_off.renewals.send_replace(Renewals::Fail);
    let first = kit.process_over(cut_off);
    kit.options.lease_ms = 30_000;
    let second = kit.process();
    let run = first.control_plane.submit(submission()).await.unwrap();
    let mut watch = first.control_plane.watch(run).await.unwrap();
    let stopped = async { while watch.changed().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(30), stopped)
        .await
        .expect("it stops driving");
    assert_eq!(watch.borrow().outcome, None);

    // What it still runs belongs to nobody, and what it staged after the end of the run would be left.
    first.kill_worker().await;
    second.control_plane.resume(run).await.unwrap();
    let snapshot = second.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Succeeded), "{:?}", snapshot.reason);
    kit.check_output();
    assert_eq!(kit.acceptances(run).await.len() as u32, MAPS + REDUCES);
}

#[tokio::test]
async fn a_run_whose_lease_cannot_be_renewed_in_time_takes_no_other_with_it() {
    let kit = kit_with_lease(400).await;
    kit.runner.script(|_, _| Act::Hang);
    let store = Mortal::new(kit.store.clone(), Death::After, i64::MAX);
    let process = kit.process_over(store.clone());
    let held_up = process.control_plane.submit(submission()).await.unwrap();
    let other = process.control_plane.submit(submission()).await.unwrap();
    store.renewals.send_replace(Renewals::HangFor(held_up));
    let mut watch = process.control_plane.watch(held_up).await.unwrap();
    let stopped = async { while watch.changed().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, stopped).await.expect("it stops driving");
    // The lease of the other one would have run out as well.
    for _ in 0..3 {
        let before = kit.store.run_get(other).await.unwrap().unwrap().owned_until;
        eventually("its lease is renewed", async || {
            let row = kit.store.run_get(other).await.unwrap().unwrap();
            (row.owned_until > before).then_some(())
        })
        .await;
    }
    assert!(process.control_plane.watch_driven(other).is_some(), "it goes on");
}

#[tokio::test]
async fn an_owner_that_was_overtaken_in_its_sleep_writes_nothing_more() {
    let kit = kit_with_lease(1_500).await;
    let process = kit.process();
    kit.runner.script(|_, _| Act::WorkAfter(Duration::from_millis(300)));
    let run = process.control_plane.submit(submission()).await.unwrap();
    let mut watch = process.control_plane.watch(run).await.unwrap();
    process
        .until(run, |snapshot| {
            snapshot.stages.first().is_some_and(|stage| stage.running > 0)
        })
        .await;
    // As if this process had slept for longer than its lease.
    kit.store.lease_release(&Lease { run, epoch: 1 }).await.unwrap();
    let taken = kit
        .store
        .lease_acquire(run, "another", Duration::from_secs(3_600))
        .await
        .unwrap();
    assert_eq!(taken, Acquired::Lease(Lease { run, epoch: 2 }));
    let events = kit.events(run).await.len();
    let stopped = async { while watch.changed().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(30), stopped)
        .await
        .expect("it stops driving");
    assert_eq!(kit.events(run).await.len(), events);
}
