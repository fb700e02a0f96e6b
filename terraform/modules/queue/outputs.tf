output "task_queue_url" {
  description = "WEIR_TASK_QUEUE."
  value       = aws_sqs_queue.this["tasks"].url
}

output "report_queue_url" {
  description = "WEIR_REPORT_QUEUE."
  value       = aws_sqs_queue.this["reports"].url
}

output "dead_letter_queue_url" {
  description = "WEIR_DEAD_LETTER_QUEUE: task messages that killed whoever read them."
  value       = aws_sqs_queue.dead_letters["tasks"].url
}

output "names" {
  description = "Names of the queues by what they hold: tasks, reports, dead_tasks, dead_reports."
  value = merge(
    local.names,
    { for key, name in local.names : "dead_${key}" => "${name}-dead-letters" },
  )
}

output "control_plane_statements" {
  description = "IAM statements for the control plane: send tasks, take reports and dead letters, read how long the queues are."
  value = [
    {
      Sid      = "SendTasks"
      Effect   = "Allow"
      Action   = ["sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
      Resource = [local.arns["tasks"]]
    },
    {
      Sid      = "TakeReportsAndDeadLetters"
      Effect   = "Allow"
      Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
      Resource = [local.arns["reports"], local.dead_arns["tasks"]]
    },
    local.key_statement,
  ]
}

output "worker_statements" {
  description = "IAM statements for workers: take tasks, send reports."
  value = [
    {
      Sid      = "TakeTasks"
      Effect   = "Allow"
      Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
      Resource = [local.arns["tasks"]]
    },
    {
      Sid      = "SendReports"
      Effect   = "Allow"
      Action   = ["sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
      Resource = [local.arns["reports"]]
    },
    local.key_statement,
  ]
}

output "scaler_statements" {
  description = "IAM statements for a scaler such as KEDA: read how long the task queue is."
  value = [{
    Sid      = "ReadBacklog"
    Effect   = "Allow"
    Action   = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
    Resource = [local.arns["tasks"]]
  }]
}

locals {
  key_statement = {
    Sid      = "UseQueueKey"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = [var.kms_key_arn]
  }
}
