//! How the partitions of a stage are grouped into tasks.

use std::ops::Range;

use crate::CoalesceSettings;

/// Groups the partitions of a stage into tasks: contiguous ranges that cover each partition exactly once, at least one.
///
/// `sizes` has the bytes that each partition reads, or `None` where that is not known. A task takes partitions until
/// the next one would bring it over `clamp(total / parallelism, min_bytes, target_bytes)`. Partitions that read nothing
/// cost nothing and join a neighbour; partitions of unknown size count as a full task.
///
/// With `spread` there are no fewer tasks than the partitions with something to read, up to the parallelism, once the
/// total is over `min_bytes`: reading files also takes time that does not show in their size, and unlike a shuffle
/// costs no more when it is done in many places.
pub fn coalesce(sizes: &[Option<u64>], spread: bool, settings: &CoalesceSettings) -> Vec<Range<u32>> {
    let parallelism = u64::from(settings.parallelism.max(1));
    let total = sizes
        .iter()
        .flatten()
        .fold(0_u64, |sum, size| sum.saturating_add(*size));
    let target = (total / parallelism)
        .max(settings.min_bytes)
        .min(settings.target_bytes)
        .max(1);
    let cost = |size: &Option<u64>| size.unwrap_or(target);

    let mut tasks: Vec<Range<u32>> = Vec::new();
    let mut start = 0;
    let mut bytes = 0_u64;
    for (partition, size) in (0_u32..).zip(sizes) {
        let size = cost(size);
        if size > 0 && bytes > 0 && bytes.saturating_add(size) > target {
            tasks.push(start..partition);
            start = partition;
            bytes = 0;
        }
        bytes = bytes.saturating_add(size);
    }
    tasks.push(start..sizes.len() as u32);

    if spread && total > settings.min_bytes {
        let wanted = sizes
            .iter()
            .filter(|size| **size != Some(0))
            .count()
            .min(parallelism as usize);
        split_largest(&mut tasks, wanted, |partition| cost(&sizes[partition as usize]));
    }
    tasks
}

/// Splits the task with the most bytes in two, again and again, until there are `wanted` tasks or none can be split.
fn split_largest(tasks: &mut Vec<Range<u32>>, wanted: usize, cost: impl Fn(u32) -> u64) {
    while tasks.len() < wanted {
        let splittable = tasks.iter().enumerate().filter_map(|(position, task)| {
            let nonempty = task.clone().filter(|partition| cost(*partition) > 0).count();
            let bytes = task
                .clone()
                .fold(0_u64, |sum, partition| sum.saturating_add(cost(partition)));
            (nonempty > 1).then_some((bytes, std::cmp::Reverse(position)))
        });
        let Some((bytes, std::cmp::Reverse(position))) = splittable.max() else {
            return;
        };
        let at = split_point(&tasks[position], bytes, &cost);
        let tail = at..tasks[position].end;
        tasks[position].end = at;
        tasks.insert(position + 1, tail);
    }
}

/// The first partition of the second half of `task`, by bytes. Both halves have something to read.
fn split_point(task: &Range<u32>, bytes: u64, cost: &impl Fn(u32) -> u64) -> u32 {
    let mut before = 0_u64;
    let mut at = task.start;
    for partition in task.clone() {
        let size = cost(partition);
        if size == 0 {
            continue;
        }
        if before > 0 {
            at = partition;
            if before >= bytes / 2 {
                break;
            }
        }
        before = before.saturating_add(size);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sizes: &[u64], spread: bool, expected: &[Range<u32>]) {
        let settings = CoalesceSettings {
            target_bytes: 100,
            min_bytes: 10,
            parallelism: 4,
        };
        let sizes: Vec<_> = sizes.iter().copied().map(Some).collect();
        assert_eq!(coalesce(&sizes, spread, &settings), expected);
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one task")]
    fn small_partitions_share_a_task() {
        check(&[1, 2, 3], false, &[0..3]);
        check(&[4, 4, 4, 4], false, &[0..2, 2..4]);
    }

    #[test]
    fn a_task_is_a_fair_share_of_the_total() {
        check(&[20, 20, 20, 20, 20, 20, 20, 20], false, &[0..2, 2..4, 4..6, 6..8]);
    }

    #[test]
    fn a_task_does_not_grow_over_the_target() {
        check(&[90, 90, 90, 90, 90, 90], false, &[0..1, 1..2, 2..3, 3..4, 4..5, 5..6]);
        check(&[500, 1, 500], false, &[0..1, 1..2, 2..3]);
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one task")]
    fn empty_partitions_get_no_task_of_their_own() {
        check(&[0, 0, 90, 0, 90, 0, 0], false, &[0..4, 4..7]);
        check(&[0, 0, 0], false, &[0..3]);
        check(&[0, 0, 0], true, &[0..3]);
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one task")]
    fn a_stage_without_partitions_has_one_task() {
        check(&[], false, &[0..0]);
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one task")]
    fn scans_spread_once_they_are_worth_it() {
        check(&[1, 1, 1, 1, 1], true, &[0..5]);
        check(&[4, 4, 4, 4], true, &[0..1, 1..2, 2..3, 3..4]);
        check(&[1000, 1, 1, 1], true, &[0..1, 1..2, 2..3, 3..4]);
        check(&[1000, 0, 0, 1], true, &[0..3, 3..4]);
    }

    #[test]
    fn partitions_of_unknown_size_get_a_task_each() {
        let settings = CoalesceSettings::default();
        assert_eq!(coalesce(&[None, None, None], true, &settings), [0..1, 1..2, 2..3]);
        assert_eq!(
            coalesce(&[Some(5), None, Some(0), Some(5)], false, &settings),
            [0..1, 1..3, 3..4]
        );
    }

    #[test]
    fn settings_that_contradict_each_other_are_survived() {
        let settings = CoalesceSettings {
            target_bytes: 0,
            min_bytes: u64::MAX,
            parallelism: 0,
        };
        assert_eq!(
            coalesce(&[Some(u64::MAX), Some(u64::MAX)], true, &settings),
            [0..1, 1..2]
        );
    }
}
