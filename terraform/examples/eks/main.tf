# Weir on a Kubernetes cluster that is there already: the stack's buckets, queues and database, roles for pods by EKS Pod
# Identity, and in `manifests` the same images with KEDA scaling workers on the queue. See README.md.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { project = "weir" }
  }
}

variable "region" {
  description = "Where the cluster is."
  type        = string
  default     = "us-east-1"
}

variable "name" {
  description = "Prefix of every name."
  type        = string
  default     = "weir"
}

variable "cluster_name" {
  description = "The EKS cluster. It needs the add-on `eks-pod-identity-agent`, KEDA 2.13 or newer, and for `network_policy.yaml` a network plugin that enforces policies."
  type        = string
}

variable "namespace" {
  description = "Namespace of Weir's pods."
  type        = string
  default     = "weir"
}

variable "keda_namespace" {
  description = "Namespace of KEDA's operator."
  type        = string
  default     = "keda"
}

variable "vpc_id" {
  description = "The cluster's VPC."
  type        = string
}

variable "database_subnet_ids" {
  description = "Subnets for the database, in two or more zones."
  type        = list(string)
}

variable "node_security_group_id" {
  description = "Security group of the nodes or pods that run the control plane."
  type        = string
}

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}
data "aws_partition" "current" {}

resource "aws_kms_key" "this" {
  description         = "Weir ${var.name} on EKS: database, buckets, queues"
  enable_key_rotation = true

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AccountDecidesByIam"
        Effect    = "Allow"
        Principal = { AWS = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "DatabaseLogs"
        Effect    = "Allow"
        Principal = { Service = "logs.${data.aws_region.current.name}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        Resource  = "*"
        Condition = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:log-group:/aws/rds/*/${var.name}/*" } }
      },
    ]
  })
}

module "storage" {
  source = "../../modules/storage"

  name        = var.name
  kms_key_arn = aws_kms_key.this.arn
}

module "queue" {
  source = "../../modules/queue"

  name        = var.name
  kms_key_arn = aws_kms_key.this.arn
}

module "database" {
  source = "../../modules/database"

  name        = var.name
  kind        = "rds"
  vpc_id      = var.vpc_id
  subnet_ids  = var.database_subnet_ids
  kms_key_arn = aws_kms_key.this.arn
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  security_group_id            = module.database.security_group_id
  description                  = "Nodes of the cluster; a network policy lets only the control plane out to it"
  referenced_security_group_id = var.node_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

# ---- roles

locals {
  pods = {
    control-plane = {
      namespace = var.namespace
      statements = concat(module.storage.control_plane_statements, module.queue.control_plane_statements, module.database.connect_statements, [{
        Sid      = "ActForTenants"
        Effect   = "Allow"
        Action   = ["sts:AssumeRole"]
        Resource = ["arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:role/${var.name}-tenant"]
      }])
    }
    worker = {
      namespace  = var.namespace
      statements = concat(module.storage.worker_statements, module.queue.worker_statements)
    }
    keda-operator = {
      namespace  = var.keda_namespace
      statements = module.queue.scaler_statements
    }
  }
}

resource "aws_iam_role" "pod" {
  for_each = local.pods

  name        = "${var.name}-${each.key}"
  description = "Pods of the service account ${each.key} in the namespace ${each.value.namespace}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Principal = { Service = "pods.eks.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "pod" {
  for_each = local.pods

  name = each.key
  role = aws_iam_role.pod[each.key].id

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = each.value.statements
  })
}

resource "aws_eks_pod_identity_association" "this" {
  for_each = local.pods

  cluster_name    = var.cluster_name
  namespace       = each.value.namespace
  service_account = each.key
  role_arn        = aws_iam_role.pod[each.key].arn
}

resource "aws_iam_role" "tenant" {
  name        = "${var.name}-tenant"
  description = "Assumed by the control plane with a session policy for one tenant's prefixes"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Principal = { AWS = aws_iam_role.pod["control-plane"].arn }
    }]
  })
}

resource "aws_iam_role_policy" "tenant" {
  name = "tenant-data"
  role = aws_iam_role.tenant.id

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = module.storage.tenant_statements
  })
}

# ---- what the manifests need

output "settings" {
  description = "Settings of all pods: `terraform output -raw settings > manifests/settings.env`."
  value       = <<-ENV
    AWS_REGION=${data.aws_region.current.name}
    WEIR_STORAGE=${module.storage.url}
    WEIR_TASK_QUEUE=${module.queue.task_queue_url}
    WEIR_REPORT_QUEUE=${module.queue.report_queue_url}
    WEIR_LOG_FORMAT=json
  ENV
}

output "control_plane_settings" {
  description = "Settings of the control plane: `terraform output -raw control_plane_settings > manifests/control-plane.env`."
  value       = <<-ENV
    WEIR_DATABASE_URL=${module.database.url}
    WEIR_DATABASE_AUTH=iam
    WEIR_DEAD_LETTER_QUEUE=${module.queue.dead_letter_queue_url}
    WEIR_TENANT_ROLE_ARN=${aws_iam_role.tenant.arn}
    WEIR_PROVISIONER=none
    WEIR_MIGRATE=true
  ENV
}

output "setup_settings" {
  description = "For the job that makes the database's role: `terraform output -raw setup_settings > manifests/setup/setup.env`."
  value       = <<-ENV
    PGHOST=${module.database.host}
    PGDATABASE=${module.database.database}
    PGUSER=${module.database.administrator}
    PGSSLMODE=require
  ENV
}

output "administrator_secret_arn" {
  description = "The secret with the administrator's password."
  value       = module.database.administrator_secret_arn
}

output "setup_sql" {
  description = "What that job runs: `terraform output -raw setup_sql > manifests/setup/setup.sql`."
  value       = module.database.setup_sql
}
