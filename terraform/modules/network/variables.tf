variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "cidr" {
  description = "IPv4 range of the VPC, a /16 to /22."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 22, false)
    error_message = "cidr must be an IPv4 range from /16 to /22, such as 10.80.0.0/16."
  }
}

variable "availability_zone_count" {
  description = "How many availability zones to span."
  type        = number

  validation {
    condition     = var.availability_zone_count >= 2 && var.availability_zone_count <= 4
    error_message = "availability_zone_count must be 2, 3 or 4: load balancers and databases need two."
  }
}

variable "mode" {
  description = "How tasks reach AWS: `public` (a public address each, no inbound rule), `nat` (private subnets behind NAT gateways) or `endpoints` (private subnets, VPC endpoints, no internet)."
  type        = string

  validation {
    condition     = contains(["public", "nat", "endpoints"], var.mode)
    error_message = "mode must be public, nat or endpoints."
  }
}

variable "nat_gateway_per_zone" {
  description = "With `nat`: one gateway in each zone, so that losing a zone loses only that zone's way out. Otherwise one for all."
  type        = bool
  default     = false
}

variable "endpoint_services" {
  description = "With `endpoints`: the services that get an interface endpoint, by the last part of their names."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "ecs", "logs", "secretsmanager", "sqs", "sts", "xray"]
}

variable "flow_log_retention_days" {
  description = "Days to keep the VPC's flow logs; 0 writes none."
  type        = number
  default     = 0
}

variable "kms_key_arn" {
  description = "Key for the flow logs."
  type        = string
}
