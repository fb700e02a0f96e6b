locals {
  region = data.aws_region.current.name

  weir_graphs = [
    for graph in [
      { title = "Backlog and workers", metrics = ["weir.queue.backlog.tasks", "weir.workers.wanted", "weir.workers.running"], stat = "Maximum" },
      { title = "Runs that go on", metrics = ["weir.runs.active"], stat = "Maximum" },
      { title = "Failures", metrics = ["weir.tasks.failed", "weir.store.errors"], stat = "Sum" },
      { title = "Tasks to be sent, and seconds until they start", metrics = ["weir.outbox.lag", "weir.dispatch.latency"], stat = "Maximum" },
    ] : { title = graph.title, stat = graph.stat, series = [for metric in graph.metrics : [var.metrics_namespace, metric, "deployment", var.name]] } if var.telemetry
  ]

  aws_graphs = [
    {
      title  = "Queues: messages waiting"
      stat   = "Maximum"
      series = [for name in values(var.queues) : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name]]
    },
    {
      title  = "Queues: age of the oldest message (s)"
      stat   = "Maximum"
      series = [for name in values(var.queues) : ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", name]]
    },
    {
      title = "API: requests and errors"
      stat  = "Sum"
      series = [
        for metric in ["RequestCount", "HTTPCode_Target_4XX_Count", "HTTPCode_Target_5XX_Count"] :
        ["AWS/ApplicationELB", metric, "LoadBalancer", var.load_balancer.arn_suffix]
      ]
    },
    {
      title  = "API: seconds to answer, 95th percentile"
      stat   = "p95"
      series = [["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", var.load_balancer.arn_suffix]]
    },
    {
      title = "Services: CPU and memory (%)"
      stat  = "Maximum"
      series = flatten([
        for service in values(var.services) : [
          for metric in ["CPUUtilization", "MemoryUtilization"] :
          { row = ["AWS/ECS", metric, "ClusterName", var.cluster_name, "ServiceName", service] }
        ]
      ])[*].row
    },
  ]

  database_graphs = [
    for graph in [
      { title = "Database: CPU (%)", metric = "CPUUtilization" },
      { title = "Database: connections", metric = "DatabaseConnections" },
      ] : {
      title  = graph.title
      stat   = "Maximum"
      series = [for dimension, value in var.database_dimensions : ["AWS/RDS", graph.metric, dimension, value]]
    } if var.database_dimensions != null
  ]

  graphs = concat(local.weir_graphs, local.aws_graphs, local.database_graphs)

  # Two in a row; JSON, because the widgets have different shapes.
  widgets = concat(
    [
      for index, graph in local.graphs : jsonencode({
        type   = "metric"
        x      = index % 2 * 12
        y      = floor(index / 2) * 6
        width  = 12
        height = 6
        properties = {
          title   = graph.title
          region  = local.region
          view    = "timeSeries"
          stat    = graph.stat
          period  = 60
          metrics = graph.series
        }
      })
    ],
    [
      jsonencode({
        type   = "log"
        x      = 0
        y      = ceil(length(local.graphs) / 2) * 6
        width  = 24
        height = 8
        properties = {
          title  = "Errors and warnings"
          region = local.region
          view   = "table"
          query  = "SOURCE '${var.log_groups.control_plane}' | SOURCE '${var.log_groups.workers}' | fields @timestamp, level, fields.message, @logStream | filter level in ['ERROR', 'WARN'] | sort @timestamp desc | limit 50"
        }
      }),
    ],
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = "{\"widgets\":[${join(",", local.widgets)}]}"
}
