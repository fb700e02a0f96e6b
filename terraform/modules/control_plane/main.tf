# The control plane: an ECS service behind a load balancer. Any number of tasks may run; Postgres says which one owns a run.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}
data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name

  port = 8080
  # Of the task itself: nobody who reaches the load balancer sees metrics.
  metrics_port = 9090
  container    = "weir"
  data_dir     = "/var/lib/weir"
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/weir/${var.name}/control-plane"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

locals {
  log_configuration = {
    logDriver = "awslogs"
    options = {
      awslogs-group         = aws_cloudwatch_log_group.this.name
      awslogs-region        = local.region
      awslogs-stream-prefix = "task"
      # A slow log service must not stop the server.
      mode            = "non-blocking"
      max-buffer-size = "4m"
    }
  }

  server = {
    name      = local.container
    image     = var.image
    essential = true
    command   = ["server"]

    # Everything that is written goes to the volume below.
    readonlyRootFilesystem = true
    linuxParameters        = { initProcessEnabled = false, capabilities = { drop = ["ALL"] } }

    portMappings = [{ name = "http", containerPort = local.port, hostPort = local.port, protocol = "tcp" }]
    mountPoints  = [{ sourceVolume = "data", containerPath = local.data_dir, readOnly = false }]

    environment = [
      for key, value in merge(var.environment, { WEIR_LISTEN = "0.0.0.0:${local.port}", WEIR_METRICS_LISTEN = "127.0.0.1:${local.metrics_port}", WEIR_DATA_DIR = local.data_dir }) :
      { name = key, value = value }
    ]
    secrets = [for key, arn in var.secrets : { name = key, valueFrom = arn }]

    # Whether it is alive, not whether Postgres is: replacing every task during a failover would make things worse.
    healthCheck = {
      command     = ["CMD", "weir", "doctor", "--url", "http://127.0.0.1:${local.port}/healthz"]
      interval    = 15
      timeout     = 5
      retries     = 3
      startPeriod = 60
    }

    # It drains for up to 30 s after SIGTERM.
    stopTimeout      = 60
    logConfiguration = local.log_configuration

    dependsOn = var.setup_container == null ? [] : [{ containerName = var.setup_container.definition.name, condition = "SUCCESS" }]
  }

  # JSON, because these have different shapes, and Terraform's lists want one.
  containers = concat(
    [jsonencode(local.server)],
    var.setup_container == null ? [] : [jsonencode(merge(var.setup_container.definition, { logConfiguration = local.log_configuration }))],
    var.collector_container == null ? [] : [jsonencode(merge(var.collector_container, { logConfiguration = local.log_configuration }))],
  )
}

resource "aws_ecs_task_definition" "this" {
  family                   = "${var.name}-control-plane"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions    = "[${join(",", local.containers)}]"

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  volume {
    name = "data"
  }
}

resource "aws_ecs_service" "this" {
  name            = "${var.name}-control-plane"
  cluster         = var.cluster.arn
  task_definition = aws_ecs_task_definition.this.arn
  desired_count   = var.desired_count

  platform_version              = "LATEST"
  propagate_tags                = "SERVICE"
  availability_zone_rebalancing = "ENABLED"

  capacity_provider_strategy {
    capacity_provider = "FARGATE"
    weight            = 1
  }

  # New tasks are healthy before old ones stop, so versions run side by side for minutes at each upgrade.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 120

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.task_subnet_ids
    security_groups  = [aws_security_group.task.id]
    assign_public_ip = var.assign_public_ip
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this.arn
    container_name   = local.container
    container_port   = local.port
  }

  # A task that starts before its role may read secrets fails.
  depends_on = [aws_lb_listener.http, aws_lb_listener.https, aws_iam_role_policy.task, aws_iam_role_policy.execution]
}
