# Alarms, where they go, and that each can be acted on.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name                = "weir"
  kms_key_arn         = "arn:aws:kms:eu-west-1:123456789012:key/1"
  alarm_emails        = ["ops@example.com"]
  telemetry           = true
  cluster_name        = "weir"
  services            = { control_plane = "weir-control-plane", workers = "weir-workers" }
  load_balancer       = { arn_suffix = "app/weir/1", target_group_suffix = "targetgroup/weir/2" }
  queues              = { tasks = "weir-tasks", reports = "weir-reports", dead_tasks = "weir-tasks-dead-letters", dead_reports = "weir-reports-dead-letters" }
  database_dimensions = { DBInstanceIdentifier = "weir" }
  database_storage_gb = 20
  log_groups          = { control_plane = "/weir/weir/control-plane", workers = "/weir/weir/workers" }
}

run "everything" {
  command = plan

  module {
    source = "./modules/observability"
  }

  assert {
    condition = toset(output.alarm_names) == toset([
      "api-errors", "api-slow", "api-unavailable", "control-plane-memory",
      "database-connections", "database-cpu", "database-memory", "database-storage",
      "dead-reports", "dead-tasks", "dispatch-behind", "reports-waiting", "store-errors", "tasks-waiting", "workers-missing",
    ])
    error_message = "these fifteen alarms have a section in docs/operations.md and a line in the cost table"
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : length(alarm.alarm_actions) == 1 && length(alarm.ok_actions) == 1])
    error_message = "every alarm must tell somebody when it starts and when it ends"
  }
  assert {
    condition     = alltrue([for key, alarm in aws_cloudwatch_metric_alarm.this : endswith(alarm.alarm_description, "docs/operations.md#${key}.")])
    error_message = "every alarm must say where to read what to do"
  }
  assert {
    condition     = alltrue([for name in output.alarm_names : strcontains(file("../docs/operations.md"), "\n### ${name}\n")])
    error_message = "docs/operations.md must say for every alarm what to do"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["api-unavailable"].treat_missing_data == "breaching"
    error_message = "a load balancer without targets sends no count of healthy ones: that must alarm, too"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["dead-tasks"].threshold == 0 && aws_cloudwatch_metric_alarm.this["dead-tasks"].dimensions["QueueName"] == "weir-tasks-dead-letters"
    error_message = "a single dead letter must alarm"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["database-storage"].threshold == 4000000000
    error_message = "the alarm must come when a fifth of 20 GB is left"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["api-slow"].extended_statistic == "p95" && aws_cloudwatch_metric_alarm.this["api-slow"].statistic == null
    error_message = "slowness is judged by a percentile, not by an average"
  }
  assert {
    condition     = aws_sns_topic_subscription.email["ops@example.com"].protocol == "email" && aws_sns_topic.alarms.kms_master_key_id == "arn:aws:kms:eu-west-1:123456789012:key/1"
    error_message = "the topic must be encrypted and have its subscriber"
  }
  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 12
    error_message = "eleven graphs and the table of errors must be on the dashboard"
  }
}

run "without_telemetry" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    telemetry = false
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.workers_missing) == 0 && !anytrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.namespace == "Weir"])
    error_message = "no alarm may wait for metrics that nobody sends"
  }
}

run "with_a_database_of_ones_own" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    database_dimensions = null
    database_storage_gb = null
  }

  assert {
    condition     = !anytrue([for name in output.alarm_names : startswith(name, "database-")])
    error_message = "a database that is not the stack's is not watched by it"
  }
}

run "further_actions" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    alarm_action_arns = ["arn:aws:sns:eu-west-1:123456789012:pager"]
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : contains(alarm.alarm_actions, "arn:aws:sns:eu-west-1:123456789012:pager")])
    error_message = "every alarm must page"
  }
}
