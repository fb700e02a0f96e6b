# Weir on AWS. What there is, and why it is so, is in README.md; how to live with it in docs/operations.md.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}
data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name

  image = var.image != null ? var.image : "${one(aws_ecr_repository.this[*].repository_url)}:${var.image_tag}"

  # The sizes that Fargate has: memory in MiB by CPU units.
  fargate_memory = {
    256   = [512, 1024, 2048]
    512   = range(1024, 4097, 1024)
    1024  = range(2048, 8193, 1024)
    2048  = range(4096, 16385, 1024)
    4096  = range(8192, 30721, 1024)
    8192  = range(16384, 61441, 4096)
    16384 = range(32768, 122881, 8192)
  }

  network = var.existing_vpc != null ? {
    vpc_id                   = var.existing_vpc.vpc_id
    load_balancer_subnet_ids = var.existing_vpc.load_balancer_subnet_ids
    task_subnet_ids          = var.existing_vpc.task_subnet_ids
    database_subnet_ids      = var.existing_vpc.database_subnet_ids
    assign_public_ip         = var.existing_vpc.assign_public_ip
    } : {
    vpc_id                   = one(module.network[*].vpc_id)
    load_balancer_subnet_ids = one(module.network[*].public_subnet_ids)
    task_subnet_ids          = one(module.network[*].task_subnet_ids)
    database_subnet_ids      = one(module.network[*].database_subnet_ids)
    assign_public_ip         = one(module.network[*].assign_public_ip)
  }
}

module "network" {
  source = "./modules/network"
  count  = var.existing_vpc == null ? 1 : 0

  name                    = var.name
  cidr                    = var.vpc_cidr
  availability_zone_count = var.availability_zone_count
  mode                    = var.network_mode
  nat_gateway_per_zone    = var.nat_gateway_per_zone
  flow_log_retention_days = var.flow_log_retention_days
  kms_key_arn             = aws_kms_key.this.arn
}

module "storage" {
  source = "./modules/storage"

  name                 = var.name
  kms_key_arn          = aws_kms_key.this.arn
  run_retention_days   = var.run_retention_days
  versioning           = var.bucket_versioning
  log_retention_days   = var.log_retention_days
  readable_bucket_arns = var.readable_bucket_arns
  writable_bucket_arns = var.writable_bucket_arns
  force_destroy        = !var.deletion_protection
}

module "queue" {
  source = "./modules/queue"

  name              = var.name
  kms_key_arn       = aws_kms_key.this.arn
  max_receive_count = var.max_receive_count
}

module "database" {
  source = "./modules/database"
  count  = var.database == "external" ? 0 : 1

  name                     = var.name
  kind                     = var.database
  vpc_id                   = local.network.vpc_id
  subnet_ids               = local.network.database_subnet_ids
  kms_key_arn              = aws_kms_key.this.arn
  engine_version           = var.database_options.engine_version
  instance_class           = var.database_options.instance_class
  allocated_storage_gb     = var.database_options.allocated_storage_gb
  max_allocated_storage_gb = var.database_options.max_storage_gb
  multi_az                 = var.database_options.multi_az
  aurora_capacity          = { min = var.database_options.aurora_min_acu, max = var.database_options.aurora_max_acu }
  backup_retention_days    = var.database_options.backup_retention_days
  deletion_protection      = var.deletion_protection
}

locals {
  other_bucket_key_statements = length(var.bucket_key_arns) == 0 ? [] : [{
    Sid      = "UseKeysOfOtherBuckets"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = var.bucket_key_arns
  }]

  external_database_statements = try(var.external_database.iam_user_arn, null) == null ? [] : [{
    Sid      = "LogInToDatabase"
    Effect   = "Allow"
    Action   = ["rds-db:connect"]
    Resource = [var.external_database.iam_user_arn]
  }]

  common_environment = merge(
    {
      AWS_REGION        = local.region
      WEIR_TASK_QUEUE   = module.queue.task_queue_url
      WEIR_REPORT_QUEUE = module.queue.report_queue_url
      WEIR_STORAGE      = module.storage.url
      WEIR_LOG_FORMAT   = "json"
    },
    local.telemetry_environment,
  )
}

module "control_plane" {
  source = "./modules/control_plane"

  name                     = var.name
  vpc_id                   = local.network.vpc_id
  load_balancer_subnet_ids = local.network.load_balancer_subnet_ids
  task_subnet_ids          = local.network.task_subnet_ids
  assign_public_ip         = local.network.assign_public_ip
  internal                 = var.internal_load_balancer
  ingress_cidrs            = var.ingress_cidrs
  tls                      = var.tls
  waf                      = var.waf
  deletion_protection      = var.deletion_protection
  access_log_bucket        = module.storage.logs_bucket

  cluster       = local.cluster
  image         = local.image
  architecture  = var.architecture
  cpu           = var.control_plane.cpu
  memory        = var.control_plane.memory
  desired_count = var.control_plane.count

  environment = merge(local.common_environment, local.service_environment, var.server_environment, {
    WEIR_DATABASE_URL      = var.database == "external" ? var.external_database.url : one(module.database[*].url)
    WEIR_DATABASE_AUTH     = try(var.external_database.password_secret_arn, null) != null ? "password" : "iam"
    WEIR_DEAD_LETTER_QUEUE = module.queue.dead_letter_queue_url
    WEIR_PROVISIONER       = "ecs"
    WEIR_WORKERS_MIN       = tostring(var.workers.min)
    WEIR_WORKERS_MAX       = tostring(var.workers.max)
    WEIR_ECS_CLUSTER       = aws_ecs_cluster.this.name
    WEIR_ECS_SERVICE       = module.workers.service_name
    WEIR_TENANT_ROLE_ARN   = local.tenant_role_arn
    WEIR_MIGRATE           = tostring(var.migrate_on_start)
    OTEL_SERVICE_NAME      = "weir-control-plane"
  })
  secrets = merge(
    { WEIR_BOOTSTRAP_API_KEY = aws_secretsmanager_secret_version.api_key.arn },
    try(var.external_database.password_secret_arn, null) == null ? {} : { WEIR_DATABASE_PASSWORD = var.external_database.password_secret_arn },
  )
  setup_container     = local.setup_container
  collector_container = local.collector_container

  task_statements = concat(
    module.storage.control_plane_statements,
    module.queue.control_plane_statements,
    module.workers.scaler_statements,
    var.database == "external" ? local.external_database_statements : one(module.database[*].connect_statements),
    local.telemetry_statements,
    local.other_bucket_key_statements,
  )
  tenant_statements = concat(module.storage.tenant_statements, local.other_bucket_key_statements)

  database_security_group_id = var.database == "external" ? try(var.external_database.security_group_id, null) : one(module.database[*].security_group_id)
  open_database_port         = var.database != "external" || try(var.external_database.security_group_id, null) != null
  database_cidr              = try(var.external_database.cidr, null)
  database_port              = try(var.external_database.port, 5432)

  kms_key_arn        = aws_kms_key.this.arn
  log_retention_days = var.log_retention_days
}

module "workers" {
  source = "./modules/workers"

  name             = var.name
  vpc_id           = local.network.vpc_id
  subnet_ids       = local.network.task_subnet_ids
  assign_public_ip = local.network.assign_public_ip

  cluster              = local.cluster
  image                = local.image
  architecture         = var.architecture
  cpu                  = var.workers.cpu
  memory               = var.workers.memory
  ephemeral_storage_gb = var.workers.ephemeral_storage_gb
  spot_weight          = var.workers.spot_weight
  on_demand_weight     = var.workers.on_demand_weight
  on_demand_base       = var.workers.on_demand_base

  environment = merge(
    local.common_environment,
    var.worker_environment,
    { OTEL_SERVICE_NAME = "weir-worker", WEIR_SLOTS = tostring(local.slots) },
  )
  collector_container = local.collector_container
  task_statements = concat(
    module.storage.worker_statements,
    module.queue.worker_statements,
    local.telemetry_statements,
    local.other_bucket_key_statements,
  )

  kms_key_arn        = aws_kms_key.this.arn
  log_retention_days = var.log_retention_days
}

module "observability" {
  source = "./modules/observability"

  name                     = var.name
  kms_key_arn              = aws_kms_key.this.arn
  alarm_emails             = var.alarm_emails
  alarm_action_arns        = var.alarm_action_arns
  telemetry                = var.telemetry
  metrics_namespace        = local.metrics_namespace
  cluster_name             = aws_ecs_cluster.this.name
  services                 = { control_plane = module.control_plane.service_name, workers = module.workers.service_name }
  load_balancer            = { arn_suffix = module.control_plane.load_balancer.arn_suffix, target_group_suffix = module.control_plane.load_balancer.target_group_suffix }
  queues                   = module.queue.names
  database_dimensions      = one(module.database[*].dimensions)
  database_storage_gb      = var.database == "rds" ? var.database_options.allocated_storage_gb : null
  database_connections_max = var.database_options.max_connections_alarm
  log_groups               = { control_plane = module.control_plane.log_group, workers = module.workers.log_group }
}

module "ci_oidc" {
  source = "./modules/ci_oidc"
  count  = var.github == null ? 0 : 1

  name           = var.name
  repository     = var.github.repository
  subjects       = var.github.subjects
  provider_arn   = var.github.provider_arn
  policy_arns    = var.github.policy_arns
  repository_arn = one(aws_ecr_repository.this[*].arn)
}
