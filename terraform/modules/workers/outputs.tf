output "service_name" {
  description = "WEIR_ECS_SERVICE."
  # Written out, and not taken from the service, so that the control plane need not wait for it.
  value = local.service_name
}

output "scaler_statements" {
  description = "IAM statements to set the size of the service."
  value = [{
    Sid      = "ScaleWorkers"
    Effect   = "Allow"
    Action   = ["ecs:DescribeServices", "ecs:UpdateService"]
    Resource = [local.service_arn]
  }]
}

output "log_group" {
  description = "The log group."
  value       = aws_cloudwatch_log_group.this.name
}

output "security_group_id" {
  description = "Security group of the tasks."
  value       = aws_security_group.this.id
}

output "roles" {
  description = "ARNs of the roles: task, execution."
  value = {
    task      = aws_iam_role.task.arn
    execution = aws_iam_role.execution.arn
  }
}

output "containers" {
  description = "The containers of a task as ECS gets them."
  value       = [for definition in local.containers : jsondecode(definition)]
}
