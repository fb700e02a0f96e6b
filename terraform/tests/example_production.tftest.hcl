# The example for production: two of everything that must not stop.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  image_tag         = "1.0.0"
  domain_name       = "weir.example.com"
  route53_zone_id   = "Z1"
  alarm_emails      = ["ops@example.com"]
  github_repository = "acme/weir"
}

run "plan" {
  command = plan

  module {
    source = "./examples/production"
  }

  assert {
    condition     = output.url == "https://weir.example.com"
    error_message = "the service must be at its domain, with HTTPS"
  }
  assert {
    condition     = length(module.weir.nat_public_ips) == 1 && module.weir.billed_while_idle.database_instances == 2
    error_message = "tasks must be in private subnets, and the database have a standby"
  }
  assert {
    condition     = output.ci_role_arn != null && length(module.weir.alarm_names) == 15
    error_message = "CI must have its role, and operators their alarms"
  }
}

run "costs_what_the_table_says" {
  command = plan

  module {
    source = "./examples/production"
  }

  assert {
    condition     = jsonencode(module.weir.billed_while_idle) == jsonencode(jsondecode(file("../docs/cost.json")).stacks.production.billed_while_idle)
    error_message = "docs/cost.json must say what the example makes: ${jsonencode(module.weir.billed_while_idle)}"
  }
}
