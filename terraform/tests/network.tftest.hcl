# What each network mode makes, and leaves out.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  image_tag     = "1.0.0"
  ingress_cidrs = ["203.0.113.0/24"]
  insecure_http = true
}

run "public" {
  command = plan

  variables {
    network_mode = "public"
  }

  assert {
    condition     = length(module.network[0].nat_public_ips) == 0 && module.network[0].assign_public_ip
    error_message = "public mode needs no NAT gateway and gives tasks addresses"
  }
}
