output "url" {
  description = "Where the API and the dashboard are."
  value       = module.control_plane.url
}

output "api_key_secret" {
  description = "Name of the secret that holds the first administrator's key."
  value       = aws_secretsmanager_secret.api_key.name
}

output "load_balancer" {
  description = "The load balancer's name in DNS and its hosted zone, for a record of your own."
  value = {
    dns_name = module.control_plane.load_balancer.dns_name
    zone_id  = module.control_plane.load_balancer.zone_id
  }
}

output "repository_url" {
  description = "The ECR repository to push images to; null when `image` is given."
  value       = one(aws_ecr_repository.this[*].repository_url)
}

output "storage_url" {
  description = "Where Weir keeps its objects."
  value       = module.storage.url
}

output "data_bucket" {
  description = "The data bucket."
  value       = module.storage.data_bucket
}

output "queue_urls" {
  description = "The queues: tasks, reports, dead_letters."
  value = {
    tasks        = module.queue.task_queue_url
    reports      = module.queue.report_queue_url
    dead_letters = module.queue.dead_letter_queue_url
  }
}

output "database_host" {
  description = "Host name of the database that the stack made."
  value       = one(module.database[*].host)
}

output "cluster_name" {
  description = "The ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "services" {
  description = "The ECS services: control_plane, workers."
  value = {
    control_plane = module.control_plane.service_name
    workers       = module.workers.service_name
  }
}

output "roles" {
  description = "ARNs of the roles: control_plane, workers, tenant, ci."
  value = {
    control_plane = module.control_plane.roles.task
    workers       = module.workers.roles.task
    tenant        = module.control_plane.roles.tenant
    ci            = one(module.ci_oidc[*].role_arn)
  }
}

output "vpc_id" {
  description = "The VPC."
  value       = local.network.vpc_id
}

output "security_group_ids" {
  description = "Security groups of the tasks: control_plane, workers."
  value = {
    control_plane = module.control_plane.security_group_id
    workers       = module.workers.security_group_id
  }
}

output "nat_public_ips" {
  description = "Addresses that tasks come from with `network_mode = \"nat\"`."
  value       = flatten(module.network[*].nat_public_ips)
}

output "kms_key_arn" {
  description = "The stack's key."
  value       = aws_kms_key.this.arn
}

output "alarm_topic_arn" {
  description = "The topic of the alarms."
  value       = module.observability.topic_arn
}

output "alarm_names" {
  description = "Every alarm, without the prefix; docs/operations.md says what to do."
  value       = module.observability.alarm_names
}

output "dashboard_url" {
  description = "The CloudWatch dashboard."
  value       = module.observability.dashboard_url
}

output "billed_while_idle" {
  description = "What AWS charges for while nothing runs; docs/operations.md makes the cost table of it."
  value = {
    control_plane_vcpu       = var.control_plane.count * var.control_plane.cpu / 1024
    control_plane_gb         = var.control_plane.count * var.control_plane.memory / 1024
    worker_vcpu              = var.workers.min * var.workers.cpu / 1024
    worker_gb                = var.workers.min * var.workers.memory / 1024
    load_balancers           = 1
    public_ipv4_addresses    = (var.internal_load_balancer ? 0 : length(local.network.load_balancer_subnet_ids)) + local.nat_gateways + (local.network.assign_public_ip ? var.control_plane.count + var.workers.min : 0)
    nat_gateways             = local.nat_gateways
    interface_endpoint_zones = sum(concat([0], module.network[*].interface_endpoint_zones))
    database                 = var.database == "rds" ? var.database_options.instance_class : var.database
    database_instances       = var.database == "external" ? 0 : var.database_options.multi_az ? 2 : 1
    database_storage_gb      = var.database == "rds" ? var.database_options.allocated_storage_gb * (var.database_options.multi_az ? 2 : 1) : 0
    kms_keys                 = 1
    secrets                  = var.database == "external" ? 1 : 2
    web_acls                 = var.waf ? 1 : 0
    web_acl_rules            = var.waf ? 4 : 0
    alarm_metrics            = module.observability.alarm_metrics
    custom_metrics           = var.telemetry ? length(local.cloudwatch_metrics) : 0
    dashboards               = 1
  }
}

locals {
  nat_gateways = length(flatten(module.network[*].nat_public_ips))
}
