//! Jobs over buckets, as servers run them: tables and outputs in S3, and no file of the machine.

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use weir_engine::PlanError;
use weir_model::{FailureKind, Job, OutputManifest, StageOutput, Submission};
use weir_platform::output::{self, SinkOutput};

use crate::driver::{Driver, Failed, MEMORY_BYTES, Run, sql};

/// Makes the outputs of a run visible, as a control plane does.
async fn commit(driver: &Driver, run: &Run) -> Vec<OutputManifest> {
    let mut outputs = Vec::new();
    for (stage, accepted) in run.graph.stages.iter().zip(&run.outputs) {
        if let StageOutput::Sink(sink) = &stage.output {
            let files = accepted.iter().flat_map(|output| output.files.clone()).collect();
            outputs.push(SinkOutput {
                sink: sink.clone(),
                files,
            });
        }
    }
    output::commit(driver.storage.s3(), run.id, outputs).await.unwrap()
}

fn pipeline(base: &str, yaml: &str) -> Submission {
    let mut submission = sql("", &[], 3);
    submission.base = base.to_owned();
    submission.job = Job::Pipeline {
        yaml: yaml.to_owned(),
        file: "p.yaml".to_owned(),
        params: Default::default(),
    };
    submission
}

fn table(rows: &[RecordBatch]) -> String {
    pretty_format_batches(rows).unwrap().to_string()
}

async fn put(driver: &Driver, bucket: &str, path: &str, text: &str) {
    let store = driver.storage.s3().bucket(bucket);
    store
        .put(&path.into(), PutPayload::from(text.to_owned()))
        .await
        .unwrap();
}

async fn names(driver: &Driver, bucket: &str, prefix: &str) -> Vec<String> {
    let store = driver.storage.s3().bucket(bucket);
    assert_eq!(
        store.uploads("").try_collect::<Vec<_>>().await.unwrap(),
        [],
        "no upload is left"
    );
    let listed: Vec<_> = store.list(Some(&prefix.into())).try_collect().await.unwrap();
    listed.iter().map(|object| object.location.to_string()).collect()
}

#[tokio::test]
async fn copies_are_read_back_in_every_format() {
    let (driver, bucket) = Driver::in_bucket().await;
    let query = "select v as id, 'row ' || v as name from generate_series(1, 1000) as t(v)";
    for extension in ["parquet", "csv", "json"] {
        let target = format!("s3://{bucket}/out/{extension}/part.{extension}");
        let copy = sql(&format!("copy ({query}) to '{target}'"), &[], 4);
        let run = driver.run(&copy).await.unwrap();
        let manifests = commit(&driver, &run).await;
        assert_eq!(manifests[0].rows, 1000);
        let names = names(&driver, &bucket, &format!("out/{extension}")).await;
        assert_eq!(names.len(), manifests[0].files.len() + 1, "{names:?}");

        let folder = format!("s3://{bucket}/out/{extension}");
        let file = format!("{folder}/part-*.{extension}");
        for path in [folder.clone(), format!("{folder}/"), file] {
            let read = sql(
                "select count(*) as c, sum(id) as s, max(name) as m from t",
                &[("t", path.clone())],
                3,
            );
            let rows = table(&driver.rows(&read).await.unwrap());
            assert!(rows.contains("| 1000 | 500500 | row 999 |"), "{path}:\n{rows}");
        }
    }
}

#[tokio::test]
async fn pipelines_read_and_write_buckets() {
    let (driver, bucket) = Driver::in_bucket().await;
    put(&driver, &bucket, "in/a b.csv", "id,name\n1,one\n2,two\n").await;
    put(&driver, &bucket, "in/c.csv", "id,name\n3,three\n").await;
    let formats = [
        ("Text", "Text"),
        ("Csv", "Csv"),
        ("Json", "Json"),
        ("Parquet", "Parquet"),
    ];
    for (format, _) in formats {
        let fields = match format {
            "Text" => "name: name",
            _ => "id: id, name: name",
        };
        let write = format!(
            "pipeline:\n  type: chain\n  transforms:\n    - {{type: ReadFromCsv, config: {{path: 'in/*.csv'}}}}\n    - \
             {{type: MapToFields, config: {{fields: {{{fields}}}}}}}\n    - {{type: WriteTo{format}, config: {{path: \
             out/{format}/rows}}}}\n"
        );
        // Relative paths start from the place of the pipeline.
        let run = driver.run(&pipeline(&format!("s3://{bucket}"), &write)).await.unwrap();
        let manifests = commit(&driver, &run).await;
        assert_eq!(manifests[0].rows, 3);

        let read = format!(
            "pipeline:\n  type: chain\n  transforms:\n    - {{type: ReadFrom{format}, config: {{path: \
             's3://{bucket}/out/{format}/rows-*'}}}}\n    - {{type: WriteToJson, config: {{path: \
             's3://{bucket}/again/{format}/rows', num_shards: 1}}}}\n"
        );
        let run = driver.run(&pipeline("s3://elsewhere", &read)).await.unwrap();
        assert_eq!(commit(&driver, &run).await[0].rows, 3);
        let path = format!("again/{format}/rows-00000-of-00001");
        let store = driver.storage.s3().bucket(bucket.as_str());
        let text = store.get(&path.into()).await.unwrap().bytes().await.unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines.iter().any(|line| line.contains("three")), "{text}");
    }
}

#[tokio::test]
async fn an_attempt_that_fails_leaves_no_upload() {
    let (driver, bucket) = Driver::in_bucket().await;
    let target = format!("s3://{bucket}/out/part.csv");
    let query = "select 100 / (9000 - v) as x from generate_series(1, 9000) as t(v)";
    let failed = driver.run(&sql(&format!("copy ({query}) to '{target}'"), &[], 1)).await;
    let Err(Failed::Task(_, failed)) = failed else {
        panic!("it divided by zero")
    };
    assert_eq!(failed.failure.code, "division_by_zero", "{:?}", failed.failure);
    // The upload is aborted in the background.
    let store = driver.storage.s3().bucket(bucket.as_str());
    let gone = async {
        loop {
            let uploads: Vec<_> = store.uploads("").try_collect().await.unwrap();
            let objects: Vec<_> = store.list(Some(&"out".into())).try_collect().await.unwrap();
            if uploads.is_empty() && objects.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), gone)
        .await
        .unwrap();
}

/// A message about `path`, which nobody but the machine's owner may read.
fn is_refusal(message: &str, path: &str) -> bool {
    message.contains("cannot reach the files of this server's machines") && message.contains(path)
}

#[tokio::test]
async fn servers_refuse_files_of_their_machines() {
    let (driver, bucket) = Driver::in_bucket().await;
    let query = |statement: &str, tables: &[(&str, String)]| sql(statement, tables, 2);
    let passwd = "/etc/passwd".to_owned();
    let mut external = query("select * from t", &[]);
    if let Job::Sql { setup, .. } = &mut external.job {
        setup.push("create external table t stored as csv location '/etc/passwd'".to_owned());
    }
    for submission in [
        query("select * from t", &[("t", passwd.clone())]),
        query("select * from t", &[("t", "file:///etc/passwd".to_owned())]),
        query("select * from t", &[("t", "../../etc/passwd".to_owned())]),
        query("copy (select 1 as x) to '/etc/passwd' stored as csv", &[]),
        query("copy (select 1 as x) to 'file:///etc/passwd' stored as csv", &[]),
        external,
    ] {
        match driver.rows(&submission).await {
            Err(Failed::Plan(error @ PlanError::Query(_))) => {
                assert!(is_refusal(&error.to_string(), "etc/passwd"), "{error}\n{submission:?}");
            }
            other => panic!("{other:?}\n{submission:?}"),
        }
    }
    // What is said of a folder that is there is said of one that is not.
    let external = |path: &str| {
        let mut submission = query("select * from t", &[]);
        if let Job::Sql { setup, .. } = &mut submission.job {
            setup.push(format!("create external table t stored as csv location '{path}'"));
        }
        submission
    };
    let table = |path: &str| query("select * from t", &[("t", path.to_owned())]);
    let copy = |path: &str| query(&format!("copy (select 1 as x) to '{path}' stored as csv"), &[]);
    let shapes: [&dyn Fn(&str) -> weir_model::Submission; 3] = [&external, &table, &copy];
    for shape in shapes {
        for prefix in ["", "file://"] {
            let mut told = Vec::new();
            for folder in ["/etc", "/cte"] {
                let path = format!("{prefix}{folder}");
                match driver.rows(&shape(&path)).await {
                    Err(Failed::Plan(error)) => told.push(error.to_string().replace(folder, "FOLDER")),
                    other => panic!("{other:?}\n{path}"),
                }
            }
            assert!(is_refusal(&told[0], "FOLDER"), "{told:?}");
            assert_eq!(told[0], told[1]);
        }
    }
    let read = "{type: ReadFromText, config: {path: /etc/passwd}}";
    let create = "{type: Create, config: {elements: [{x: 1}]}}";
    let write = format!("{{type: WriteToJson, config: {{path: 's3://{bucket}/out/x'}}}}");
    let local = "{type: WriteToJson, config: {path: /etc/passwd}}";
    for (first, second) in [(read, write.as_str()), (create, local)] {
        let yaml = format!("pipeline:\n  type: chain\n  transforms:\n    - {first}\n    - {second}\n");
        match driver.run(&pipeline("/", &yaml)).await {
            Err(Failed::Plan(PlanError::Pipeline(diagnostics))) => {
                let message = diagnostics.to_string();
                assert!(is_refusal(&message, "/etc/passwd"), "{message}");
                assert!(message.starts_with("p.yaml:"), "{message}");
            }
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it ran\n{yaml}"),
        }
    }
}

/// Whoever planned a task, workers of servers read and write no files of their machines.
#[tokio::test]
async fn workers_of_servers_refuse_files_as_well() {
    let (server, _) = Driver::in_bucket().await;
    let laptop = Driver::new(MEMORY_BYTES);
    let path = laptop.folder().join("in.csv");
    std::fs::write(&path, "id\n1\n").unwrap();
    let (input, target) = (path.display().to_string(), laptop.folder().join("out").join("x.csv"));
    let copy = format!("copy (select 1 as x) to '{}'", target.display());
    for submission in [sql("select * from t", &[("t", input)], 1), sql(&copy, &[], 1)] {
        let mut run = laptop.plan(&submission).await.unwrap();
        for stage in &run.graph.stages {
            let key = weir_model::layout::plan_key(run.id, &stage.plan.digest);
            let plan = laptop.storage.get(&key).await.unwrap();
            server.storage.put(&key, plan).await.unwrap();
        }
        match server.run_stage(&mut run, 0, &submission.settings).await {
            Err(Failed::Task(_, failed)) => {
                let failure = failed.failure;
                assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::User, "local_file"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(!target.parent().unwrap().exists());
}

#[tokio::test]
async fn what_is_wrong_with_a_bucket_is_said() {
    let (driver, bucket) = Driver::in_bucket().await;
    let missing = sql("select * from t", &[("t", format!("s3://{bucket}/none/*.csv"))], 1);
    let nowhere = sql("select * from t", &[("t", "s3://no-such-bucket/a.csv".to_owned())], 1);
    for (submission, expect) in [(missing, "no files at"), (nowhere, "no-such-bucket")] {
        match driver.rows(&submission).await {
            Err(Failed::Plan(error @ PlanError::Query(_))) => assert!(error.to_string().contains(expect), "{error}"),
            other => panic!("{other:?}"),
        }
    }
}
