# What the root module refuses before it asks AWS for anything: names, images, network, front door.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  image_tag     = "1.0.0"
  ingress_cidrs = ["203.0.113.0/24"]
  insecure_http = true
}

run "name_too_long" {
  command = plan

  variables {
    name = "weir-in-a-very-long-name"
  }

  expect_failures = [var.name]
}

run "name_with_capitals" {
  command = plan

  variables {
    name = "Weir"
  }

  expect_failures = [var.name]
}

run "name_that_ends_with_a_dash" {
  command = plan

  variables {
    name = "weir-"
  }

  expect_failures = [var.name]
}

run "image_latest" {
  command = plan

  variables {
    image_tag = null
    image     = "registry.example.com/weir:latest"
  }

  expect_failures = [var.image]
}

run "image_without_a_version" {
  command = plan

  variables {
    image_tag = null
    image     = "registry.example.com/weir"
  }

  expect_failures = [var.image]
}

run "image_tag_latest" {
  command = plan

  variables {
    image_tag = "latest"
  }

  expect_failures = [var.image_tag]
}

run "image_and_image_tag" {
  command = plan

  variables {
    image = "registry.example.com/weir:1.0.0"
  }

  expect_failures = [var.image_tag]
}

run "neither_image_nor_image_tag" {
  command = plan

  variables {
    image_tag = null
  }

  expect_failures = [var.image_tag]
}

run "unknown_architecture" {
  command = plan

  variables {
    architecture = "RISCV"
  }

  expect_failures = [var.architecture]
}

run "unknown_network_mode" {
  command = plan

  variables {
    network_mode = "private"
  }

  expect_failures = [var.network_mode]
}

run "network_too_small" {
  command = plan

  variables {
    vpc_cidr = "10.0.0.0/24"
  }

  expect_failures = [var.vpc_cidr]
}

run "network_that_is_none" {
  command = plan

  variables {
    vpc_cidr = "10.0.0.0"
  }

  expect_failures = [var.vpc_cidr]
}

run "one_zone" {
  command = plan

  variables {
    availability_zone_count = 1
  }

  expect_failures = [var.availability_zone_count]
}

run "flow_logs_for_two_days" {
  command = plan

  variables {
    flow_log_retention_days = 2
  }

  expect_failures = [var.flow_log_retention_days]
}

run "existing_vpc_with_one_subnet" {
  command = plan

  variables {
    existing_vpc = { vpc_id = "vpc-1", load_balancer_subnet_ids = ["subnet-1"], task_subnet_ids = ["subnet-1"], database_subnet_ids = ["subnet-1", "subnet-2"] }
  }

  expect_failures = [var.existing_vpc]
}

run "existing_vpc_without_database_subnets" {
  command = plan

  variables {
    existing_vpc = { vpc_id = "vpc-1", load_balancer_subnet_ids = ["subnet-1", "subnet-2"], task_subnet_ids = ["subnet-1"] }
  }

  expect_failures = [var.existing_vpc]
}

run "nobody_may_come_in" {
  command = plan

  variables {
    ingress_cidrs = []
  }

  expect_failures = [var.ingress_cidrs]
}

run "ingress_that_is_no_range" {
  command = plan

  variables {
    ingress_cidrs = ["office"]
  }

  expect_failures = [var.ingress_cidrs]
}

run "domain_without_a_zone" {
  command = plan

  variables {
    insecure_http = false
    tls           = { domain_name = "weir.example.com" }
  }

  expect_failures = [var.tls]
}

run "two_certificates" {
  command = plan

  variables {
    insecure_http = false
    tls           = { certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/own", domain_name = "weir.example.com", route53_zone_id = "Z1" }
  }

  expect_failures = [var.tls]
}

run "neither_certificate_nor_plain_http" {
  command = plan

  variables {
    insecure_http = false
  }

  expect_failures = [var.tls]
}

run "plain_http_and_a_certificate" {
  command = plan

  variables {
    tls = { certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/own" }
  }

  expect_failures = [var.tls]
}

run "plain_http_to_the_world" {
  command = plan

  variables {
    ingress_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.insecure_http]
}
