# Three roles: what ECS may do to start a task, what the server may do, and what may be done for one tenant.

locals {
  ecs_tasks_trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Condition = {
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${local.region}:${local.account}:*" }
        StringEquals = { "aws:SourceAccount" = local.account }
      }
    }]
  })

  # `arn:key::` names a part of a secret; permission is for the whole.
  secret_arns = distinct(compact(concat(
    [for arn in values(var.secrets) : join(":", slice(split(":", arn), 0, 7))],
    var.setup_container == null ? [] : [var.setup_container.secret_arn],
  )))
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-control-plane-execution"
  description        = "ECS starts control-plane tasks: pulls the image, writes logs, reads the secrets it hands over"
  assume_role_policy = local.ecs_tasks_trust
}

resource "aws_iam_role_policy" "execution" {
  name = "start-tasks"
  role = aws_iam_role.execution.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "LogInToRegistry"
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = ["*"]
        },
        {
          Sid      = "PullImages"
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = ["arn:${local.partition}:ecr:${local.region}:${local.account}:repository/*"]
        },
        {
          Sid      = "WriteLogs"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = ["${aws_cloudwatch_log_group.this.arn}:*"]
        },
      ],
      length(local.secret_arns) == 0 ? [] : [
        {
          Sid      = "ReadSecrets"
          Effect   = "Allow"
          Action   = ["secretsmanager:GetSecretValue"]
          Resource = local.secret_arns
        },
        {
          Sid      = "DecryptSecrets"
          Effect   = "Allow"
          Action   = ["kms:Decrypt"]
          Resource = [var.kms_key_arn]
        },
      ],
    )
  })
}

resource "aws_iam_role" "task" {
  name               = "${var.name}-control-plane"
  description        = "The control plane: queues, storage, database, scaling workers, credentials for tenants"
  assume_role_policy = local.ecs_tasks_trust
}

resource "aws_iam_role_policy" "task" {
  name = "control-plane"
  role = aws_iam_role.task.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(var.task_statements, [
      {
        Sid      = "ActForTenants"
        Effect   = "Allow"
        Action   = ["sts:AssumeRole"]
        Resource = [aws_iam_role.tenant.arn]
      },
    ])
  })
}

# What no tenant may be allowed more than. The control plane assumes it with a session policy that names one tenant's
# prefixes: the credentials that it hands to a task open the intersection of both.
resource "aws_iam_role" "tenant" {
  name                 = "${var.name}-tenant"
  description          = "Assumed by the control plane with a session policy for one tenant's prefixes"
  max_session_duration = 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { AWS = aws_iam_role.task.arn }
    }]
  })
}

resource "aws_iam_role_policy" "tenant" {
  name = "tenant-data"
  role = aws_iam_role.tenant.id

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = var.tenant_statements
  })
}
