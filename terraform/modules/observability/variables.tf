variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "kms_key_arn" {
  description = "Key for the topic."
  type        = string
}

variable "alarm_emails" {
  description = "Addresses that alarms are sent to; each must confirm once."
  type        = set(string)
  default     = []
}

variable "alarm_action_arns" {
  description = "Further actions of alarms: ARNs of topics or incident plans."
  type        = list(string)
  default     = []
}

variable "telemetry" {
  description = "Whether the collector sends Weir's own metrics to CloudWatch, so that there can be alarms on them."
  type        = bool
}

variable "metrics_namespace" {
  description = "CloudWatch namespace of Weir's own metrics."
  type        = string
  default     = "Weir"
}

variable "cluster_name" {
  description = "The ECS cluster."
  type        = string
}

variable "services" {
  description = "Names of the ECS services."
  type = object({
    control_plane = string
    workers       = string
  })
}

variable "load_balancer" {
  description = "Suffixes that CloudWatch knows the load balancer and its target group by."
  type = object({
    arn_suffix          = string
    target_group_suffix = string
  })
}

variable "queues" {
  description = "Names of the queues: tasks, reports, dead_tasks, dead_reports."
  type        = map(string)
}

variable "database_dimensions" {
  description = "Dimensions of the database's metrics; null for a database of your own."
  type        = map(string)
  default     = null
}

variable "database_storage_gb" {
  description = "Storage of an instance, for the alarm on what is left; null where storage grows by itself."
  type        = number
  default     = null
}

variable "database_connections_max" {
  description = "Connections above which there is an alarm."
  type        = number
  default     = 80
}

variable "log_groups" {
  description = "Log groups for the dashboard: control_plane, workers."
  type = object({
    control_plane = string
    workers       = string
  })
}
