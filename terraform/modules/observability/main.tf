# Where alarms go, and what raises them. Each alarm has a section in docs/operations.md that says what to do.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}
data "aws_partition" "current" {}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsPublish"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarms.arn
        Condition = {
          ArnLike      = { "aws:SourceArn" = "arn:${data.aws_partition.current.partition}:cloudwatch:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:alarm:${var.name}-*" }
          StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id }
        }
      },
      {
        Sid       = "DenyWithoutTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarms.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.alarm_emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

locals {
  load_balancer = { LoadBalancer = var.load_balancer.arn_suffix, TargetGroup = var.load_balancer.target_group_suffix }
  deployment    = { deployment = var.name }

  # What every alarm says, so that the table below says only what differs.
  defaults = {
    statistic          = "Maximum"
    extended_statistic = null
    comparison         = "GreaterThanThreshold"
    period             = 60
    periods            = 5
    missing            = "notBreaching"
  }

  api_alarms = {
    api-unavailable = {
      description = "No control-plane task is healthy: nobody can submit, and no run goes on."
      namespace   = "AWS/ApplicationELB", metric = "HealthyHostCount", dimensions = local.load_balancer
      comparison  = "LessThanThreshold", threshold = 1, periods = 3, missing = "breaching"
    }
    api-errors = {
      description = "The API answers with errors of its own (5xx)."
      namespace   = "AWS/ApplicationELB", metric = "HTTPCode_Target_5XX_Count", dimensions = local.load_balancer
      statistic   = "Sum", threshold = 10, period = 300, periods = 1
    }
    api-slow = {
      description        = "One request in twenty takes more than two seconds."
      namespace          = "AWS/ApplicationELB", metric = "TargetResponseTime", dimensions = local.load_balancer
      extended_statistic = "p95", threshold = 2, period = 300, periods = 3
    }
    control-plane-memory = {
      description = "Control-plane tasks run short of memory."
      namespace   = "AWS/ECS", metric = "MemoryUtilization", dimensions = { ClusterName = var.cluster_name, ServiceName = var.services.control_plane }
      threshold   = 85
    }
  }

  queue_alarms = {
    tasks-waiting = {
      description = "A task has waited for a worker for a quarter of an hour."
      namespace   = "AWS/SQS", metric = "ApproximateAgeOfOldestMessage", dimensions = { QueueName = var.queues["tasks"] }
      threshold   = 900
    }
    reports-waiting = {
      description = "The control plane does not take reports."
      namespace   = "AWS/SQS", metric = "ApproximateAgeOfOldestMessage", dimensions = { QueueName = var.queues["reports"] }
      threshold   = 120
    }
    dead-tasks = {
      description = "A task message was received too often without a report: it kills its workers."
      namespace   = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = var.queues["dead_tasks"] }
      threshold   = 0, period = 300, periods = 1
    }
    dead-reports = {
      description = "The control plane could not handle a report."
      namespace   = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", dimensions = { QueueName = var.queues["dead_reports"] }
      threshold   = 0, period = 300, periods = 1
    }
  }

  database_alarms = {
    for name, alarm in {
      database-cpu = {
        description = "The database has been busy for a quarter of an hour."
        metric      = "CPUUtilization", threshold = 80, period = 300, periods = 3
      }
      database-connections = {
        description = "The database has nearly as many connections as it takes."
        metric      = "DatabaseConnections", threshold = var.database_connections_max
      }
      database-memory = {
        description = "The database has less than 100 MB of memory left."
        metric      = "FreeableMemory", comparison = "LessThanThreshold", statistic = "Minimum", threshold = 100 * 1000 * 1000, periods = 15
      }
    } : name => merge({ namespace = "AWS/RDS", dimensions = var.database_dimensions }, alarm) if var.database_dimensions != null
  }

  database_storage_alarms = {
    for name, alarm in {
      database-storage = {
        description = "Less than a fifth of the database's first storage is free, and it does not grow fast enough."
        namespace   = "AWS/RDS", metric = "FreeStorageSpace", dimensions = var.database_dimensions
        comparison  = "LessThanThreshold", statistic = "Minimum", threshold = coalesce(var.database_storage_gb, 1) * 200 * 1000 * 1000
      }
    } : name => alarm if var.database_storage_gb != null
  }

  weir_alarms = {
    for name, alarm in {
      dispatch-behind = {
        description = "More than a thousand tasks that are decided have not been sent for ten minutes."
        metric      = "weir.outbox.lag", threshold = 1000, periods = 10
      }
      store-errors = {
        description = "The control plane cannot use its database."
        metric      = "weir.store.errors", statistic = "Sum", threshold = 10, period = 300, periods = 1
      }
    } : name => merge({ namespace = var.metrics_namespace, dimensions = local.deployment }, alarm) if var.telemetry
  }

  alarms = {
    for name, alarm in merge(local.api_alarms, local.queue_alarms, local.database_alarms, local.database_storage_alarms, local.weir_alarms) :
    name => merge(local.defaults, alarm)
  }
  actions = concat([aws_sns_topic.alarms.arn], var.alarm_action_arns)
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name        = "${var.name}-${each.key}"
  alarm_description = "${each.value.description} See docs/operations.md#${each.key}."

  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.extended_statistic == null ? each.value.statistic : null
  extended_statistic  = each.value.extended_statistic
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.missing

  alarm_actions = local.actions
  ok_actions    = local.actions
}

# Needs the difference of two metrics.
resource "aws_cloudwatch_metric_alarm" "workers_missing" {
  count = var.telemetry ? 1 : 0

  alarm_name          = "${var.name}-workers-missing"
  alarm_description   = "For a quarter of an hour fewer workers have run than the backlog wants. See docs/operations.md#workers-missing."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 15
  treat_missing_data  = "notBreaching"

  metric_query {
    id          = "missing"
    expression  = "wanted - running"
    label       = "Workers that are wanted and do not run"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = toset(["wanted", "running"])

    content {
      id = metric_query.key

      metric {
        namespace   = var.metrics_namespace
        metric_name = "weir.workers.${metric_query.key}"
        dimensions  = local.deployment
        period      = 60
        stat        = "Maximum"
      }
    }
  }

  alarm_actions = local.actions
  ok_actions    = local.actions
}
