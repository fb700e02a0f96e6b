variable "name" {
  description = "Prefix of every name. The account's number is added to bucket names, which are global."
  type        = string
}

variable "prefix" {
  description = "Folder of the data bucket that Weir keeps its own objects in."
  type        = string
  default     = "weir"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9/_-]*[a-z0-9]$", var.prefix))
    error_message = "prefix must be lower case letters, digits, dashes, underscores and inner slashes."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts the data bucket."
  type        = string
}

variable "run_retention_days" {
  description = "Days after which S3 deletes what a run left between its stages, should Weir not have done so. Longer than any run."
  type        = number
  default     = 30

  validation {
    condition     = var.run_retention_days >= 7 && floor(var.run_retention_days) == var.run_retention_days
    error_message = "run_retention_days must be a whole number from 7: S3 must not delete the shuffle of a run that still goes on."
  }
}

variable "log_retention_days" {
  description = "Days to keep access logs."
  type        = number
  default     = 90
}

variable "versioning" {
  description = "Keep what is deleted or overwritten for `noncurrent_version_days`. Shuffle objects then cost a day of storage more, which is most of what a shuffle costs."
  type        = bool
  default     = false
}

variable "noncurrent_version_days" {
  description = "With `versioning`: days for which objects outside the runs' folder can be restored."
  type        = number
  default     = 30
}

variable "readable_bucket_arns" {
  description = "Other buckets that jobs may read."
  type        = list(string)
  default     = []
}

variable "writable_bucket_arns" {
  description = "Other buckets that jobs may read and write."
  type        = list(string)
  default     = []
}

variable "force_destroy" {
  description = "Let `terraform destroy` delete buckets that hold objects."
  type        = bool
  default     = false
}
