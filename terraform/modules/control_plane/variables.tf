variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "load_balancer_subnet_ids" {
  description = "Subnets of the load balancer: public ones, or private ones with `internal`."
  type        = list(string)
}

variable "task_subnet_ids" {
  description = "Subnets of the tasks."
  type        = list(string)
}

variable "assign_public_ip" {
  description = "Whether tasks need a public address to reach AWS."
  type        = bool
}

variable "internal" {
  description = "Make the load balancer reachable from inside the network only."
  type        = bool
  default     = false
}

variable "ingress_cidrs" {
  description = "Who may reach the API and the dashboard."
  type        = list(string)
}

variable "tls" {
  description = "`certificate_arn`, or `domain_name` and `route53_zone_id` to make one; none of them serves plain HTTP."
  type = object({
    certificate_arn = optional(string)
    domain_name     = optional(string)
    route53_zone_id = optional(string)
  })
}

variable "waf" {
  description = "Put AWS WAF in front: AWS's rules against common attacks and known bad inputs, and a limit of requests per address."
  type        = bool
  default     = false
}

variable "waf_requests_per_5_minutes" {
  description = "With `waf`: requests of one address in five minutes after which it is blocked for a while."
  type        = number
  default     = 3000
}

variable "deletion_protection" {
  description = "Refuse deletion of the load balancer."
  type        = bool
  default     = true
}

variable "access_log_bucket" {
  description = "Bucket for the load balancer's access logs."
  type        = string
}

variable "cluster" {
  description = "The ECS cluster."
  type = object({
    arn  = string
    name = string
  })
}

variable "image" {
  description = "Reference of the image."
  type        = string
}

variable "architecture" {
  description = "ARM64 or X86_64."
  type        = string
  default     = "ARM64"
}

variable "cpu" {
  description = "CPU units of a task; 1024 are a processor."
  type        = number
}

variable "memory" {
  description = "MiB of a task."
  type        = number
}

variable "desired_count" {
  description = "How many tasks."
  type        = number
}

variable "environment" {
  description = "Settings of the server."
  type        = map(string)
}

variable "secrets" {
  description = "Settings of the server that come out of Secrets Manager: the variable, and the secret's ARN (with `:key::` for a part of a JSON secret)."
  type        = map(string)
  default     = {}
}

variable "setup_container" {
  description = "A container that prepares the database and must end well before the server starts: its definition, and the ARN of the secret that it gets."
  type = object({
    definition = any
    secret_arn = string
  })
  default = null
}

variable "collector_container" {
  description = "Definition of the OTLP collector beside the server."
  type        = any
  default     = null
}

variable "task_statements" {
  description = "IAM statements for what the server does: storage, queues, database, telemetry, scaling."
  type        = any
}

variable "tenant_statements" {
  description = "IAM statements of the role that is narrowed to one tenant by a session policy each time it is assumed."
  type        = any
}

variable "database_security_group_id" {
  description = "Security group of the database, which gets a rule for the control plane."
  type        = string
  default     = null
}

variable "open_database_port" {
  description = "Whether `database_security_group_id` is given; known before anything exists."
  type        = bool
}

variable "database_cidr" {
  description = "Range of a database that has no security group here."
  type        = string
  default     = null
}

variable "database_port" {
  description = "The database's port."
  type        = number
  default     = 5432
}

variable "kms_key_arn" {
  description = "Key for logs and secrets."
  type        = string
}

variable "log_retention_days" {
  description = "Days to keep logs."
  type        = number
}
