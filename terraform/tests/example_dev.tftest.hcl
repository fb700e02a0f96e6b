# The example for development: cheap, narrow, and gone when it is destroyed.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  image_tag = "1.0.0"
  my_cidrs  = ["203.0.113.7/32"]
}

run "plan" {
  command = plan

  module {
    source = "./examples/dev"
  }

  assert {
    condition     = startswith(output.url, "http://")
    error_message = "it needs no domain"
  }
  assert {
    condition     = output.repository_url == "123456789012.dkr.ecr.eu-west-1.amazonaws.com/weir"
    error_message = "it must say where to push the image"
  }
  assert {
    condition     = module.weir.nat_public_ips == []
    error_message = "a NAT gateway would cost more than everything else"
  }
}

run "costs_what_the_table_says" {
  command = plan

  module {
    source = "./examples/dev"
  }

  assert {
    condition     = jsonencode(module.weir.billed_while_idle) == jsonencode(jsondecode(file("../docs/cost.json")).stacks.dev.billed_while_idle)
    error_message = "docs/cost.json must say what the example makes: ${jsonencode(module.weir.billed_while_idle)}"
  }
}
