//! Files in buckets, from a laptop.

use weir_testkit::Aws;

use crate::support::{Place, Ran};

#[test]
fn runs_here_read_and_write_buckets() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let aws = runtime.block_on(Aws::start());
    let bucket = runtime.block_on(aws.bucket());
    let place = Place::new();
    let weir = |args: &[&str]| {
        let mut command = place.command(args);
        command.envs(aws.environment()).env("WEIR_S3_PATH_STYLE", "true");
        let ran = Ran::from(command.output().expect("the command starts"));
        assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
        ran.stdout
    };
    let copy = format!("COPY (SELECT v AS id FROM generate_series(1, 100) AS t(v)) TO 's3://{bucket}/in/ids.csv'");
    weir(&["sql", &copy]);

    let pipeline = format!(
        r#"
pipeline:
  type: chain
  transforms:
    - {{type: ReadFromCsv, config: {{path: "s3://{bucket}/in/*.csv"}}}}
    - {{type: Filter, config: {{keep: id > 98, language: calcite}}}}
    - {{type: WriteToParquet, config: {{path: "s3://{bucket}/out/last.parquet"}}}}
"#
    );
    place.write("last.yaml", pipeline);
    // The second run replaces what the first one wrote.
    for _ in 0..2 {
        let shown = weir(&["run", "last.yaml"]);
        assert!(shown.contains("wrote 2 rows"), "{shown}");
        assert!(shown.contains("| 99 ") && shown.contains("| 100"), "{shown}");
    }
    let table = format!("t=s3://{bucket}/out");
    let shown = weir(&[
        "sql",
        "SELECT count(*) AS n, sum(id) AS s FROM t",
        "--table",
        &table,
        "-o",
        "json",
    ]);
    assert!(shown.contains("199"), "{shown}");
}
