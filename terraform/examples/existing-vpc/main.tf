# Weir inside a network that is there already, reachable from inside only, on a Postgres that somebody else looks after.

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
    tags = { project = "weir" }
  }
}

variable "region" {
  description = "Where."
  type        = string
  default     = "us-east-1"
}

variable "image" {
  description = "Image to run, from a registry of yours."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "private_subnet_ids" {
  description = "Private subnets in two or more zones, which reach AWS by a NAT gateway or by endpoints."
  type        = list(string)
}

variable "vpn_cidrs" {
  description = "Ranges that people come from."
  type        = list(string)
}

variable "certificate_arn" {
  description = "ACM certificate for the name that you give the load balancer."
  type        = string
}

variable "database_url" {
  description = "postgres://user@host:5432/database?sslmode=verify-full, without the password."
  type        = string
}

variable "database_password_secret_arn" {
  description = "Secret whose value is the password, or `ARN:key::` for a part of a JSON secret."
  type        = string
}

variable "database_security_group_id" {
  description = "The database's security group; it gets a rule for the control plane."
  type        = string
}

module "weir" {
  source = "../.."

  name  = "weir"
  image = var.image

  existing_vpc = {
    vpc_id                   = var.vpc_id
    load_balancer_subnet_ids = var.private_subnet_ids
    task_subnet_ids          = var.private_subnet_ids
  }
  internal_load_balancer = true
  ingress_cidrs          = var.vpn_cidrs
  tls                    = { certificate_arn = var.certificate_arn }

  database = "external"
  external_database = {
    url                 = var.database_url
    password_secret_arn = var.database_password_secret_arn
    security_group_id   = var.database_security_group_id
  }
}

output "load_balancer" {
  description = "Point your record at it."
  value       = module.weir.load_balancer
}

output "api_key_secret" {
  description = "Name of the secret that holds the first administrator's key."
  value       = module.weir.api_key_secret
}
