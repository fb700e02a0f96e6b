//! How much a report adds to the log, without writing it.

use weir_model::{ReportBody, TaskMetrics};

/// Of a span of a shuffle object, and around the text of a log line.
const SMALL: usize = 64;
/// Of a file, an operator or a function.
const LARGE: usize = 256;
/// Of whatever else a report says.
const REST: usize = 1_024;

/// About as many bytes as a report adds to the log.
pub(super) fn bytes(body: &ReportBody) -> usize {
    match body {
        ReportBody::Started | ReportBody::Progress { .. } => REST,
        ReportBody::Failed { metrics, .. } => of_metrics(metrics),
        ReportBody::Succeeded { output } => {
            let spans = output.shuffle.as_ref().map_or(0, |shuffle| shuffle.index.len());
            of_metrics(&output.metrics) + SMALL * spans + LARGE * output.files.len()
        }
    }
}

fn of_metrics(metrics: &TaskMetrics) -> usize {
    let lines = metrics.logs.iter();
    let lines: usize = lines.map(|line| SMALL + line.source.len() + line.message.len()).sum();
    REST + LARGE * (metrics.operators.len() + metrics.functions.len()) + lines
}

#[cfg(test)]
mod tests {
    use weir_model::{
        FunctionMetrics, LogLevel, LogLine, OperatorMetrics, OutputFile, PartitionSpan, ShuffleObject, Staged,
        TaskOutput,
    };

    use super::*;

    fn check(what: &str, output: TaskOutput) {
        let written = serde_json::to_string(&output).unwrap().len();
        let guessed = bytes(&ReportBody::Succeeded { output });
        assert!(
            (written / 2..=written * 2).contains(&guessed),
            "{what}: {guessed} for {written}"
        );
    }

    #[test]
    fn the_size_of_large_reports_is_known_about() {
        let span = |partition| PartitionSpan {
            partition,
            offset: u64::from(partition) * 123_456,
            length: 123_456,
            rows: 1_234,
        };
        let shuffle = ShuffleObject {
            key: "runs/x/shuffle/0/1".to_owned(),
            index: (0..10_000).map(span).collect(),
        };
        check(
            "a wide shuffle",
            TaskOutput {
                shuffle: Some(shuffle),
                ..TaskOutput::default()
            },
        );
        let file = OutputFile {
            target: "s3://a-bucket/a/folder/part-00000-of-00010.parquet".to_owned(),
            staged: Staged::File {
                path: "s3://a-bucket/a/folder/_weir/staging-0123456789/part-00000-of-00010".to_owned(),
            },
            rows: 1_000_000,
            bytes: 100_000_000,
        };
        check(
            "many files",
            TaskOutput {
                files: vec![file; 1_000],
                ..TaskOutput::default()
            },
        );
        let metrics = TaskMetrics {
            operators: vec![
                OperatorMetrics {
                    name: "HashJoinExec".to_owned(),
                    rows: 123_456,
                    ..OperatorMetrics::default()
                };
                1_000
            ],
            functions: vec![
                FunctionMetrics {
                    name: "tokenize".to_owned(),
                    ..FunctionMetrics::default()
                };
                100
            ],
            logs: vec![
                LogLine {
                    level: LogLevel::Info,
                    source: "tokenize".to_owned(),
                    message: "x".repeat(1_000),
                };
                1_000
            ],
            ..TaskMetrics::default()
        };
        check(
            "much that was measured",
            TaskOutput {
                metrics,
                ..TaskOutput::default()
            },
        );
    }
}
