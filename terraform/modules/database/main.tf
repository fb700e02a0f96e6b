# Postgres, the truth about every run. Nobody but the control plane reaches it, and it has no password: the role `weir`
# logs in with IAM tokens. The administrator's password is made, kept and rotated by RDS in Secrets Manager.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}
data "aws_partition" "current" {}

locals {
  database      = "weir"
  user          = "weir"
  administrator = "weir_admin"
  is_aurora     = var.kind == "aurora"
  major         = split(".", var.engine_version)[0]

  parameters = {
    # Clients that would not use TLS are refused.
    "rds.force_ssl" = "1"
    # A statement of the control plane that takes half a second is a fault worth finding.
    "log_min_duration_statement" = "500"
    "log_lock_waits"             = "1"
    # A client that died in a transaction must not hold its locks.
    "idle_in_transaction_session_timeout" = "60000"
  }
}

resource "aws_db_subnet_group" "this" {
  name        = var.name
  description = "Database of Weir"
  subnet_ids  = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-database"
  description = "Postgres: the control plane comes in, nothing goes out"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-database" }
}

resource "aws_cloudwatch_log_group" "postgresql" {
  #checkov:skip=CKV_AWS_338:How long to keep logs is the operator's choice and money
  # RDS would make it by itself, without a key, for ever.
  name              = local.is_aurora ? "/aws/rds/cluster/${var.name}/postgresql" : "/aws/rds/instance/${var.name}/postgresql"
  retention_in_days = 30
  kms_key_id        = var.kms_key_arn
}
