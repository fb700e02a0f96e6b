output "topic_arn" {
  description = "The topic of the alarms."
  value       = aws_sns_topic.alarms.arn
}

output "alarm_names" {
  description = "Every alarm, without the prefix: the headings in docs/operations.md."
  value       = concat(keys(local.alarms), var.telemetry ? ["workers-missing"] : [])
}

output "dashboard_url" {
  description = "The dashboard in the console."
  value       = "https://${local.region}.console.aws.amazon.com/cloudwatch/home?region=${local.region}#dashboards/dashboard/${aws_cloudwatch_dashboard.this.dashboard_name}"
}

output "alarm_metrics" {
  description = "Metrics in alarms, which is what alarms are charged by; `workers-missing` looks at two."
  value       = length(local.alarms) + (var.telemetry ? 2 : 0)
}
