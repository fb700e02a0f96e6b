//! What jobs read and write, and what they must have written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use weir_platform::output::sweep_orphans;
use weir_platform::s3::S3;
use weir_testkit::{Aws, Call, Fault, Proxy};

use super::faults::{Numbers, fault};
use super::members::Members;
use super::{Job, Seen};
use crate::service::fleet::Fleet;
use crate::support::repository;

/// Texts that jobs read, each in several files.
pub(super) const TEXTS: usize = 3;
const FILES: usize = 4;
/// Deliveries of a task before it is set aside: more than the faults make of one.
const MAX_RECEIVES: u32 = 50;

/// The pipelines; `{{input}}` and `{{output}}` are URLs or paths.
pub(super) const PIPELINES: [&str; 2] = [include_str!("../../../examples/wordcount/pipeline.yaml"), LINES];

/// Several stages: two outputs from one input, one of them joined with itself.
const LINES: &str = r#"
pipeline:
  transforms:
    - type: ReadFromText
      name: Read
      config: {path: "{{ input }}"}
    - type: MapToFields
      name: Lengths
      input: Read
      config:
        language: sql
        fields: {line: line, chars: "CAST(character_length(line) AS BIGINT)"}
    - type: Combine
      name: ByLength
      input: Lengths
      config:
        group_by: chars
        combine: {lines: {value: line, fn: count}}
    - type: Join
      name: Joined
      input: {a: Lengths, b: ByLength}
      config: {equalities: chars, type: inner, fields: {a: [line, chars], b: [lines]}}
    - type: WriteToJson
      name: Write
      input: Joined
      config: {path: "{{ output }}"}
"#;

fn text(numbers: &mut Numbers) -> String {
    const WORDS: [&str; 12] = [
        "weir", "water", "low", "stone", "The", "of", "a", "river", "gate", "miller", "eel", "and",
    ];
    let mut text = String::new();
    for line in 0..4_000 {
        for _ in 0..4 + numbers.below(6) {
            text.push_str(WORDS[numbers.below(WORDS.len() as u64) as usize]);
            text.push(if numbers.below(20) == 0 { '-' } else { ' ' });
        }
        text.push_str(&format!("{}\n", (line * 7) % 13));
    }
    text
}

fn sorted(text: &str) -> Vec<String> {
    // Every file of CSV has the header.
    let mut lines: Vec<_> = text
        .lines()
        .filter(|line| *line != "word,count")
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

pub(super) struct World {
    pub(super) fleet: Fleet,
    pub(super) proxy: Proxy,
    aws: &'static Aws,
    faults: Arc<AtomicBool>,
    /// The sorted rows of a pipeline over a text.
    expected: BTreeMap<(usize, usize), Vec<String>>,
}

impl World {
    /// The processes that it starts reach queues and storage through the proxy alone.
    pub(super) fn new(seed: u64) -> Self {
        let mut fleet = Fleet::bare();
        let [tasks, dead] = fleet.queues_with_patience(MAX_RECEIVES);
        let faults = Arc::new(AtomicBool::new(true));
        let on = faults.clone();
        let policy = move |call: &Call| match on.load(Ordering::Relaxed) {
            true => fault(call, seed),
            false => Fault::None,
        };
        let (aws, proxy) = fleet.block_on(async {
            let aws = Aws::shared().await;
            (aws, Proxy::start(&aws.endpoint(), Arc::new(policy)).await)
        });
        // Queue URLs name the server itself; calls go to the endpoint that is configured.
        fleet
            .environment
            .retain(|(name, _)| !name.starts_with("AWS_ENDPOINT_URL"));
        fleet.set("AWS_ENDPOINT_URL", &proxy.endpoint());
        fleet.set("WEIR_TASK_QUEUE", &tasks);
        fleet.set("WEIR_DEAD_LETTER_QUEUE", &dead);
        fleet.set("WEIR_HOUSEKEEPING_MS", "2000");
        let mut world = Self {
            fleet,
            proxy,
            aws,
            faults,
            expected: BTreeMap::new(),
        };
        world.write_inputs(&mut Numbers(seed));
        world.run_without_faults();
        world
    }

    /// From now on every call is answered as it should be.
    pub(super) fn calm(&self) {
        self.faults.store(false, Ordering::Relaxed);
    }

    fn write_inputs(&self, numbers: &mut Numbers) {
        let place = &self.fleet.place;
        for index in 0..TEXTS {
            for file in 0..FILES {
                let name = format!("in/{index}/{file}.txt");
                let text = text(numbers);
                place.write(&name, &text);
                self.fleet.put(&name, text);
            }
        }
        place.write(
            "pipelines/tokenizer.wasm",
            std::fs::read(repository().join("examples/wordcount/tokenizer.wasm")).expect("the component is there"),
        );
        for (kind, pipeline) in PIPELINES.iter().enumerate() {
            place.write(&format!("pipelines/{kind}.yaml"), pipeline);
        }
    }

    fn run_without_faults(&mut self) {
        let place = &self.fleet.place;
        for kind in 0..PIPELINES.len() {
            for text in 0..TEXTS {
                let output = format!("expected-{kind}-{text}/rows");
                place.ok([
                    "run",
                    &format!("pipelines/{kind}.yaml"),
                    "--param",
                    &format!("input=in/{text}/*.txt"),
                    "--param",
                    &format!("output={output}"),
                    "--preview",
                    "0",
                ]);
                let files = place.files(&output);
                let all: String = files.into_iter().map(|(_, text)| text).collect();
                assert!(!all.is_empty());
                self.expected.insert((kind, text), sorted(&all));
            }
        }
    }

    /// Submits a job; its run is known once a server has answered.
    pub(super) fn submit(&self, members: &Members<'_>, job: &mut Job, server: usize) {
        let output = format!("output=s3://{}/out/{}/rows", self.fleet.bucket, job.key);
        let input = format!("input=s3://{}/in/{}/*.txt", self.fleet.bucket, job.text);
        let ran = members.client(
            server,
            &[
                "submit",
                &format!("pipelines/{}.yaml", job.kind),
                "--param",
                &input,
                "--param",
                &output,
                "--idempotency-key",
                &job.key,
                "--base",
                &format!("s3://{}/none", self.fleet.bucket),
                "--set",
                "attempt_timeout_ms=6000",
                "--set",
                "retry.max_attempts=50",
                "--set",
                "retry.max_stage_attempts=50",
            ],
        );
        match ran.code {
            Some(0) => job.run = Some(ran.stdout.trim().to_owned()),
            // A server that is being killed, or starts.
            _ => eprintln!(
                "{} is not submitted yet: {}",
                job.key,
                ran.stderr.lines().next().unwrap_or_default()
            ),
        }
    }

    /// The targets of uploads that are not complete.
    pub(super) fn open_uploads(&self) -> Vec<String> {
        let config = aws_sdk_s3::config::Builder::from(&self.aws.sdk_config())
            .force_path_style(true)
            .build();
        let listing = aws_sdk_s3::Client::from_conf(config)
            .list_multipart_uploads()
            .bucket(&self.fleet.bucket);
        let uploads = self.fleet.block_on(listing.send());
        let uploads = uploads.expect("uploads can be listed");
        uploads
            .uploads()
            .iter()
            .filter_map(|upload| upload.key().map(str::to_owned))
            .collect()
    }

    /// Aborts uploads of which no run knows; says how many there were.
    pub(super) fn sweep(&self) -> usize {
        let s3 = S3::new(self.aws.sdk_config(), true);
        let url = format!("s3://{}/out", self.fleet.bucket);
        let sweep = sweep_orphans(&s3, &url, Duration::ZERO, async |_| false);
        let swept = self.fleet.block_on(sweep).expect("the bucket can be swept");
        assert_eq!(swept.stagings, 0, "runs that are over have nothing staged");
        swept.uploads as usize
    }

    /// Checks a finished run; adds what its log tells to `seen`.
    pub(super) fn check(&self, members: &Members<'_>, job: &Job, seen: &mut Seen) {
        let run = job.run.as_deref().expect("it was submitted");
        let ran = members.patient(&["runs", "get", run, "-o", "json"]);
        let shown: Value = serde_json::from_str(&ran.stdout).expect("a run is JSON");
        assert_eq!(shown["result"], "succeeded", "{}: {shown:#}", job.key);

        let prefix = format!("out/{}/", job.key);
        let (rows, rest): (Vec<_>, Vec<_>) = self
            .fleet
            .objects(&prefix)
            .into_iter()
            .partition(|(key, _)| key.starts_with(&format!("{prefix}rows")));
        let files = shown["outputs"].as_array().expect("outputs are a list").iter();
        let named: BTreeSet<String> = files
            .flat_map(|output| output["files"].as_array().cloned().unwrap_or_default())
            .filter_map(|file| {
                file.as_str()
                    .map(|name| format!("{prefix}{}", name.trim_start_matches('/')))
            })
            .collect();
        let found: BTreeSet<String> = rows.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(
            found, named,
            "{}: files that are there, and that the run names",
            job.key
        );
        assert!(
            rest.len() <= 1,
            "{}: besides the rows there is one manifest at most: {rest:?}",
            job.key
        );
        let text: String = rows.into_iter().map(|(_, text)| text).collect();
        assert!(
            sorted(&text) == self.expected[&(job.kind, job.text)],
            "{}: the output is not that of a run without faults",
            job.key
        );

        let ran = members.patient(&["runs", "events", run, "-o", "jsonl"]);
        let mut accepted = BTreeSet::new();
        for line in ran.stdout.lines() {
            let event: Value = serde_json::from_str(line).expect("an event is JSON");
            let data = &event["data"];
            match event["type"].as_str().unwrap_or_default() {
                "task_accepted" => {
                    seen.accepted += 1;
                    let which = (data["task"].to_string(), data["stage_attempt"].to_string());
                    assert!(accepted.insert(which), "{}: a task was accepted twice: {line}", job.key);
                }
                "attempt_failed" => seen.failed += 1,
                "owner_changed" => seen.takeovers += 1,
                _ => {}
            }
        }
        assert!(!accepted.is_empty(), "{}: no task was accepted", job.key);
    }
}
