# Tasks go from the control plane to workers, reports come back; each queue has a dead-letter queue. Standard queues:
# Postgres is the truth, messages may be lost, doubled or reordered. The tenant is the message group (fair queues).

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}
data "aws_partition" "current" {}

locals {
  names = {
    tasks   = "${var.name}-tasks"
    reports = "${var.name}-reports"
  }
  arn_prefix = "arn:${data.aws_partition.current.partition}:sqs:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}"
  arns       = { for key, name in local.names : key => "${local.arn_prefix}:${name}" }
  dead_arns  = { for key, name in local.names : key => "${local.arn_prefix}:${name}-dead-letters" }
  # Control planes give reports back while they are behind with a run, and each time counts as a receive.
  max_receive_counts = { tasks = var.max_receive_count, reports = 1000 }
}

resource "aws_sqs_queue" "this" {
  for_each = local.names

  name                              = each.value
  visibility_timeout_seconds        = var.visibility_timeout_seconds
  receive_wait_time_seconds         = 20
  message_retention_seconds         = 4 * 24 * 3600
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = 3600

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters[each.key].arn
    maxReceiveCount     = local.max_receive_counts[each.key]
  })
}

resource "aws_sqs_queue" "dead_letters" {
  for_each = local.names

  name                              = "${each.value}-dead-letters"
  receive_wait_time_seconds         = 20
  message_retention_seconds         = 14 * 24 * 3600
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = 3600
}

resource "aws_sqs_queue_redrive_allow_policy" "dead_letters" {
  for_each = local.names

  queue_url = aws_sqs_queue.dead_letters[each.key].url

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [local.arns[each.key]]
  })
}

resource "aws_sqs_queue_policy" "this" {
  for_each = local.names

  queue_url = aws_sqs_queue.this[each.key].url

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "DenyWithoutTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = local.arns[each.key]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

resource "aws_sqs_queue_policy" "dead_letters" {
  for_each = local.names

  queue_url = aws_sqs_queue.dead_letters[each.key].url

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "DenyWithoutTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = local.dead_arns[each.key]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}
