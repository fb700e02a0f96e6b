//! As many workers as there is work.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use weir_control_plane::provisioner::{
    EcsProvisioner, EcsService, Fleet, ProcessOptions, ProcessProvisioner, Provisioner,
};
use weir_control_plane::{ControlPlane, Options, ScalingOptions, ScalingStatus};
use weir_model::RunOutcome;
use weir_platform::{MemoryQueue, MemoryQueueOptions};
use weir_testkit::Aws;

use crate::kit::{Kit, eventually};
use crate::script::{Plan, To, submission};

/// Something that runs until it is told to stop, with a file to show for it.
fn stand_in(folder: &Path) -> Arc<ProcessProvisioner> {
    let script = "trap 'rm \"$FOLDER/$$\"; exit 0' TERM; echo > \"$FOLDER/$$\"; while :; do sleep 0.02; done";
    Arc::new(ProcessProvisioner::new(ProcessOptions {
        arguments: vec!["-c".into(), script.into()],
        environment: vec![("FOLDER".into(), folder.into())],
        drain: Duration::from_secs(20),
        ..ProcessOptions::new("bash")
    }))
}

fn options() -> ScalingOptions {
    ScalingOptions {
        max_workers: 3,
        slots_per_worker: 4,
        idle_ms: 200,
        interval_ms: 100,
        ..ScalingOptions::default()
    }
}

async fn kit(tasks: u32) -> Kit {
    let kit = Kit::with(move |_| To::Nothing { tasks }, |_| Plan::Graph).await;
    Kit {
        options: Options {
            lease_ms: 3_600_000,
            ..Options::service()
        },
        ..kit
    }
}

/// A control plane without any workers but those that it starts.
fn server(kit: &Kit) -> ControlPlane {
    let queue = || Arc::new(MemoryQueue::new(MemoryQueueOptions::default()));
    kit.control_plane(kit.store.clone(), queue(), queue())
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn workers_come_with_work_and_go_without_it() {
    let workers = tempfile::tempdir().unwrap();
    let kit = kit(10).await;
    let server = server(&kit);
    server.scale(options(), stand_in(workers.path()));
    let run = server.submit(submission()).await.unwrap();
    let running = async |n| eventually("so many run", async || (count(workers.path()) == n).then_some(())).await;
    running(3).await;
    let mut status = server.scaling();
    let shown = status.wait_for(|status| status.running == 3).await.unwrap();
    assert_eq!((shown.leads, shown.wanted), (true, 3));
    drop(shown);
    server.cancel(run, "me").await.unwrap();
    running(0).await;
    let row = kit.store.run_get(run).await.unwrap().unwrap();
    assert_eq!(row.summary.outcome, Some(RunOutcome::Cancelled));

    server.submit(submission()).await.unwrap();
    running(3).await;
    server.shutdown().await;
    assert_eq!(count(workers.path()), 0, "they end with their control plane");
}

#[tokio::test]
async fn one_control_plane_decides_and_another_follows_it() {
    let (of_first, of_second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let kit = kit(5).await;
    let (first, second) = (server(&kit), server(&kit));
    first.scale(options(), stand_in(of_first.path()));
    let leads = |status: &ScalingStatus| status.leads;
    first.scaling().wait_for(leads).await.unwrap();
    second.scale(options(), stand_in(of_second.path()));
    second.submit(submission()).await.unwrap();
    let running = async |folder: &Path, n| eventually("so many run", async || (count(folder) == n).then_some(())).await;
    running(of_first.path(), 2).await;
    assert!(!second.scaling().borrow().leads);
    assert_eq!(count(of_second.path()), 0);
    first.shutdown().await;
    assert_eq!(count(of_first.path()), 0);
    running(of_second.path(), 2).await;
    second.shutdown().await;
}

#[tokio::test]
async fn ecs_services_have_the_tasks_that_are_wanted() {
    let config = Aws::shared().await.sdk_config();
    let ecs = aws_sdk_ecs::Client::new(&config);
    ecs.create_cluster().cluster_name("weir").send().await.unwrap();
    let container = aws_sdk_ecs::types::ContainerDefinition::builder()
        .name("worker")
        .image("weir")
        .build();
    let registered = ecs
        .register_task_definition()
        .family("worker")
        .container_definitions(container);
    registered.send().await.unwrap();
    for name in ["spot", "steady"] {
        let created = ecs
            .create_service()
            .cluster("weir")
            .service_name(name)
            .task_definition("worker");
        created.desired_count(0).send().await.unwrap();
    }
    let service = |name: &str, weight| EcsService {
        name: name.to_owned(),
        weight,
    };
    let services = vec![service("spot", 3), service("steady", 1)];
    let workers = EcsProvisioner::new(&config, "weir", services).unwrap();
    assert_eq!(workers.current().await.unwrap().wanted, 0);
    let desired = async || {
        let described = ecs
            .describe_services()
            .cluster("weir")
            .services("spot")
            .services("steady");
        let services = described.send().await.unwrap().services.unwrap();
        let count = |name: &str| {
            let service = services
                .iter()
                .find(|service| service.service_name.as_deref() == Some(name));
            service.unwrap().desired_count
        };
        (count("spot"), count("steady"))
    };
    for (wanted, shares) in [(8, (6, 2)), (8, (6, 2)), (1, (1, 0)), (0, (0, 0))] {
        workers.set(wanted).await.unwrap();
        assert_eq!(desired().await, shares);
        let Fleet { wanted: now, .. } = workers.current().await.unwrap();
        assert_eq!(now, wanted);
    }
    let missing = EcsProvisioner::new(&config, "weir", vec![service("other", 1)]).unwrap();
    let error = missing.set(1).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot find the ECS service `other` in the cluster `weir`"
    );
    assert!(EcsProvisioner::new(&config, "weir", Vec::new()).is_err());
}
