# What each network mode makes, and leaves out.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name                    = "weir"
  cidr                    = "10.80.0.0/16"
  availability_zone_count = 2
  mode                    = "nat"
  kms_key_arn             = "arn:aws:kms:eu-west-1:123456789012:key/1"
}

run "public" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    mode = "public"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_subnet.private) == 0 && length(aws_vpc_endpoint.interface) == 0
    error_message = "public mode must have nothing that is charged by the hour"
  }
  assert {
    condition     = output.assign_public_ip && length(output.task_subnet_ids) == 2
    error_message = "tasks must get addresses in the public subnets"
  }
  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway"
    error_message = "S3 must be reached by the gateway endpoint"
  }
}

run "nat_is_one_gateway_by_default" {
  command = plan

  module {
    source = "./modules/network"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.nat) == 2
    error_message = "one gateway must serve both zones"
  }
  assert {
    condition     = !output.assign_public_ip
    error_message = "tasks in private subnets must have no public address"
  }
}

run "nat_in_each_zone" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    availability_zone_count = 3
    nat_gateway_per_zone    = true
  }

  assert {
    condition     = keys(aws_nat_gateway.this) == ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    error_message = "each of the three zones must have its gateway"
  }
}

run "endpoints_have_no_way_out" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    mode = "endpoints"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_route.nat) == 0
    error_message = "private subnets must have no route to the internet"
  }
  assert {
    condition     = alltrue([for service in ["ecr.api", "ecr.dkr", "ecs", "logs", "secretsmanager", "sqs", "sts"] : contains(keys(aws_vpc_endpoint.interface), service)])
    error_message = "every service that a task calls must have an endpoint"
  }
  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled])
    error_message = "the SDKs' own host names must lead to the endpoints"
  }
}

run "subnets_do_not_overlap" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    availability_zone_count = 4
  }

  assert {
    condition = length(distinct(concat(
      [for subnet in aws_subnet.public : subnet.cidr_block],
      [for subnet in aws_subnet.private : subnet.cidr_block],
      [for subnet in aws_subnet.database : subnet.cidr_block],
    ))) == 12
    error_message = "four zones in three tiers are twelve ranges"
  }
  assert {
    condition     = alltrue([for subnet in aws_subnet.public : subnet.map_public_ip_on_launch != true])
    error_message = "nothing gets a public address without asking"
  }
}

run "flow_logs_on_request" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    flow_log_retention_days = 14
  }

  assert {
    condition     = aws_flow_log.this[0].traffic_type == "ALL" && aws_cloudwatch_log_group.flow[0].retention_in_days == 14
    error_message = "flow logs must be kept for as long as asked"
  }
}

run "network_too_small" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    cidr = "10.0.0.0/23"
  }

  expect_failures = [var.cidr]
}

run "one_zone" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    availability_zone_count = 1
  }

  expect_failures = [var.availability_zone_count]
}

run "unknown_mode" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    mode = "private"
  }

  expect_failures = [var.mode]
}
