//! Stages as text.

use std::fmt::Write as _;
use std::sync::Arc;

use datafusion::physical_plan::{ExecutionPlan, displayable};
use weir_model::{Exchange, Stage, StageGraph, StageInput, StageOutput};

/// Operators that say nothing of what a stage is for.
const PLUMBING: [&str; 4] = ["CooperativeExec", "ProjectionExec", "CoalesceBatchesExec", "BufferExec"];
/// Operators that a name lists.
const NAMED_OPERATORS: usize = 5;

/// A short name for what `plan` does, in the order in which rows pass.
pub(super) fn name(plan: &Arc<dyn ExecutionPlan>) -> String {
    let mut names = Vec::new();
    collect_names(plan, &mut names);
    names.dedup();
    let more = if names.len() > NAMED_OPERATORS { ", …" } else { "" };
    names.truncate(NAMED_OPERATORS);
    names.join(", ") + more
}

fn collect_names(plan: &Arc<dyn ExecutionPlan>, names: &mut Vec<String>) {
    for child in plan.children() {
        collect_names(child, names);
    }
    let name = plan.name();
    if PLUMBING.contains(&name) {
        return;
    }
    names.push(match name {
        "DataSourceExec" | "ScanExec" => "scan".to_owned(),
        "ShuffleReaderExec" => "read".to_owned(),
        name => spaced(name.strip_suffix("Exec").unwrap_or(name)),
    });
}

/// `HashJoin` to `hash join`.
fn spaced(name: &str) -> String {
    let mut spaced = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_uppercase() && !spaced.is_empty() {
            spaced.push(' ');
        }
        spaced.extend(letter.to_lowercase());
    }
    spaced
}

/// All stages: what each reads and writes, and its operators.
pub(super) fn stages(graph: &StageGraph, operators: &[Arc<dyn ExecutionPlan>]) -> String {
    let mut text = String::new();
    for (stage, plan) in graph.stages.iter().zip(operators) {
        let _ = writeln!(text, "stage {}: {}", stage.id, stage.name);
        if !stage.transforms.is_empty() {
            let _ = writeln!(text, "  part of: {}", stage.transforms.join(", "));
        }
        let _ = writeln!(text, "  tasks: {}", tasks(stage));
        for StageInput { stage, exchange } in &stage.inputs {
            let _ = match exchange {
                Exchange::Aligned { readers } => {
                    writeln!(
                        text,
                        "  reads stage {stage}: partitions {}..{} of their own",
                        readers.start, readers.end
                    )
                }
                Exchange::All => writeln!(text, "  reads stage {stage}: all of it"),
            };
        }
        let _ = match &stage.output {
            StageOutput::Shuffle { partitions } => writeln!(text, "  writes: a shuffle of {partitions} partitions"),
            StageOutput::Result => writeln!(text, "  writes: the result"),
            StageOutput::Sink(sink) => writeln!(text, "  writes: {} files of `{}`", sink.format, sink.transform),
            StageOutput::Discard => writeln!(text, "  writes: nothing"),
        };
        for line in displayable(plan.as_ref()).indent(false).to_string().lines() {
            let _ = writeln!(text, "    {}", without_files(line));
        }
    }
    text
}

fn tasks(stage: &Stage) -> String {
    match (stage.partitions, stage.inputs.is_empty()) {
        (1, _) => "1".to_owned(),
        (partitions, true) => partitions.to_string(),
        (partitions, false) => format!("at most {partitions}, by the size of what they read"),
    }
}

/// A scan's file list says where its files are and how they were split, at any length; the number of groups is enough.
fn without_files(line: &str) -> String {
    let Some(start) = line.find("file_groups={") else {
        return line.to_owned();
    };
    let list = &line[start..];
    let (Some(colon), Some(end)) = (list.find(':'), list.find("]]}")) else {
        return line.to_owned();
    };
    format!("{}{}}}{}", &line[..start], &list[..colon], &list[end + 3..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_lists_are_shortened() {
        let line = "  DataSourceExec: file_groups={2 groups: [[a/b:0..1], [a/b:1..2]]}, projection=[x]";
        assert_eq!(
            without_files(line),
            "  DataSourceExec: file_groups={2 groups}, projection=[x]"
        );
        assert_eq!(without_files("FilterExec: a"), "FilterExec: a");
    }

    #[test]
    fn names_are_words() {
        assert_eq!(spaced("HashJoin"), "hash join");
    }
}
