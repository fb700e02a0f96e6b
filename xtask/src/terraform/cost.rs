//! The cost tables of `docs/operations.md`, computed from `docs/cost.json`.
//!
//! What is billed while a stack is idle is what the examples make: Terraform's tests compare the same numbers with them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::terraform::generated::Document;

const STACKS: [&str; 2] = ["dev", "production"];

/// The operators' document, with its tables.
pub(super) fn document(docs: &Path) -> Result<Document> {
    let path = docs.join("cost.json");
    let text = fs::read_to_string(&path).map_err(Error::io("read", path))?;
    let model: Value =
        serde_json::from_str(&text).map_err(|error| Error::Terraform(format!("docs/cost.json: {error}")))?;
    let model = Model(&model);
    let sections = [
        ("unit prices", unit_prices(&model)?),
        ("cost of idle stacks", idle(&model)?),
        ("cost of busy stacks", busy(&model)?),
        ("cost of a terabyte", per_terabyte(&model)?),
    ];
    Ok(Document {
        path: docs.join("operations.md"),
        sections: sections.map(|(name, text)| (name.to_owned(), text)).into(),
    })
}

/// The file, by JSON pointers.
struct Model<'a>(&'a Value);

impl Model<'_> {
    fn number(&self, pointer: &str) -> Result<f64> {
        self.0
            .pointer(pointer)
            .and_then(Value::as_f64)
            .ok_or_else(|| missing(pointer))
    }

    /// A quantity that a stack need not have.
    fn number_or_none(&self, pointer: &str) -> f64 {
        self.0.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0)
    }

    fn text(&self, pointer: &str) -> Result<&str> {
        self.0
            .pointer(pointer)
            .and_then(Value::as_str)
            .ok_or_else(|| missing(pointer))
    }

    fn price(&self, name: &str) -> Result<f64> {
        self.number(&format!("/prices/{name}"))
    }
}

fn missing(pointer: &str) -> Error {
    Error::Terraform(format!("docs/cost.json has no {pointer}"))
}

/// One line of a bill: `quantity` times `price`.
struct Line {
    what: String,
    quantity: f64,
    unit: &'static str,
    price: f64,
}

impl Line {
    /// So many units at so many dollars each.
    fn new(what: &str, quantity: f64, unit: &'static str, price: f64) -> Self {
        Self {
            what: what.to_owned(),
            quantity,
            unit,
            price,
        }
    }

    fn usd(&self) -> f64 {
        self.quantity * self.price
    }

    /// `0.25 vCPU × 730 h × 0.03238`
    fn computed(&self) -> String {
        let quantity = format!("{} {}", short(self.quantity), self.unit);
        format!("{} × {}", quantity.trim_end(), short(self.price))
    }
}

/// A number without zeros that say nothing.
fn short(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn total(lines: &[Line]) -> f64 {
    lines.iter().map(Line::usd).sum()
}

/// What a stack costs a month while nothing runs.
fn idle_lines(model: &Model<'_>, stack: &str) -> Result<Vec<Line>> {
    let hours = model.number("/hours_per_month")?;
    let billed = |name: &str| model.number(&format!("/stacks/{stack}/billed_while_idle/{name}"));
    let used = |name: &str| model.number_or_none(&format!("/stacks/{stack}/idle_usage/{name}"));
    let class = model.text(&format!("/stacks/{stack}/billed_while_idle/database"))?;
    let hourly = |what: &str, count: &str, price: &str| -> Result<Line> {
        Ok(Line::new(what, billed(count)? * hours, "h", model.price(price)?))
    };
    let monthly = |what: &str, count: &str, unit: &'static str, price: &str| -> Result<Line> {
        Ok(Line::new(what, billed(count)?, unit, model.price(price)?))
    };
    let by_use = |what: &str, amount: &str, unit: &'static str, price: &str| -> Result<Line> {
        Ok(Line::new(what, used(amount), unit, model.price(price)?))
    };
    let vcpu_hours = (billed("control_plane_vcpu")? + billed("worker_vcpu")?) * hours;
    let vcpu_price = model.price("fargate_arm_vcpu_hour")?;
    let gb_hours = (billed("control_plane_gb")? + billed("worker_gb")?) * hours;
    let gb_price = model.price("fargate_arm_gb_hour")?;
    Ok(vec![
        Line::new("control plane: processors", vcpu_hours, "vCPU h", vcpu_price),
        Line::new("control plane: memory", gb_hours, "GB h", gb_price),
        hourly(
            "database: instances",
            "database_instances",
            &format!("rds_instance_hour/{class}"),
        )?,
        monthly("database: storage", "database_storage_gb", "GB", "rds_storage_gb_month")?,
        hourly("load balancer", "load_balancers", "load_balancer_hour")?,
        hourly("public IPv4 addresses", "public_ipv4_addresses", "public_ipv4_hour")?,
        hourly("NAT gateway", "nat_gateways", "nat_gateway_hour")?,
        by_use("NAT gateway: traffic", "nat_gb", "GB", "nat_gateway_gb")?,
        hourly(
            "interface endpoints",
            "interface_endpoint_zones",
            "interface_endpoint_hour",
        )?,
        monthly("WAF", "web_acls", "ACL", "web_acl_month")?,
        monthly("WAF: rules", "web_acl_rules", "rules", "web_acl_rule_month")?,
        monthly("alarms", "alarm_metrics", "metrics", "alarm_metric_month")?,
        monthly("Weir's metrics", "custom_metrics", "metrics", "custom_metric_month")?,
        monthly("dashboard", "dashboards", "", "dashboard_month")?,
        monthly("KMS key", "kms_keys", "", "kms_key_month")?,
        monthly("secrets", "secrets", "", "secret_month")?,
        by_use("logs", "log_gb", "GB", "log_gb")?,
        by_use(
            "SQS: polling",
            "sqs_million_requests",
            "M requests",
            "sqs_million_requests",
        )?,
        by_use("S3", "s3_gb", "GB", "s3_gb_month")?,
        by_use("ECR", "ecr_gb", "GB", "ecr_gb_month")?,
    ])
}

fn idle(model: &Model<'_>) -> Result<String> {
    let [dev, production] = [idle_lines(model, STACKS[0])?, idle_lines(model, STACKS[1])?];
    let mut table =
        "| a month, nothing running | `examples/dev` | USD | `examples/production` | USD |\n|---|---|---:|---|---:|\n"
            .to_owned();
    for (left, right) in dev.iter().zip(&production) {
        if left.quantity == 0.0 && right.quantity == 0.0 {
            continue;
        }
        let _ = writeln!(table, "| {} | {} | {} |", left.what, cells(left), cells(right));
    }
    let mut totals = Vec::new();
    for (stack, lines) in STACKS.iter().zip([&dev, &production]) {
        let (total, limit) = (total(lines), model.number(&format!("/stacks/{stack}/limit_usd"))?);
        if total > limit {
            return Err(Error::Terraform(format!(
                "an idle {stack} stack costs {total:.2} USD a month, which is more than {limit}"
            )));
        }
        totals.push(format!("at most {limit} | **{total:.2}**"));
    }
    let _ = writeln!(table, "| **total** | {} |", totals.join(" | "));
    Ok(table)
}

fn cells(line: &Line) -> String {
    if line.quantity == 0.0 {
        "– | 0.00".to_owned()
    } else {
        format!("{} | {:.2}", line.computed(), line.usd())
    }
}

/// What a terabyte of a workload costs, without what the stack costs anyway.
fn terabyte_lines(model: &Model<'_>, workload: &str, spot_share: f64) -> Result<Vec<Line>> {
    let common = |name: &str| model.number(&format!("/per_terabyte/{name}"));
    let own = |name: &str| model.number(&format!("/per_terabyte/workloads/{workload}/{name}"));
    let price = |name: &str| model.price(name);

    // A terabyte is a million megabytes.
    let busy_hours = 1e6 / own("mb_per_second_and_vcpu")? / 3600.0;
    let hours = busy_hours / common("utilisation")?;
    let on_demand = price("fargate_arm_vcpu_hour")? + common("gb_of_memory_per_vcpu")? * price("fargate_arm_gb_hour")?;
    let spot = on_demand * (1.0 - price("fargate_spot_discount")?);
    let (maps, reduces, shuffled) = (own("map_tasks")?, own("reduce_tasks")?, own("shuffled_gb")?);
    let month = model.number("/hours_per_month")?;

    let thousand_reads = 1e6 / common("read_mb")? / 1000.0;
    // Each reducer reads one range of each map task's object; each range of more than a read's size is several reads.
    let reads_of_range = (shuffled * 1000.0 / (maps * reduces) / common("read_mb")?)
        .ceil()
        .max(1.0);
    let thousand_ranges = maps * reduces * reads_of_range / 1000.0;
    // Parts of uploads are as large as reads.
    let thousand_parts = |gb: f64, objects: f64| (gb * 1000.0 / common("read_mb").unwrap_or(1.0)).max(objects) / 1000.0;
    Ok(vec![
        Line::new("workers on Spot", hours * spot_share, "vCPU h", spot),
        Line::new("workers on demand", hours * (1.0 - spot_share), "vCPU h", on_demand),
        Line::new(
            "workers' disks",
            hours * common("disk_gb_per_vcpu")?,
            "GB h",
            price("fargate_disk_gb_hour")?,
        ),
        Line::new("reading inputs", thousand_reads, "k GETs", price("s3_thousand_gets")?),
        Line::new(
            "writing the shuffle",
            thousand_parts(shuffled, maps),
            "k PUTs",
            price("s3_thousand_puts")?,
        ),
        Line::new(
            "reading the shuffle",
            thousand_ranges,
            "k GETs",
            price("s3_thousand_gets")?,
        ),
        Line::new(
            "keeping the shuffle",
            shuffled * common("hours_in_storage")? / month,
            "GB months",
            price("s3_gb_month")?,
        ),
        Line::new(
            "writing outputs",
            thousand_parts(own("written_gb")?, reduces),
            "k PUTs",
            price("s3_thousand_puts")?,
        ),
        Line::new(
            "messages",
            (maps + reduces) * common("requests_per_task")? / 1e6,
            "M requests",
            price("sqs_million_requests")?,
        ),
        Line::new("logs", common("log_gb")?, "GB", price("log_gb")?),
    ])
}

fn per_terabyte(model: &Model<'_>) -> Result<String> {
    let spot_share = model.number("/per_terabyte/spot_share")?;
    let mut text = String::new();
    for workload in ["sql", "wasm"] {
        let lines = terabyte_lines(model, workload, spot_share)?;
        let what = model.text(&format!("/per_terabyte/workloads/{workload}/what"))?;
        let rate = model.number(&format!("/per_terabyte/workloads/{workload}/mb_per_second_and_vcpu"))?;
        let _ = writeln!(
            text,
            "\n{}; {} MB/s a processor:\n\n| a terabyte | how much | USD |\n|---|---|---:|",
            capitalised(what),
            short(rate)
        );
        for line in lines.iter().filter(|line| line.quantity > 0.0) {
            let _ = writeln!(
                text,
                "| {} | {:.2} {} × {} | {:.3} |",
                line.what,
                line.quantity,
                line.unit,
                short(line.price),
                line.usd()
            );
        }
        let _ = writeln!(text, "| **total** | | **{:.2}** |", total(&lines));
    }
    Ok(text)
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + chars.as_str()
    })
}

/// What comes on top of the idle stack in a busy month.
fn busy(model: &Model<'_>) -> Result<String> {
    let hours = model.number("/hours_per_month")?;
    let mut text = String::new();
    for stack in STACKS {
        let busy = |name: &str| model.number_or_none(&format!("/stacks/{stack}/busy/{name}"));
        let idle = |name: &str| model.number_or_none(&format!("/stacks/{stack}/idle_usage/{name}"));
        let mut rows = vec![("the idle stack".to_owned(), total(&idle_lines(model, stack)?))];
        let spot_share = busy("spot_share");
        for workload in ["sql", "wasm"] {
            let terabytes = busy(&format!("terabytes/{workload}"));
            let each = total(&terabyte_lines(model, workload, spot_share)?);
            let what = format!("{} TB of {workload} × {each:.2}", short(terabytes));
            rows.push((what, terabytes * each));
        }
        if let Ok(class) = model.text(&format!("/stacks/{stack}/busy/database")) {
            let instances = model.number(&format!("/stacks/{stack}/billed_while_idle/database_instances"))?;
            let before = model.text(&format!("/stacks/{stack}/billed_while_idle/database"))?;
            let more = model.price(&format!("rds_instance_hour/{class}"))?
                - model.price(&format!("rds_instance_hour/{before}"))?;
            rows.push((
                format!("database: {class} instead of {before}"),
                instances * hours * more,
            ));
        }
        let mut more = |what: &str, quantity: f64, unit: &str, price: f64| {
            if quantity > 0.0 {
                rows.push((
                    format!("{what}: {} {unit} × {}", short(quantity), short(price)),
                    quantity * price,
                ));
            }
        };
        more(
            "load balancer",
            busy("load_balancer_units") * hours,
            "unit h",
            model.price("load_balancer_unit_hour")?,
        );
        more(
            "NAT gateway",
            busy("nat_gb") - idle("nat_gb"),
            "GB more",
            model.price("nat_gateway_gb")?,
        );
        more(
            "WAF",
            busy("web_acl_million_requests"),
            "M requests",
            model.price("web_acl_million_requests")?,
        );
        more(
            "logs of the control plane",
            busy("log_gb") - idle("log_gb"),
            "GB more",
            model.price("log_gb")?,
        );
        more(
            "SQS of the control plane",
            busy("sqs_million_requests") - idle("sqs_million_requests"),
            "M requests more",
            model.price("sqs_million_requests")?,
        );
        more(
            "tables in S3",
            busy("s3_gb") - idle("s3_gb"),
            "GB more",
            model.price("s3_gb_month")?,
        );

        let what = model.text(&format!("/stacks/{stack}/busy/what"))?;
        let _ = writeln!(
            text,
            "\n`examples/{stack}`: {what}.\n\n| a busy month | USD |\n|---|---:|"
        );
        for (what, usd) in &rows {
            let _ = writeln!(text, "| {what} | {usd:.2} |");
        }
        let sum: f64 = rows.iter().map(|(_, usd)| usd).sum();
        let _ = writeln!(text, "| **total** | **{sum:.2}** |");
    }
    Ok(text)
}

fn unit_prices(model: &Model<'_>) -> Result<String> {
    let mut text = format!(
        "On-demand list prices of {}, as of {}, without free tiers and taxes; computed on {}; a month has {} hours.\n\n\
         | what | USD |\n|---|---:|\n",
        model.text("/region")?,
        model.text("/prices_as_of")?,
        model.text("/computed_on")?,
        short(model.number("/hours_per_month")?),
    );
    for (what, name) in PRICES {
        let _ = writeln!(text, "| {what} | {} |", short(model.price(name)?));
    }
    Ok(text)
}

/// Every price, as people read it.
const PRICES: &[(&str, &str)] = &[
    ("Fargate, ARM: vCPU, an hour", "fargate_arm_vcpu_hour"),
    ("Fargate, ARM: GB of memory, an hour", "fargate_arm_gb_hour"),
    (
        "Fargate Spot: discount assumed (it floats; AWS says up to 0.7)",
        "fargate_spot_discount",
    ),
    ("Fargate: GB of disk beyond 20, an hour", "fargate_disk_gb_hour"),
    ("Application Load Balancer, an hour", "load_balancer_hour"),
    (
        "Application Load Balancer: capacity unit, an hour",
        "load_balancer_unit_hour",
    ),
    ("public IPv4 address, an hour", "public_ipv4_hour"),
    ("NAT gateway, an hour", "nat_gateway_hour"),
    ("NAT gateway, a GB", "nat_gateway_gb"),
    ("interface endpoint, an hour in each zone", "interface_endpoint_hour"),
    (
        "RDS for PostgreSQL: db.t4g.micro, an hour",
        "rds_instance_hour/db.t4g.micro",
    ),
    (
        "RDS for PostgreSQL: db.t4g.small, an hour",
        "rds_instance_hour/db.t4g.small",
    ),
    (
        "RDS for PostgreSQL: db.t4g.medium, an hour",
        "rds_instance_hour/db.t4g.medium",
    ),
    ("RDS: GB of gp3 storage, a month", "rds_storage_gb_month"),
    ("KMS key, a month", "kms_key_month"),
    ("Secrets Manager: secret, a month", "secret_month"),
    ("WAF: ACL, a month", "web_acl_month"),
    ("WAF: rule, a month", "web_acl_rule_month"),
    ("WAF: a million requests", "web_acl_million_requests"),
    ("CloudWatch: metric in an alarm, a month", "alarm_metric_month"),
    ("CloudWatch: custom metric, a month", "custom_metric_month"),
    ("CloudWatch: dashboard, a month", "dashboard_month"),
    ("CloudWatch: GB of logs", "log_gb"),
    ("SQS, fair queues: a million requests", "sqs_million_requests"),
    ("S3: GB, a month", "s3_gb_month"),
    ("S3: a thousand PUTs", "s3_thousand_puts"),
    ("S3: a thousand GETs", "s3_thousand_gets"),
    ("ECR: GB, a month", "ecr_gb_month"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_how_it_is_computed() {
        let line = Line {
            what: "control plane".to_owned(),
            quantity: 0.25 * 730.0,
            unit: "vCPU h",
            price: 0.03238,
        };
        assert_eq!(cells(&line), "182.5 vCPU h × 0.03238 | 5.91");
    }

    #[test]
    fn numbers_have_no_zeros_at_their_ends() {
        assert_eq!(
            (short(730.0), short(0.016), short(100.5)),
            ("730".into(), "0.016".into(), "100.5".into())
        );
    }

    #[test]
    fn a_stack_over_its_limit_is_an_error() {
        let path = crate::command::root().join("docs/cost.json");
        let mut model: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert!(idle(&Model(&model)).is_ok());
        model["stacks"]["dev"]["billed_while_idle"]["nat_gateways"] = 1.into();
        let error = idle(&Model(&model)).unwrap_err();
        assert!(error.to_string().contains("an idle dev stack costs"), "{error}");
    }
}
