//! What a run used, and about what that costs.

use serde::{Deserialize, Serialize};

use crate::{Allowance, ModuleLoads, StorageRequests, TaskMetrics};

/// What a run used, over all of its attempts: those that failed or were given up cost as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Time for which attempts had a slot of a worker, in microseconds.
    pub task_us: u64,
    /// Time of the processors that belong to these slots, in microseconds: a slot has its share of its worker's.
    pub vcpu_us: u64,
    /// CPU time that the attempts' own threads measured, in microseconds.
    pub cpu_us: u64,
    /// Memory that belongs to these slots, over time: a slot has its share of its worker's. MiB times milliseconds.
    pub memory_mib_ms: u64,
    /// Time inside Wasm functions, in microseconds.
    pub wasm_us: u64,
    /// Rows read from files.
    pub rows_read: u64,
    /// Bytes read from files.
    pub bytes_read: u64,
    /// Rows that stages wrote, to each other and to files.
    pub rows_written: u64,
    /// Bytes written to files.
    pub bytes_written: u64,
    /// Bytes written to shuffle objects.
    pub shuffle_bytes: u64,
    /// Bytes spilled to local disk.
    pub spill_bytes: u64,
    /// Requests of attempts to the storage.
    pub storage_requests: StorageRequests,
    /// Requests of the control plane to the storage on behalf of the run: to plan it, for manifests and the commit, and,
    /// once it is over, for its history and its clean-up.
    #[serde(skip_serializing_if = "StorageRequests::is_empty")]
    pub control_storage_requests: StorageRequests,
    /// Messages through the queues: each is sent, received and deleted.
    pub queue_messages: u64,
    /// Where the Wasm modules of attempts came from.
    #[serde(skip_serializing_if = "ModuleLoads::is_empty")]
    pub modules: ModuleLoads,
    /// Workers that ran attempts.
    pub workers: u32,
}

/// Requests that a message takes: to send, to receive and to delete it.
const REQUESTS_PER_MESSAGE: u64 = 3;

impl Usage {
    /// Seconds for which attempts had a slot.
    pub fn task_seconds(&self) -> f64 {
        self.task_us as f64 / 1e6
    }

    /// Seconds of the processors that belong to these slots.
    pub fn vcpu_seconds(&self) -> f64 {
        self.vcpu_us as f64 / 1e6
    }

    /// Memory that belongs to these slots, over time, in GiB times seconds.
    pub fn memory_gib_seconds(&self) -> f64 {
        self.memory_mib_ms as f64 / 1024e3
    }

    /// Requests to the storage, whoever sent them.
    pub fn all_storage_requests(&self) -> StorageRequests {
        let mut all = self.storage_requests;
        all.add(&self.control_storage_requests);
        all
    }

    /// Requests to the queues.
    pub fn queue_requests(&self) -> u64 {
        self.queue_messages.saturating_mul(REQUESTS_PER_MESSAGE)
    }

    /// Adds an attempt that had its slot for `slot_us` microseconds. One that never reported counts with the time that
    /// is known of it; `allowance` is that of the run's other attempts then.
    pub(crate) fn add_attempt(&mut self, metrics: &TaskMetrics, slot_us: u64, allowance: Allowance) {
        let files = |all: u64, shuffle: u64| all.saturating_sub(shuffle);
        let add = |sum: &mut u64, number: u64| *sum = sum.saturating_add(number);
        add(&mut self.task_us, slot_us);
        add(&mut self.cpu_us, metrics.cpu_us);
        add(&mut self.wasm_us, metrics.wasm_us);
        // What a slot has of something of its worker, in that thing's thousandths or bytes, over time.
        let over_time = |whole: u64, unit: u128| {
            let slots = u128::from(allowance.worker_slots.max(1));
            u64::try_from(u128::from(slot_us) * u128::from(whole) / slots / unit).unwrap_or(u64::MAX)
        };
        if allowance.worker_slots > 0 {
            add(&mut self.vcpu_us, over_time(allowance.worker_millicpus.into(), 1_000));
            add(
                &mut self.memory_mib_ms,
                over_time(allowance.worker_memory_bytes, 1_000 << 20),
            );
        }
        add(&mut self.rows_read, files(metrics.rows_in, metrics.shuffle_rows_in));
        add(&mut self.bytes_read, files(metrics.bytes_in, metrics.shuffle_bytes_in));
        add(&mut self.rows_written, metrics.rows_out);
        add(
            &mut self.bytes_written,
            files(metrics.bytes_out, metrics.shuffle_bytes_out),
        );
        add(&mut self.shuffle_bytes, metrics.shuffle_bytes_out);
        add(&mut self.spill_bytes, metrics.spilled_bytes);
        add(&mut self.queue_messages, metrics.reports);
        self.modules.add(&metrics.modules);
        self.storage_requests.add(&metrics.storage);
    }
}

/// What things cost. The defaults are those of AWS in `us-east-1` (Fargate on ARM, S3 Standard, SQS), see
/// `docs/cost.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriceTable {
    /// Names the table; every estimate says which one it was made with.
    pub version: String,
    /// The currency of all prices, such as `USD`.
    pub currency: String,
    /// An hour of one processor.
    pub vcpu_hour: f64,
    /// An hour of one GiB of memory.
    pub memory_gib_hour: f64,
    /// A thousand writes, lists and copies of the storage.
    pub storage_thousand_puts: f64,
    /// A thousand reads of the storage.
    pub storage_thousand_gets: f64,
    /// A million requests to the queues; a message takes three.
    pub queue_million_requests: f64,
    /// What part of the price of processors and memory is to be paid, from 0 to 1: below 1 with discounts, such as
    /// those of spot capacity.
    pub compute_share: f64,
}

impl Default for PriceTable {
    fn default() -> Self {
        Self {
            version: "aws-us-east-1-2026-06".to_owned(),
            currency: "USD".to_owned(),
            vcpu_hour: 0.032_38,
            memory_gib_hour: 0.003_56,
            storage_thousand_puts: 0.005,
            storage_thousand_gets: 0.000_4,
            queue_million_requests: 0.5,
            compute_share: 1.0,
        }
    }
}

/// A price table that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the price table's `{key}` is {problem}")]
pub struct InvalidPriceTable {
    key: &'static str,
    problem: &'static str,
}

impl PriceTable {
    /// Refuses prices that are none.
    ///
    /// # Errors
    /// When a price is negative or not a number, the share is not from 0 to 1, or a name is empty.
    pub fn check(&self) -> Result<(), InvalidPriceTable> {
        let prices = [
            ("vcpu_hour", self.vcpu_hour),
            ("memory_gib_hour", self.memory_gib_hour),
            ("storage_thousand_puts", self.storage_thousand_puts),
            ("storage_thousand_gets", self.storage_thousand_gets),
            ("queue_million_requests", self.queue_million_requests),
            ("compute_share", self.compute_share),
        ];
        let problem = |key, problem| Err(InvalidPriceTable { key, problem });
        for (key, price) in prices {
            if !price.is_finite() || price < 0.0 {
                return problem(key, "not a price: give a number from zero on");
            }
        }
        if self.compute_share > 1.0 {
            return problem("compute_share", "more than 1: it is the part that is paid");
        }
        for (key, name) in [("version", &self.version), ("currency", &self.currency)] {
            if name.is_empty() {
                return problem(key, "empty");
            }
        }
        Ok(())
    }

    /// About what something costs.
    pub fn estimate(&self, usage: &Usage) -> CostEstimate {
        let requests = usage.all_storage_requests();
        let line = |item, quantity: f64, unit, price: f64| CostLine {
            item,
            quantity,
            unit,
            amount: quantity * price,
        };
        let hours = |seconds: f64| seconds / 3600.0;
        let puts = requests.put.saturating_add(requests.list) as f64;
        // What an object is costs as much as its bytes.
        let gets = requests.get.saturating_add(requests.head) as f64;
        let lines = vec![
            line(
                CostItem::Vcpu,
                hours(usage.vcpu_seconds()),
                CostUnit::Hours,
                self.vcpu_hour * self.compute_share,
            ),
            line(
                CostItem::Memory,
                hours(usage.memory_gib_seconds()),
                CostUnit::GibHours,
                self.memory_gib_hour * self.compute_share,
            ),
            line(
                CostItem::StorageWrites,
                puts,
                CostUnit::Requests,
                self.storage_thousand_puts / 1e3,
            ),
            line(
                CostItem::StorageReads,
                gets,
                CostUnit::Requests,
                self.storage_thousand_gets / 1e3,
            ),
            line(
                CostItem::Queue,
                usage.queue_requests() as f64,
                CostUnit::Requests,
                self.queue_million_requests / 1e6,
            ),
        ];
        CostEstimate {
            amount: lines.iter().map(|line| line.amount).sum(),
            currency: self.currency.clone(),
            price_table_version: self.version.clone(),
            lines,
        }
    }
}

/// About what a run costs: its own share only, without what is paid for while nothing runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CostEstimate {
    /// The sum of the lines.
    pub amount: f64,
    /// The currency.
    pub currency: String,
    /// Which prices.
    pub price_table_version: String,
    /// What for.
    pub lines: Vec<CostLine>,
}

/// One line of an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostLine {
    /// What for.
    pub item: CostItem,
    /// How much of it.
    pub quantity: f64,
    /// Of what.
    pub unit: CostUnit,
    /// The price of that.
    pub amount: f64,
}

/// What costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostItem {
    /// Processors.
    Vcpu,
    /// Memory.
    Memory,
    /// Writes and lists of the storage.
    StorageWrites,
    /// Reads of the storage.
    StorageReads,
    /// Requests to the queues.
    Queue,
}

/// What a line counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostUnit {
    /// Hours.
    Hours,
    /// GiB times hours.
    GibHours,
    /// Requests.
    Requests,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_slot_has_is_its_share_of_the_worker() {
        let allowance = Allowance {
            worker_slots: 4,
            worker_millicpus: 2_000,
            worker_memory_bytes: 8 << 30,
        };
        let mut usage = Usage::default();
        let metrics = TaskMetrics {
            rows_in: 10,
            shuffle_rows_in: 4,
            bytes_out: 100,
            shuffle_bytes_out: 100,
            ..TaskMetrics::default()
        };
        usage.add_attempt(&metrics, 10_000_000, allowance);
        assert_eq!(
            (usage.task_seconds(), usage.vcpu_seconds(), usage.memory_gib_seconds()),
            (10.0, 5.0, 20.0)
        );
        assert_eq!((usage.rows_read, usage.shuffle_bytes, usage.bytes_written), (6, 100, 0));
    }

    /// The worked example of `docs/findings.md`.
    #[test]
    fn an_estimate_is_the_sum_of_its_lines() {
        let usage = Usage {
            vcpu_us: 7_200_000_000,
            memory_mib_ms: 28_800 * 1_024_000,
            storage_requests: StorageRequests {
                put: 880,
                list: 90,
                get: 8_990,
                head: 1_000,
                delete: 100,
            },
            control_storage_requests: StorageRequests {
                put: 20,
                list: 10,
                get: 10,
                head: 0,
                delete: 400,
            },
            queue_messages: 2_000,
            ..Usage::default()
        };
        let estimate = PriceTable::default().estimate(&usage);
        let amounts: Vec<f64> = estimate
            .lines
            .iter()
            .map(|line| (line.amount * 1e6).round() / 1e6)
            .collect();
        assert_eq!(amounts, [0.06476, 0.02848, 0.005, 0.004, 0.003]);
        assert!((estimate.amount - 0.105_24).abs() < 1e-9, "{estimate:?}");
        assert_eq!(estimate.price_table_version, "aws-us-east-1-2026-06");
    }

    #[test]
    fn prices_that_are_none_are_refused() {
        let table = |change: fn(&mut PriceTable)| {
            let mut table = PriceTable::default();
            change(&mut table);
            table.check().map_err(|error| error.to_string())
        };
        assert_eq!(table(|_| {}), Ok(()));
        assert!(table(|table| table.vcpu_hour = -1.0).unwrap_err().contains("vcpu_hour"));
        assert!(table(|table| table.storage_thousand_gets = f64::NAN).is_err());
        assert!(table(|table| table.compute_share = 1.5).is_err());
        assert!(table(|table| table.version.clear()).is_err());
    }
}
