//! Kinds of plans that TPC-H does not have give the rows of single-process DataFusion, whatever the number of
//! partitions: each is cut, restricted to a task's partitions and serialised in a way of its own.

use crate::driver::{Driver, MEMORY_BYTES, sql};
use crate::tpch::{context, data, rows};
use crate::tpch_data::TABLES;

async fn check(queries: &[&str]) {
    let tables = TABLES.map(|table| (table, data().join(table).to_str().unwrap().to_owned()));
    let single = context().await;
    let driver = Driver::new(MEMORY_BYTES);
    for query in queries {
        let expected = single.sql(query).await.unwrap().collect().await.unwrap();
        let expected = sorted(rows(&expected));
        assert!(!expected.is_empty(), "{query} has no rows");
        for partitions in [1, 4, 16] {
            let result = driver.rows(&sql(query, &tables, partitions)).await;
            let result = result.unwrap_or_else(|e| panic!("{query} at {partitions} partitions: {e:?}"));
            assert_eq!(sorted(rows(&result)), expected, "{query} at {partitions} partitions");
        }
    }
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort_unstable();
    rows
}

macro_rules! shapes {
    ($($name:ident: [$($query:literal),* $(,)?],)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                check(&[$($query),*]).await;
            }
        )*
    };
}

shapes! {
    unions: [
        "select c_custkey as k, 'c' as t from customer union all select o_custkey, 'o' from orders where o_orderkey < 99
         union all select s_suppkey, 's' from supplier",
        "select n, count(*) from (select c_nationkey as n from customer union all select s_nationkey from supplier
         union all select n_nationkey from nation) group by n",
        "select distinct k from (select o_custkey as k from orders union all select c_custkey from customer
         where c_nationkey = 7)",
        "select a.k, b.v from (select o_custkey as k from orders where o_orderkey < 500 union all
         select c_custkey from customer where c_custkey < 50) a
         join (select c_custkey as k, c_name as v from customer) b on a.k = b.k",
    ],
    sets: [
        "select c_nationkey from customer intersect select s_nationkey from supplier where s_acctbal > 0",
        "select c_custkey from customer except select o_custkey from orders",
        "select n_nationkey, n_name from nation except all select s_nationkey, 'FRANCE' from supplier",
    ],
    outer_joins: [
        "select c_custkey, count(o_orderkey) from customer left join orders on c_custkey = o_custkey
         and o_totalprice > 100000 group by c_custkey",
        "select n_name, s_name from supplier right join nation on s_nationkey = n_nationkey and s_acctbal > 5000",
        "select a.n_name, b.n_name from (select * from nation where n_nationkey < 15) a
         full join (select * from nation where n_nationkey > 10) b on a.n_nationkey = b.n_nationkey",
        "select c_custkey, o_orderkey from customer full join orders on c_custkey = o_custkey and o_orderkey % 7 = 0",
    ],
    joins_without_equality: [
        "select n_name, count(*) from nation, customer where n_nationkey > c_custkey group by n_name",
        "select r_name, n_name from region left join nation on n_regionkey > r_regionkey + 2",
        "select r_name, n_name from region right join nation on n_regionkey > r_regionkey + 2",
        "select r_name, s_name from region full join supplier on s_nationkey < r_regionkey and s_acctbal > 9000",
        "select r_name, count(c_custkey) from region full join customer on c_custkey < r_regionkey group by r_name",
        "select count(*) from region, nation, supplier",
        "select n_name from nation where exists (select 1 from customer where c_custkey < n_nationkey)",
        "select n_name from nation where not exists (select 1 from customer where c_custkey < n_nationkey)",
    ],
    subqueries: [
        "select s_name from supplier where s_suppkey not in
         (select case when ps_partkey % 2 = 0 then ps_suppkey end from partsupp where ps_availqty < 50
          and ps_partkey % 2 = 0)",
        "select count(*) from supplier where s_suppkey not in
         (select case when ps_partkey > 100 then ps_suppkey end from partsupp)",
        "select c_custkey from customer where c_custkey in (select o_custkey from orders where o_totalprice > 300000)
         or c_acctbal > 9900",
        "select n_name, (select count(*) from supplier where s_nationkey = n_nationkey) from nation",
        "select c_name from customer where c_acctbal > (select avg(c_acctbal) * 1.9 from customer)",
        "select n_name from nation where (select max(s_acctbal) from supplier) > 0
         and n_regionkey = (select min(r_regionkey) from region)",
    ],
    windows: [
        "select c_nationkey, c_custkey, rank() over (partition by c_nationkey order by c_acctbal desc, c_custkey) as r
         from customer qualify r <= 3",
        "select o_orderkey, sum(o_totalprice) over (order by o_orderkey rows between 2 preceding and current row)
         from orders where o_orderkey < 2000",
        "select s_suppkey, s_acctbal - lag(s_acctbal) over (order by s_suppkey) from supplier",
        "select n_regionkey, count(*) over () from nation",
    ],
    aggregates: [
        "select c_mktsegment, c_nationkey, count(*) from customer group by grouping sets ((c_mktsegment), (c_nationkey), ())",
        "select c_nationkey, count(distinct c_mktsegment), approx_distinct(c_mktsegment) from customer group by 1",
        "select count(distinct o_custkey), min(o_orderdate), max(o_comment) from orders",
        "select n_regionkey, array_agg(n_name order by n_name) from nation group by n_regionkey",
        "select o_custkey, first_value(o_orderkey order by o_totalprice, o_orderkey) from orders group by o_custkey",
        "select count(*) from lineitem where l_orderkey < 0",
        "select median(l_quantity), stddev(l_quantity) > 0 from lineitem",
    ],
    orders_and_limits: [
        "select o_orderkey from orders order by o_totalprice desc, o_orderkey limit 7 offset 5",
        "select count(*) from (select * from lineitem limit 1234)",
        "select count(*) from (select o_orderkey from orders limit 10 offset 3)",
        "select o_custkey, count(*) as c from orders group by o_custkey order by c desc, o_custkey limit 3",
        "select * from (select o_orderkey from orders order by o_orderkey limit 5) union all
         select * from (select c_custkey from customer order by c_custkey desc limit 5)",
    ],
    values_and_series: [
        "select a.column1, b.v from (values (1, 'x'), (2, 'y'), (null, 'z')) a
         left join generate_series(1, 3) as b(v) on a.column1 = b.v",
        "select 1 as one, 'two' as two",
        "select v % 10 as k, sum(v) from generate_series(1, 5000) as t(v) group by 1",
        "select unnest(make_array(n_nationkey, n_regionkey)) as u, n_name from nation",
        "select struct(n_name, n_regionkey) as s, make_array(n_nationkey) as a from nation order by n_name",
    ],
}
