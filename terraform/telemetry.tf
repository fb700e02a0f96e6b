# The collector that runs beside each task, and the container that prepares the database before the server starts.

locals {
  metrics_namespace = "Weir"

  # CloudWatch charges by the metric and month: these are on the dashboard and in alarms, the others stay in the log.
  cloudwatch_metrics = [
    "weir.queue.backlog.tasks",
    "weir.workers.wanted",
    "weir.workers.running",
    "weir.runs.active",
    "weir.tasks.failed",
    "weir.dispatch.latency",
    "weir.outbox.lag",
    "weir.store.errors",
  ]

  collector_config = {
    extensions = { health_check = {} }
    receivers  = { otlp = { protocols = { http = { endpoint = "127.0.0.1:4318" } } } }
    processors = {
      memory_limiter    = { check_interval = "1s", limit_percentage = 75, spike_limit_percentage = 20 }
      resourcedetection = { detectors = ["env", "ecs"], timeout = "2s", override = false }
      batch             = { timeout = "10s" }
    }
    exporters = {
      awsxray = { region = local.region }
      awsemf = {
        region                           = local.region
        namespace                        = local.metrics_namespace
        log_group_name                   = "/weir/${var.name}/metrics"
        log_stream_name                  = "{TaskId}"
        dimension_rollup_option          = "NoDimensionRollup"
        resource_to_telemetry_conversion = { enabled = true }
        metric_declarations = [{
          dimensions            = [["deployment"]]
          metric_name_selectors = [for name in local.cloudwatch_metrics : "^${replace(name, ".", "\\.")}$"]
        }]
      }
    }
    service = {
      extensions = ["health_check"]
      pipelines = {
        traces  = { receivers = ["otlp"], processors = ["memory_limiter", "resourcedetection", "batch"], exporters = ["awsxray"] }
        metrics = { receivers = ["otlp"], processors = ["memory_limiter", "resourcedetection", "batch"], exporters = ["awsemf"] }
      }
    }
  }

  collector_container = !var.telemetry ? null : {
    name                   = "collector"
    image                  = var.collector_image
    essential              = false
    cpu                    = 32
    memory                 = 192
    readonlyRootFilesystem = true
    environment            = [{ name = "AOT_CONFIG_CONTENT", value = yamlencode(local.collector_config) }]
    healthCheck            = { command = ["CMD", "/healthcheck"], interval = 30, timeout = 5, retries = 3, startPeriod = 15 }
  }

  telemetry_environment = !var.telemetry ? {} : {
    OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:4318"
    OTEL_RESOURCE_ATTRIBUTES    = "deployment=${var.name},service.namespace=weir"
  }

  telemetry_statements = !var.telemetry ? [] : [
    {
      Sid      = "WriteMetrics"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
      Resource = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/weir/${var.name}/metrics:*"]
    },
    {
      # X-Ray has no resources.
      Sid      = "WriteTraces"
      Effect   = "Allow"
      Action   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
      Resource = ["*"]
    },
  ]

  setup_container = var.database == "external" ? null : {
    secret_arn = one(module.database[*].administrator_secret_arn)
    definition = {
      name                   = "database-setup"
      image                  = var.database_setup_image
      essential              = false
      user                   = "postgres"
      readonlyRootFilesystem = true
      entryPoint             = ["sh", "-c"]
      command                = ["printf '%s' \"$SETUP_SQL\" | psql --no-psqlrc --quiet --set ON_ERROR_STOP=1"]
      environment = [
        { name = "PGHOST", value = one(module.database[*].host) },
        { name = "PGDATABASE", value = one(module.database[*].database) },
        { name = "PGUSER", value = one(module.database[*].administrator) },
        { name = "PGSSLMODE", value = "require" },
        { name = "PGCONNECT_TIMEOUT", value = "10" },
        { name = "SETUP_SQL", value = one(module.database[*].setup_sql) },
      ]
      secrets = [{ name = "PGPASSWORD", valueFrom = "${coalesce(one(module.database[*].administrator_secret_arn), "-")}:password::" }]
    }
  }

  tenant_role_arn = "arn:${local.partition}:iam::${local.account}:role/${var.name}-tenant"
}

resource "aws_cloudwatch_log_group" "metrics" {
  #checkov:skip=CKV_AWS_338:How long to keep logs is the operator's choice and money
  count = var.telemetry ? 1 : 0

  name              = "/weir/${var.name}/metrics"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.this.arn
}
