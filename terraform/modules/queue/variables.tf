variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts messages."
  type        = string
}

variable "max_receive_count" {
  description = "Receives without a deletion after which a message goes to its dead-letter queue. The control plane counts attempts itself; this catches messages that kill whoever reads them."
  type        = number
  default     = 5

  validation {
    condition     = var.max_receive_count >= 3 && var.max_receive_count <= 1000
    error_message = "max_receive_count must be from 3 to 1000: with less, two Spot interruptions would make a healthy task look poisonous."
  }
}

variable "visibility_timeout_seconds" {
  description = "Seconds for which a received message is hidden. Workers extend it while they work."
  type        = number
  default     = 60

  validation {
    condition     = var.visibility_timeout_seconds >= 30 && var.visibility_timeout_seconds <= 43200
    error_message = "visibility_timeout_seconds must be from 30 to 43200."
  }
}
