//! Where plans are cut. The texts are what `weir explain` shows.

use std::path::Path;
use std::sync::OnceLock;

use insta::assert_snapshot;
use tempfile::TempDir;
use weir_engine::Explanation;
use weir_model::Submission;

use crate::driver::{Driver, MEMORY_BYTES, sql};
use crate::tpch_data::{TABLES, generate};

/// Tables small enough for broadcasts; the plans of tables that are not are below.
fn data() -> &'static Path {
    static DATA: OnceLock<TempDir> = OnceLock::new();
    DATA.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        generate(folder.path(), 0.01, 4).unwrap();
        folder
    })
    .path()
}

fn query(statement: &str) -> Submission {
    let tables = TABLES.map(|table| (table, data().join(table).to_str().unwrap().to_owned()));
    sql(statement, &tables, 4)
}

async fn explain(submission: &Submission) -> Explanation {
    let explanation = Driver::new(MEMORY_BYTES).engine.explain(submission).await.unwrap();
    // What was cut off is read by a shuffle reader, so none of these is left over several partitions.
    for exchange in ["RepartitionExec", "CoalescePartitionsExec"] {
        assert!(!explanation.stages.contains(exchange), "{}", explanation.stages);
    }
    explanation
}

async fn stages(statement: &str) -> String {
    explain(&query(statement)).await.stages
}

#[tokio::test]
async fn a_scan_is_one_stage() {
    assert_snapshot!(stages("select c_name from customer where c_acctbal > 100").await);
}

#[tokio::test]
async fn an_aggregation_is_cut_at_its_keys() {
    assert_snapshot!(stages("select c_nationkey, count(*) from customer group by c_nationkey").await);
}

#[tokio::test]
async fn a_total_is_gathered() {
    assert_snapshot!(stages("select sum(l_quantity) from lineitem").await);
}

#[tokio::test]
async fn an_order_is_merged() {
    assert_snapshot!(stages("select o_orderkey from orders order by o_totalprice desc, o_orderkey limit 5").await);
}

#[tokio::test]
async fn the_last_order_is_left_to_the_reader() {
    let statement = "select o_custkey, count(*) as n from orders group by o_custkey order by n desc, o_custkey";
    assert_snapshot!(stages(statement).await);
    let mut submission = query(statement);
    submission.settings.target_partitions = 17;
    let many = explain(&submission).await.stages;
    assert!(many.contains("SortPreservingMergeExec"), "{many}");
}

#[tokio::test]
async fn a_small_side_is_broadcast() {
    let statement = "select s_name, ps_availqty from partsupp join supplier on ps_suppkey = s_suppkey";
    assert_snapshot!(stages(statement).await);
}

#[tokio::test]
async fn large_sides_are_partitioned() {
    let statement = "select a.l_quantity, b.l_tax from lineitem a join lineitem b on a.l_partkey = b.l_suppkey";
    let mut submission = query(statement);
    submission.settings.target_partitions = 3;
    assert_snapshot!(explain(&submission).await.stages);
}

#[tokio::test]
async fn a_collected_side_that_gives_rows_is_not_collected_by_several_tasks() {
    let semi = "select n_name from nation where exists (select * from customer where c_nationkey = n_nationkey)";
    let text = stages(semi).await;
    assert!(!text.contains("mode=CollectLeft, join_type=LeftSemi"), "{text}");
    let anti =
        "select s_name from supplier where s_suppkey not in (select ps_suppkey from partsupp where ps_availqty > 9)";
    let text = stages(anti).await;
    assert!(!text.contains("mode=CollectLeft, join_type=LeftAnti"), "{text}");
    let theta = "select n_name, count(c_custkey) from nation left join customer on n_nationkey > c_custkey group by 1";
    let text = stages(theta).await;
    assert!(text.contains("NestedLoopJoinExec: join_type=Right"), "{text}");
}

#[tokio::test]
async fn branches_of_a_union_read_their_own_partitions() {
    let statement = "select c_custkey from customer union all \
        select distinct o_custkey from orders union all select s_suppkey from supplier";
    assert_snapshot!(stages(statement).await);
}

#[tokio::test]
async fn what_is_computed_twice_is_one_stage() {
    let part = "select o_custkey, sum(o_totalprice) as total from orders group by o_custkey";
    let statement = format!("with t as ({part}) select a.o_custkey from t a join t b on a.total = b.total");
    let graph = explain(&query(&statement)).await.graph;
    let plans: std::collections::BTreeSet<_> = graph.stages.iter().map(|stage| stage.plan.digest).collect();
    assert_eq!(plans.len(), graph.stages.len());
    let scans = graph.stages.iter().filter(|stage| !stage.scan_bytes.is_empty()).count();
    assert_eq!(scans, 1, "orders are read once");
}

#[tokio::test]
async fn random_rows_are_not_shared() {
    let statement = "with t as (select o_custkey, random() r from orders), \
        u as (select o_custkey, max(r) m from t group by 1), v as (select o_custkey, max(r) m from t group by 1) \
        select count(*) from u join v on u.m = v.m";
    let graph = explain(&query(statement)).await.graph;
    let scans = graph.stages.iter().filter(|stage| !stage.scan_bytes.is_empty()).count();
    assert_eq!(scans, 2);
}

#[tokio::test]
async fn one_partition_needs_no_exchange() {
    let mut submission = query("select c_nationkey, count(*) from customer, nation group by 1 order by 2");
    submission.settings.target_partitions = 1;
    assert_eq!(explain(&submission).await.graph.stages.len(), 1);
}
