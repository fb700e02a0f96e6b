//! What a run used and what that costs, for the API.

use serde::{Deserialize, Serialize};
use weir_model::{Allowance, CostItem, CostUnit, PriceTable};

/// What a run used so far: its attempts that are over, and the control plane. Attempts that failed or were given up count as well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Usage {
    /// Seconds that attempts had a slot of a worker.
    pub task_seconds: f64,
    /// Seconds of processors that belong to these slots: a slot has its share of its worker's. This is what is billed.
    pub vcpu_seconds: f64,
    /// Seconds of CPU time of the attempts' own threads, as the operating system counts them: what operators hand to
    /// other threads is not in it.
    pub cpu_seconds: f64,
    /// Memory that belongs to these slots, over time: a slot has its share of its worker's. GiB times seconds.
    pub memory_gib_seconds: f64,
    /// Seconds inside Wasm functions.
    pub wasm_seconds: f64,
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
    /// once its history is stored, for that and its clean-up.
    pub control_storage_requests: StorageRequests,
    /// Requests to the queues: each message is sent, received and deleted.
    pub queue_requests: u64,
    /// Where the Wasm modules of attempts came from.
    pub modules: ModuleLoads,
    /// Workers that ran attempts.
    pub workers: u32,
    /// About what that costs.
    pub estimated_cost: Cost,
}

/// Where Wasm modules came from: each attempt asks for those that it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModuleLoads {
    /// Those that a worker had to compile.
    pub compiled: u64,
    /// Those that a worker read from its machine's cache of compiled ones.
    pub cached: u64,
    /// Those that a worker had in memory, or was loading for another attempt.
    pub warm: u64,
    /// Seconds that attempts waited for their modules.
    pub load_seconds: f64,
}

/// Requests to an object storage, by what they are billed as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StorageRequests {
    /// Writes: of objects, of parts of uploads, copies, and the begin and end of uploads.
    pub put: u64,
    /// Reads of objects or of ranges.
    pub get: u64,
    /// Looks at what an object is, without its bytes.
    pub head: u64,
    /// Pages of lists.
    pub list: u64,
    /// Deletions.
    pub delete: u64,
}

/// About what a run costs: its own share, without what is paid for while nothing runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Cost {
    /// The sum of the lines.
    pub amount: f64,
    /// The currency.
    #[schema(example = "USD")]
    pub currency: String,
    /// Which prices of the server's configuration.
    pub price_table_version: String,
    /// What for.
    pub lines: Vec<CostLine>,
}

/// One line of an estimate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CostLine {
    /// What for.
    pub item: BilledItem,
    /// How much of it.
    pub quantity: f64,
    /// Of what.
    pub unit: BilledUnit,
    /// The price of that.
    pub amount: f64,
}

/// What costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BilledItem {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BilledUnit {
    /// Hours.
    Hours,
    /// GiB times hours.
    GibHours,
    /// Requests.
    Requests,
}

/// What a task of a run is allowed, as its latest attempt said; nothing is known before the first one is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Resources {
    /// Tasks that a worker runs at once.
    pub worker_slots: Option<u32>,
    /// Processors of a worker.
    pub worker_vcpus: Option<f64>,
    /// Bytes that all tasks of a worker together may hold; beyond them they spill, or fail.
    pub worker_memory_bytes: Option<u64>,
    /// The share of one slot in them. A task may hold more while the others hold less.
    pub slot_memory_bytes: Option<u64>,
}

impl Usage {
    /// What was used, at these prices.
    pub fn new(usage: &weir_model::Usage, prices: &PriceTable) -> Self {
        let cost = prices.estimate(usage);
        Self {
            task_seconds: usage.task_seconds(),
            vcpu_seconds: usage.vcpu_seconds(),
            cpu_seconds: usage.cpu_us as f64 / 1e6,
            memory_gib_seconds: usage.memory_gib_seconds(),
            wasm_seconds: usage.wasm_us as f64 / 1e6,
            rows_read: usage.rows_read,
            bytes_read: usage.bytes_read,
            rows_written: usage.rows_written,
            bytes_written: usage.bytes_written,
            shuffle_bytes: usage.shuffle_bytes,
            spill_bytes: usage.spill_bytes,
            storage_requests: usage.storage_requests.into(),
            control_storage_requests: usage.control_storage_requests.into(),
            queue_requests: usage.queue_requests(),
            modules: ModuleLoads {
                compiled: usage.modules.compiled,
                cached: usage.modules.cached,
                warm: usage.modules.warm,
                load_seconds: usage.modules.load_us as f64 / 1e6,
            },
            workers: usage.workers,
            estimated_cost: Cost {
                amount: cost.amount,
                currency: cost.currency,
                price_table_version: cost.price_table_version,
                lines: cost.lines.iter().map(CostLine::from).collect(),
            },
        }
    }
}

impl From<weir_model::StorageRequests> for StorageRequests {
    fn from(requests: weir_model::StorageRequests) -> Self {
        Self {
            put: requests.put,
            get: requests.get,
            head: requests.head,
            list: requests.list,
            delete: requests.delete,
        }
    }
}

impl From<&weir_model::CostLine> for CostLine {
    fn from(line: &weir_model::CostLine) -> Self {
        Self {
            item: match line.item {
                CostItem::Vcpu => BilledItem::Vcpu,
                CostItem::Memory => BilledItem::Memory,
                CostItem::StorageWrites => BilledItem::StorageWrites,
                CostItem::StorageReads => BilledItem::StorageReads,
                CostItem::Queue => BilledItem::Queue,
            },
            quantity: line.quantity,
            unit: match line.unit {
                CostUnit::Hours => BilledUnit::Hours,
                CostUnit::GibHours => BilledUnit::GibHours,
                CostUnit::Requests => BilledUnit::Requests,
            },
            amount: line.amount,
        }
    }
}

impl From<Allowance> for Resources {
    fn from(allowance: Allowance) -> Self {
        let memory = (allowance.worker_memory_bytes > 0).then_some(allowance.worker_memory_bytes);
        let slots = (allowance.worker_slots > 0).then_some(allowance.worker_slots);
        Self {
            worker_slots: slots,
            worker_vcpus: slots.map(|_| f64::from(allowance.worker_millicpus) / 1000.0),
            worker_memory_bytes: memory,
            slot_memory_bytes: memory.zip(slots).map(|(memory, slots)| memory / u64::from(slots)),
        }
    }
}
