# Workers: an ECS service whose size the control plane sets, from none to as many as it may. They hold nothing that
# cannot be lost, listen to nobody, and cannot reach Postgres.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}
data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name

  service_name = "${var.name}-workers"
  service_arn  = "arn:${local.partition}:ecs:${local.region}:${local.account}:service/${var.cluster.name}/${local.service_name}"
  data_dir     = "/var/lib/weir"
  health_port  = 8081

  # Of the task's memory, what is left beside the collector and the process itself, less a tenth for what is not counted.
  collector_memory = var.collector_container == null ? 0 : var.collector_container.memory
  task_memory      = floor((var.memory - local.collector_memory - 256) * 0.9)
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:How long to keep logs is the operator's choice and money
  name              = "/weir/${var.name}/workers"
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
      mode                  = "non-blocking"
      max-buffer-size       = "4m"
    }
  }

  worker = {
    name      = "weir"
    image     = var.image
    essential = true
    command   = ["worker"]

    readonlyRootFilesystem = true
    linuxParameters        = { initProcessEnabled = false, capabilities = { drop = ["ALL"] } }
    mountPoints            = [{ sourceVolume = "data", containerPath = local.data_dir, readOnly = false }]
    # Shuffle reads are many sockets at once.
    ulimits = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]

    environment = [
      for key, value in merge(
        {
          WEIR_SLOTS  = tostring(max(1, floor(var.cpu / 1024)))
          WEIR_MEMORY = "${local.task_memory}MiB"
        },
        var.environment,
        {
          WEIR_HEALTH_LISTEN       = "127.0.0.1:${local.health_port}"
          WEIR_DATA_DIR            = local.data_dir
          WEIR_ECS_TASK_PROTECTION = "true"
        },
      ) : { name = key, value = value }
    ]

    healthCheck = {
      command     = ["CMD", "weir", "doctor", "--url", "http://127.0.0.1:${local.health_port}/healthz"]
      interval    = 15
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }

    # The longest that Fargate has, and the warning that Spot gives: tasks that end in it are not done again.
    stopTimeout      = 120
    logConfiguration = local.log_configuration
  }

  containers = concat(
    [jsonencode(local.worker)],
    var.collector_container == null ? [] : [jsonencode(merge(var.collector_container, { logConfiguration = local.log_configuration }))],
  )
}

resource "aws_ecs_task_definition" "this" {
  family                   = local.service_name
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

  # 20 GB come with every task, and Fargate takes 21 as the least to ask for.
  dynamic "ephemeral_storage" {
    for_each = var.ephemeral_storage_gb > 20 ? [var.ephemeral_storage_gb] : []

    content {
      size_in_gib = ephemeral_storage.value
    }
  }

  volume {
    name = "data"
  }
}

resource "aws_ecs_service" "this" {
  #checkov:skip=CKV_AWS_333:Public addresses are how tasks without NAT reach AWS; no rule lets anybody in
  name            = local.service_name
  cluster         = var.cluster.arn
  task_definition = aws_ecs_task_definition.this.arn
  desired_count   = 0

  platform_version = "LATEST"
  propagate_tags   = "SERVICE"
  # Would stop busy workers to even out zones.
  availability_zone_rebalancing = "DISABLED"

  dynamic "capacity_provider_strategy" {
    for_each = { for provider, share in { FARGATE_SPOT = { weight = var.spot_weight, base = 0 }, FARGATE = { weight = var.on_demand_weight, base = var.on_demand_base } } : provider => share if share.weight + share.base > 0 }

    content {
      capacity_provider = capacity_provider_strategy.key
      weight            = capacity_provider_strategy.value.weight
      base              = capacity_provider_strategy.value.base
    }
  }

  # An upgrade stops idle workers and starts new ones; those that protected themselves go on until they are done.
  deployment_minimum_healthy_percent = 50
  deployment_maximum_percent         = 200

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = var.assign_public_ip
  }

  lifecycle {
    # The control plane's, by UpdateService.
    ignore_changes = [desired_count]
  }

  depends_on = [aws_iam_role_policy.task, aws_iam_role_policy.execution]
}

resource "aws_security_group" "this" {
  name        = "${var.name}-workers"
  description = "Workers: nobody comes in, AWS is reached over HTTPS, Postgres is not"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-workers" }
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.this.id
  description       = "AWS over HTTPS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
