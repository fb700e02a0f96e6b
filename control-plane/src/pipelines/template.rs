//! What a pipeline keeps of a job, and how a run is made of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use weir_model::{Digest, Job, Metadata, Namespace, RunSettings, Submission};

use crate::Error;

/// A job without what is particular to one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// What to run.
    pub job: Job,
    /// Wasm components in storage, by the path that the job uses for them.
    #[serde(default)]
    pub modules: BTreeMap<String, Digest>,
    /// The folder or URL that relative paths of the job start from; the server's when there is none.
    #[serde(default)]
    pub base: Option<String>,
    /// Settings, over the server's.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Labels of its runs.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What a server adds to templates that say nothing of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// The folder or URL that relative paths start from.
    pub base: String,
    /// Settings of runs.
    pub settings: RunSettings,
}

/// What one run has over its template.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// Values of the pipeline's parameters.
    pub parameters: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Settings.
    pub settings: Map<String, Value>,
}

impl Template {
    /// As JSON, and the digest of that.
    pub fn encode(&self) -> (String, Digest) {
        // Maps with texts as keys: writing them cannot fail.
        let text = serde_json::to_string(self).unwrap_or_default();
        let digest = Digest::of(text.as_bytes());
        (text, digest)
    }

    /// The job with other values of its parameters.
    pub fn job_with(&self, parameters: BTreeMap<String, String>) -> Result<Job, Error> {
        let mut job = self.job.clone();
        match &mut job {
            Job::Pipeline { params, .. } => params.extend(parameters),
            Job::Sql { .. } if parameters.is_empty() => {}
            Job::Sql { .. } => {
                return Err(Error::Invalid {
                    message: "`parameters` are for pipelines; SQL has none".to_owned(),
                });
            }
        }
        Ok(job)
    }

    /// A submission of the job; `metadata` is all but its labels.
    pub fn submission(
        &self,
        namespace: Namespace,
        name: String,
        defaults: &Defaults,
        overrides: Overrides,
        metadata: Metadata,
    ) -> Result<Submission, Error> {
        let mut settings = self.settings.clone();
        merge_into(&mut settings, overrides.settings);
        let mut labels = self.labels.clone();
        labels.extend(overrides.labels);
        Ok(Submission {
            namespace,
            name,
            job: self.job_with(overrides.parameters)?,
            modules: self.modules.clone(),
            base: self.base.clone().unwrap_or_else(|| defaults.base.clone()),
            settings: settings_over(&defaults.settings, settings)?,
            metadata: Metadata { labels, ..metadata },
        })
    }
}

/// The settings of a run: what is asked for, over the defaults.
fn settings_over(defaults: &RunSettings, asked: Map<String, Value>) -> Result<RunSettings, Error> {
    if asked.contains_key("allowed_locations") {
        return Err(Error::Invalid {
            message:
                "`settings.allowed_locations` is not for submitters; an admin of the service sets it for a namespace"
                    .to_owned(),
        });
    }
    let mut merged = serde_json::to_value(defaults).unwrap_or_default();
    merge(&mut merged, Value::Object(asked));
    serde_json::from_value(merged).map_err(|error| Error::Invalid {
        message: format!("`settings` do not fit: {error}"),
    })
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => merge_into(into, from),
        (into, from) => *into = from,
    }
}

fn merge_into(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        merge(into.entry(key).or_insert(Value::Null), value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other} is not an object"),
        }
    }

    #[test]
    fn settings_go_over_the_defaults_of_the_server() {
        let defaults = RunSettings {
            target_partitions: 16,
            ..Default::default()
        };
        let merged = settings_over(&defaults, map(json!({"retry": {"max_attempts": 9}}))).unwrap();
        assert_eq!(merged.target_partitions, 16);
        assert_eq!(merged.retry.max_attempts, 9);
        assert_eq!(merged.retry.backoff_ms, defaults.retry.backoff_ms);
        let unknown = settings_over(&defaults, map(json!({"retries": 1}))).unwrap_err();
        assert!(unknown.to_string().contains("retries"), "{unknown}");
        let not_theirs = settings_over(&defaults, map(json!({"allowed_locations": ["s3://theirs"]}))).unwrap_err();
        assert!(not_theirs.to_string().contains("allowed_locations"), "{not_theirs}");
    }

    #[test]
    fn a_run_has_its_own_words_over_those_of_the_template() {
        let template = Template {
            job: Job::Pipeline {
                yaml: "pipeline: {}".to_owned(),
                file: "p.yaml".to_owned(),
                params: [("a", "1"), ("b", "2")]
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .into(),
            },
            modules: BTreeMap::new(),
            base: None,
            settings: map(json!({"retry": {"max_attempts": 9, "backoff_ms": 7}})),
            labels: [("team".to_owned(), "x".to_owned())].into(),
        };
        let (text, digest) = template.encode();
        assert_eq!(serde_json::from_str::<Template>(&text).unwrap(), template);
        assert_eq!(digest, template.clone().encode().1);
        let defaults = Defaults {
            base: "/base".to_owned(),
            settings: RunSettings::default(),
        };
        let overrides = Overrides {
            parameters: [("b".to_owned(), "3".to_owned())].into(),
            labels: [("day".to_owned(), "1".to_owned())].into(),
            settings: map(json!({"retry": {"max_attempts": 1}})),
        };
        let made = template
            .submission(
                Namespace::default(),
                "n".to_owned(),
                &defaults,
                overrides,
                Metadata::default(),
            )
            .unwrap();
        let Job::Pipeline { params, .. } = &made.job else {
            panic!("it is a pipeline");
        };
        assert_eq!((params["a"].as_str(), params["b"].as_str()), ("1", "3"));
        assert_eq!(made.metadata.labels.len(), 2);
        assert_eq!(
            (made.settings.retry.max_attempts, made.settings.retry.backoff_ms),
            (1, 7)
        );
        assert_eq!(made.base, "/base");

        let sql = Template {
            job: Job::Sql {
                statement: "SELECT 1".to_owned(),
                setup: Vec::new(),
                tables: Vec::new(),
            },
            ..template
        };
        assert!(sql.job_with([("a".to_owned(), "1".to_owned())].into()).is_err());
    }
}
