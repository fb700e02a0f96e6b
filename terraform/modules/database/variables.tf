variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "kind" {
  description = "`rds` (one PostgreSQL instance, optionally with a standby) or `aurora` (Serverless v2)."
  type        = string

  validation {
    condition     = contains(["rds", "aurora"], var.kind)
    error_message = "kind must be rds or aurora. For a database of your own leave this module out."
  }
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets in at least two zones, best without a route out."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "Key for storage, backups, insights, logs and the administrator's password."
  type        = string
}

variable "engine_version" {
  description = "PostgreSQL version; a major version alone follows its minor versions."
  type        = string
  default     = "17"
}

variable "instance_class" {
  description = "With `rds`: the instance class."
  type        = string
  default     = "db.t4g.small"
}

variable "allocated_storage_gb" {
  description = "With `rds`: gp3 storage to begin with."
  type        = number
  default     = 20
}

variable "max_allocated_storage_gb" {
  description = "With `rds`: what storage may grow to by itself."
  type        = number
  default     = 200
}

variable "multi_az" {
  description = "With `rds`: a standby in another zone. With `aurora`: a second instance."
  type        = bool
  default     = true
}

variable "aurora_capacity" {
  description = "With `aurora`: bounds in Aurora capacity units (2 GiB of memory each)."
  type = object({
    min = number
    max = number
  })
  default = { min = 0.5, max = 4 }

  validation {
    condition     = var.aurora_capacity.min >= 0.5 && var.aurora_capacity.max >= var.aurora_capacity.min && var.aurora_capacity.max <= 256
    error_message = "aurora_capacity needs 0.5 <= min <= max <= 256: the control plane polls, so a cluster that pauses at 0 would never pause."
  }
}

variable "backup_retention_days" {
  description = "Days that one can go back to, to the second."
  type        = number
  default     = 14

  validation {
    condition     = var.backup_retention_days >= 1 && var.backup_retention_days <= 35
    error_message = "backup_retention_days must be from 1 to 35."
  }
}

variable "deletion_protection" {
  description = "Refuse deletion, and keep a final snapshot when it is switched off."
  type        = bool
  default     = true
}

variable "apply_immediately" {
  description = "Make changes that restart the database now, and not in the maintenance window."
  type        = bool
  default     = false
}
