# A stack to develop against: one small control-plane task, one small database, no NAT gateway, workers from none. Idle
# it costs less than 60 USD a month, and `terraform destroy` leaves nothing.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { project = "weir", environment = "dev" }
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

variable "my_cidrs" {
  description = "Your own addresses, such as 203.0.113.7/32: this stack speaks plain HTTP, so nobody else should reach it."
  type        = list(string)
}

module "weir" {
  source = "../.."

  name      = "weir-dev"
  image_tag = var.image_tag

  network_mode  = "public"
  ingress_cidrs = var.my_cidrs
  insecure_http = true

  control_plane = { cpu = 256, memory = 1024, count = 1 }
  workers       = { cpu = 1024, memory = 4096, ephemeral_storage_gb = 20, max = 4, on_demand_weight = 0 }

  database_options = {
    instance_class        = "db.t4g.micro"
    multi_az              = false
    backup_retention_days = 1
  }

  run_retention_days  = 7
  log_retention_days  = 7
  deletion_protection = false
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
