output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "public_subnet_ids" {
  description = "Subnets for the load balancer."
  value       = [for zone in local.zones : aws_subnet.public[zone].id]
}

output "public_subnet_cidrs" {
  description = "Their ranges."
  value       = [for zone in local.zones : local.public_cidrs[zone]]
}

output "task_subnet_ids" {
  description = "Subnets for tasks: the public ones in `public` mode, private ones otherwise."
  value       = var.mode == "public" ? [for zone in local.zones : aws_subnet.public[zone].id] : [for zone in local.zones : aws_subnet.private[zone].id]
}

output "database_subnet_ids" {
  description = "Subnets without a route out."
  value       = [for zone in local.zones : aws_subnet.database[zone].id]
}

output "assign_public_ip" {
  description = "Whether tasks need a public address to reach AWS."
  value       = var.mode == "public"
}

output "nat_public_ips" {
  description = "Addresses that tasks come from in `nat` mode, for other systems' allow lists."
  value       = [for zone in local.nat_zones : aws_eip.nat[zone].public_ip]
}

output "interface_endpoint_zones" {
  description = "Interface endpoints times zones, which is what they are charged by."
  value       = length(aws_vpc_endpoint.interface) * length(aws_subnet.private)
}
