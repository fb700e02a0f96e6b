//! Applies the stack to an emulator of AWS, and plans again: nothing may be left to change but what the emulator is known
//! not to keep.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command::run as run_command;
use crate::error::{Error, Result};
use crate::python;
use crate::terraform::provider::Provider;
use crate::terraform::{Scratch, suite};

const START_LIMIT: Duration = Duration::from_secs(60);

/// Attributes that the emulator forgets or answers wrongly, by type of resource; an empty list is all of them.
const FORGOTTEN: &[(&str, &[&str])] = &[
    ("aws_cloudwatch_metric_alarm", &[]),
    (
        "aws_db_instance",
        &["enabled_cloudwatch_logs_exports", "performance_insights_kms_key_id"],
    ),
    ("aws_ecs_service", &["availability_zone_rebalancing"]),
];

/// A stack with a network, NAT, database, CI role; without WAF and flow logs, which the emulator lacks.
const STACK: &str = r#"
terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  s3_use_path_style           = true
  skip_credentials_validation = true
}

module "weir" {
  source = "../terraform"

  name                = "weir-local"
  image_tag           = "1.0.0"
  ingress_cidrs       = ["127.0.0.1/32"]
  insecure_http       = true
  network_mode        = "nat"
  alarm_emails        = ["ops@example.com"]
  github              = { repository = "acme/weir" }
  deletion_protection = false
}
"#;

/// Applies, and plans again.
pub(super) fn run(scratch: &Scratch, provider: &Provider) -> Result<()> {
    let dir = scratch.path("stack");
    fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
    let main = dir.join("main.tf");
    fs::write(&main, STACK).map_err(Error::io("write", main))?;
    let emulator = Emulator::start(scratch)?;
    let terraform = || {
        let mut command = scratch.command(&dir);
        command.env("AWS_ENDPOINT_URL", format!("http://{}", emulator.address));
        command
    };

    suite::output(provider.init(&mut terraform()))?;
    let started = Instant::now();
    run_command(
        terraform()
            .args(["apply", "-auto-approve", "-input=false", "-no-color", "-parallelism=20"])
            .stdout(Stdio::null()),
    )?;
    eprintln!("applied in {:.0} s", started.elapsed().as_secs_f64());
    suite::output(terraform().args(["plan", "-input=false", "-no-color", "-out=next.tfplan"]))?;
    let text = suite::output(terraform().args(["show", "-json", "next.tfplan"]))?;
    let plan: Value = serde_json::from_str(&text).map_err(|error| Error::Output {
        command: "terraform show -json".to_owned(),
        problem: error.to_string(),
    })?;
    let resources = plan["resource_changes"].as_array().map_or(0, Vec::len);
    if resources == 0 {
        return Err(Error::Terraform(
            "the stack that was applied has no resources".to_owned(),
        ));
    }
    let changes = changes(&plan);
    if changes.is_empty() {
        eprintln!("{resources} resources; the next plan changes none of what the emulator keeps");
        Ok(())
    } else {
        Err(Error::Terraform(format!(
            "the next plan changes {}",
            changes.join("; ")
        )))
    }
}

/// What a plan would change, but for what the emulator forgets.
fn changes(plan: &Value) -> Vec<String> {
    let resources = plan["resource_changes"].as_array().into_iter().flatten();
    resources.filter_map(change).collect()
}

fn change(resource: &Value) -> Option<String> {
    let change = &resource["change"];
    let actions: Vec<_> = change["actions"].as_array()?.iter().filter_map(Value::as_str).collect();
    if matches!(actions[..], ["no-op" | "read"]) {
        return None;
    }
    let address = resource["address"].as_str().unwrap_or_default();
    let (before, after) = (change["before"].as_object(), change["after"].as_object());
    let differing: Vec<&str> = match (before, after) {
        (Some(before), Some(after)) => {
            let keys = before
                .keys()
                .chain(after.keys().filter(|key| !before.contains_key(*key)));
            keys.filter(|key| before.get(*key) != after.get(*key))
                .map(String::as_str)
                .collect()
        }
        _ => Vec::new(),
    };
    let forgotten = FORGOTTEN.iter().find(|(kind, _)| resource["type"] == *kind);
    let excused = actions == ["update"]
        && forgotten.is_some_and(|(_, names)| names.is_empty() || differing.iter().all(|name| names.contains(name)));
    (!excused).then(|| format!("{address} ({}: {})", actions.join(", "), differing.join(", ")))
}

/// The emulator, which ends when this is dropped.
struct Emulator {
    process: Child,
    address: SocketAddr,
}

impl Emulator {
    fn start(scratch: &Scratch) -> Result<Self> {
        let tools = python::emulator()?;
        let address = free_address()?;
        let log_path = scratch.path("emulator.log");
        let log = File::create(&log_path).map_err(Error::io("create", &log_path))?;
        let program = tools.program("ministack");
        let process = Command::new(&program)
            .env("BIND_HOST", address.ip().to_string())
            .env("GATEWAY_PORT", address.port().to_string())
            // It would start databases and tasks in containers, were there any.
            .env("DOCKER_HOST", "unix:///nonexistent")
            .env("TMPDIR", scratch.folder.path())
            .current_dir(scratch.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(Error::io("open", &log_path))?)
            .stderr(log)
            .spawn()
            .map_err(|source| Error::Start {
                command: "ministack".to_owned(),
                source,
            })?;
        let mut emulator = Self { process, address };
        let started = Instant::now();
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            let ended = emulator.process.try_wait().map_err(Error::io("wait for", &program))?;
            if ended.is_some() || started.elapsed() > START_LIMIT {
                let log = fs::read_to_string(&log_path).unwrap_or_default();
                return Err(Error::Terraform(format!("the emulator of AWS did not start:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(emulator)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about other errors.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener.map_err(Error::io("listen on", "127.0.0.1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn planned(kind: &str, actions: &[&str], before: Value, after: Value) -> Value {
        json!({"resource_changes": [{
            "address": "module.weir.it", "type": kind, "change": {"actions": actions, "before": before, "after": after}
        }]})
    }

    #[test]
    fn a_plan_without_changes_has_none() {
        assert!(changes(&planned("aws_sqs_queue", &["no-op"], json!({"a": 1}), json!({"a": 1}))).is_empty());
    }

    #[test]
    fn only_what_the_emulator_forgets_is_excused() {
        let update = ["update"];
        let forgotten = planned(
            "aws_ecs_service",
            &update,
            json!({}),
            json!({"availability_zone_rebalancing": "ENABLED"}),
        );
        assert!(changes(&forgotten).is_empty());
        let other = planned("aws_ecs_service", &update, json!({"cpu": 1}), json!({"cpu": 2}));
        assert_eq!(changes(&other), ["module.weir.it (update: cpu)"]);
        let replaced = planned(
            "aws_ecs_service",
            &["delete", "create"],
            json!({}),
            json!({"availability_zone_rebalancing": 1}),
        );
        assert_eq!(changes(&replaced).len(), 1);
        let made = planned("aws_sqs_queue", &["create"], json!(null), json!({"name": "q"}));
        assert_eq!(changes(&made).len(), 1);
    }
}
