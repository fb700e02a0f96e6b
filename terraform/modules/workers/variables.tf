variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the tasks."
  type        = list(string)
}

variable "assign_public_ip" {
  description = "Whether tasks need a public address to reach AWS."
  type        = bool
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

variable "ephemeral_storage_gb" {
  description = "Disk for spilling and caches; 20 are free."
  type        = number
}

variable "spot_weight" {
  description = "Share of Fargate Spot."
  type        = number
}

variable "on_demand_weight" {
  description = "Share of Fargate on demand."
  type        = number
}

variable "on_demand_base" {
  description = "Tasks that are on demand before the shares count."
  type        = number
}

variable "environment" {
  description = "Settings of the worker."
  type        = map(string)
}

variable "collector_container" {
  description = "Definition of the OTLP collector beside the worker."
  type        = any
  default     = null
}

variable "task_statements" {
  description = "IAM statements for what a worker does: take tasks, read and write objects, report."
  type        = any
}

variable "kms_key_arn" {
  description = "Key for logs."
  type        = string
}

variable "log_retention_days" {
  description = "Days to keep logs."
  type        = number
}
