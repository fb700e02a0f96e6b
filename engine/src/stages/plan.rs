//! A stage plan as bytes.

use serde::{Deserialize, Serialize};
use weir_model::Digest;

use crate::io::SinkSpec;

/// Names the build that made a plan. A plan holds types of this crate in a form that only the same sources read, so a
/// worker refuses plans of other builds instead of misreading them.
pub const BUILD: &str = env!("WEIR_BUILD");

/// What a task needs besides its message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StagePlan {
    /// See [`BUILD`]. It comes first, so that it can be read whatever follows.
    pub(crate) build: String,
    /// The operators, by [`PlanCodec`](super::codec::PlanCodec).
    pub(crate) operators: Vec<u8>,
    /// Where rows go.
    pub(crate) assignment: Assignment,
    /// Wasm components whose functions the operators call.
    pub(crate) modules: Vec<Digest>,
}

/// How the rows of a stage are assigned to places.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Assignment {
    /// By a partitioning of its output, encoded.
    Partitioned(Vec<u8>),
    /// Shuffle partition `p` is partition `p` of the plan.
    Forward,
    /// As [`Forward`](Self::Forward), for the submitter.
    Result {
        /// Sort expressions, encoded: whoever reads the result merges the partitions by them. Empty when the rows of
        /// one partition follow those of the one before.
        order: Vec<Vec<u8>>,
    },
    /// To files.
    Sink(#[serde(with = "as_json")] Box<SinkSpec>),
    /// Nowhere.
    Discard,
}

/// The plan is of another build, or no plan.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidPlan {
    #[error("the plan was made by build `{plan}` and this worker is build `{BUILD}`; run workers of the same build")]
    OtherBuild { plan: String },
    #[error("the plan cannot be read")]
    Malformed(#[from] postcard::Error),
}

impl StagePlan {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a plan is made of lists, numbers and strings")
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidPlan> {
        let (build, _) = postcard::take_from_bytes::<String>(bytes)?;
        if build != BUILD {
            return Err(InvalidPlan::OtherBuild { plan: build });
        }
        Ok(postcard::from_bytes(bytes)?)
    }
}

/// Types that describe themselves cannot be read back from the compact format.
mod as_json {
    use serde::de::{DeserializeOwned, Error as _};
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::to_string(value)
            .map_err(S::Error::custom)?
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        serde_json::from_str(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_of_another_build_is_refused() {
        let plan = StagePlan {
            build: "0.0.1+other".to_owned(),
            operators: vec![1, 2],
            assignment: Assignment::Forward,
            modules: vec![Digest::of(b"module")],
        };
        let error = StagePlan::from_bytes(&plan.to_bytes()).unwrap_err();
        assert!(error.to_string().contains("build `0.0.1+other`"), "{error}");
        let plan = StagePlan {
            build: BUILD.to_owned(),
            ..plan
        };
        let read = StagePlan::from_bytes(&plan.to_bytes()).unwrap();
        assert_eq!((read.operators, read.modules), (plan.operators, plan.modules));
        assert!(StagePlan::from_bytes(b"").is_err());
    }
}
