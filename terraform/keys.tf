# One key for everything that is kept: its policy lets the account's IAM decide, and the services that encrypt on the
# stack's behalf use it for the stack's own things only.

resource "aws_kms_key" "this" {
  description             = "Weir ${var.name}: database, buckets, queues, logs, secrets, images"
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_protection ? 30 : 7

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AccountDecidesByIam"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "LogGroupsOfTheStack"
        Effect    = "Allow"
        Principal = { Service = "logs.${local.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        Resource  = "*"
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:logs:arn" = [
              "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/weir/${var.name}/*",
              "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/aws/rds/*/${var.name}/*",
              "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:aws-waf-logs-${var.name}",
            ]
          }
        }
      },
      {
        Sid       = "AlarmsToTheTopic"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
    ]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

# The first administrator's key of the API; the server stores its hash. It is made while applying (two random UUIDs have
# 244 random bits) and handed over by a write-only argument, so that it is in no plan and no state.
resource "aws_secretsmanager_secret" "api_key" {
  #checkov:skip=CKV2_AWS_57:It is rotated by making another key with it and revoking it: docs/operations.md
  name                    = "${var.name}/bootstrap-api-key"
  description             = "First administrator's key of Weir's API"
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = var.deletion_protection ? 30 : 0
}

resource "aws_secretsmanager_secret_version" "api_key" {
  secret_id                = aws_secretsmanager_secret.api_key.id
  secret_string_wo         = "weir_${sha256("${uuid()}${uuid()}")}"
  secret_string_wo_version = var.api_key_version
}
