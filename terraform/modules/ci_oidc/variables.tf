variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "repository" {
  description = "The GitHub repository, `owner/name`."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", var.repository))
    error_message = "repository must be owner/name, without wildcards: anybody can name a repository to match one."
  }
}

variable "subjects" {
  description = "What of the repository may take the role, as GitHub's subject claim says after `repo:OWNER/NAME:`: `ref:refs/heads/main`, `environment:production`."
  type        = list(string)
  default     = ["ref:refs/heads/main"]

  validation {
    condition     = length(var.subjects) > 0 && alltrue([for subject in var.subjects : can(regex("^(ref:refs/(heads|tags)/|environment:)[^*?]+$", subject))])
    error_message = "subjects must have no wildcards and start with ref:refs/heads/, ref:refs/tags/ or environment:. Others, such as pull_request, would let strangers' code deploy."
  }
}

variable "provider_arn" {
  description = "The account's OIDC provider for GitHub; null makes one. An account can have one only."
  type        = string
  default     = null
}

variable "repository_arn" {
  description = "The ECR repository to push to."
  type        = string
}


variable "policy_arns" {
  description = "Further policies for the role, such as one that lets the workflow run `terraform apply`."
  type        = list(string)
  default     = []
}
