//! Tasks cover the partitions of a stage.

use proptest::prelude::*;
use weir_model::CoalesceSettings;
use weir_model::machine::coalesce;

fn size() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        3 => Just(Some(0)),
        6 => (0..200_u64).prop_map(Some),
        1 => Just(None),
        1 => any::<u64>().prop_map(Some),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn tasks_cover_every_partition_once_and_keep_to_the_target(
        sizes in prop::collection::vec(size(), 0..40),
        spread in any::<bool>(),
        target_bytes in 1..500_u64,
        min_bytes in 1..100_u64,
        parallelism in 1..20_u32,
    ) {
        let settings = CoalesceSettings { target_bytes, min_bytes, parallelism };
        let tasks = coalesce(&sizes, spread, &settings);

        let covered: Vec<u32> = tasks.iter().cloned().flatten().collect();
        prop_assert_eq!(covered, (0..sizes.len() as u32).collect::<Vec<_>>());
        prop_assert!(!tasks.is_empty());

        let reads_something = |partition: u32| sizes[partition as usize] != Some(0);
        let total = sizes.iter().flatten().fold(0_u64, |sum, size| sum.saturating_add(*size));
        for task in &tasks {
            let nonempty: Vec<u32> = task.clone().filter(|partition| reads_something(*partition)).collect();
            prop_assert!(tasks.len() == 1 || !nonempty.is_empty(), "a task of nothing but empty partitions: {:?}", task);
            if nonempty.len() > 1 {
                let bytes = nonempty.iter().filter_map(|partition| sizes[*partition as usize]).sum::<u64>();
                prop_assert!(bytes <= target_bytes, "{task:?} has {bytes} bytes of {target_bytes}");
                prop_assert!(nonempty.iter().all(|partition| sizes[*partition as usize].is_some()));
            }
        }
        if spread && total > min_bytes {
            let nonempty = (0..sizes.len() as u32).filter(|partition| reads_something(*partition)).count();
            prop_assert!(tasks.len() >= nonempty.min(parallelism as usize));
        }
    }
}
