output "url" {
  description = "Where the API and the dashboard are."
  value       = local.makes_certificate ? "https://${local.domain}" : "${local.serves_https ? "https" : "http"}://${aws_lb.this.dns_name}"
}

output "load_balancer" {
  description = "The load balancer: its name in DNS, its hosted zone, and the suffixes that CloudWatch knows it and its target group by."
  value = {
    dns_name            = aws_lb.this.dns_name
    zone_id             = aws_lb.this.zone_id
    arn_suffix          = aws_lb.this.arn_suffix
    target_group_suffix = aws_lb_target_group.this.arn_suffix
  }
}

output "service_name" {
  description = "The ECS service."
  value       = aws_ecs_service.this.name
}

output "log_group" {
  description = "The log group."
  value       = aws_cloudwatch_log_group.this.name
}

output "security_group_id" {
  description = "Security group of the tasks, for databases of your own."
  value       = aws_security_group.task.id
}

output "roles" {
  description = "ARNs of the roles: task, execution, tenant."
  value = {
    task      = aws_iam_role.task.arn
    execution = aws_iam_role.execution.arn
    tenant    = aws_iam_role.tenant.arn
  }
}

output "containers" {
  description = "The containers of a task as ECS gets them."
  value       = [for definition in local.containers : jsondecode(definition)]
}
