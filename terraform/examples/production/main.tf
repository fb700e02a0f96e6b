# A stack for production: two control-plane tasks in two zones, a database with a standby, private subnets, HTTPS on a
# domain of yours behind WAF, alarms by mail. Idle it costs less than 150 USD a month.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
    }
  }

  # State holds the names of everything: keep it in a bucket that is encrypted and versioned.
  #
  # backend "s3" {
  #   bucket       = "acme-terraform-state"
  #   key          = "weir/production.tfstate"
  #   region       = "us-east-1"
  #   encrypt      = true
  #   use_lockfile = true
  # }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { project = "weir", environment = "production" }
  }
}

variable "region" {
  description = "Where."
  type        = string
  default     = "us-east-1"
}

variable "image_tag" {
  description = "Version to run, as pushed to the stack's repository."
  type        = string
}

variable "domain_name" {
  description = "Name of the service, in the zone below."
  type        = string
}

variable "route53_zone_id" {
  description = "The zone that gets the records."
  type        = string
}

variable "alarm_emails" {
  description = "Who is told when something is wrong."
  type        = set(string)
}

variable "github_repository" {
  description = "The repository whose main branch pushes images, `owner/name`."
  type        = string
}

variable "readable_bucket_arns" {
  description = "Buckets that jobs may read."
  type        = list(string)
  default     = []
}

module "weir" {
  source = "../.."

  name      = "weir"
  image_tag = var.image_tag

  network_mode            = "nat"
  flow_log_retention_days = 30
  ingress_cidrs           = ["0.0.0.0/0"]
  tls                     = { domain_name = var.domain_name, route53_zone_id = var.route53_zone_id }
  waf                     = true

  control_plane = { cpu = 512, memory = 1024, count = 2 }
  workers       = { cpu = 4096, memory = 16384, ephemeral_storage_gb = 100, max = 100, spot_weight = 4, on_demand_weight = 1 }

  # Small while the log of runs is; `database-cpu` and `database-memory` say when to take the next size.
  database_options = {
    instance_class        = "db.t4g.micro"
    multi_az              = true
    backup_retention_days = 14
  }

  # A year of runs, and always the last thousand.
  keep = { runs_days = 365, runs_last = 1000 }

  readable_bucket_arns = var.readable_bucket_arns
  alarm_emails         = var.alarm_emails
  github               = { repository = var.github_repository }
}

output "url" {
  description = "Where the API and the dashboard are."
  value       = module.weir.url
}

output "api_key_secret" {
  description = "Name of the secret that holds the first administrator's key."
  value       = module.weir.api_key_secret
}

output "repository_url" {
  description = "Where to push the image."
  value       = module.weir.repository_url
}

output "ci_role_arn" {
  description = "The role that the repository's workflows take."
  value       = module.weir.roles.ci
}

output "dashboard_url" {
  description = "The CloudWatch dashboard."
  value       = module.weir.dashboard_url
}
