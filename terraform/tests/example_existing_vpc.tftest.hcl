# The example for a network and a database that are there already.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  image                        = "registry.example.com/weir:1.0.0"
  vpc_id                       = "vpc-existing"
  private_subnet_ids           = ["subnet-1", "subnet-2"]
  vpn_cidrs                    = ["10.0.0.0/8"]
  certificate_arn              = "arn:aws:acm:eu-west-1:123456789012:certificate/own"
  database_url                 = "postgres://weir@db.example.com:5432/weir?sslmode=verify-full"
  database_password_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf:password::"
  database_security_group_id   = "sg-database"
}

run "plan" {
  command = plan

  module {
    source = "./examples/existing-vpc"
  }

  assert {
    condition     = module.weir.vpc_id == "vpc-existing" && module.weir.nat_public_ips == []
    error_message = "no network may be made"
  }
  assert {
    condition     = module.weir.database_host == null && !anytrue([for name in module.weir.alarm_names : startswith(name, "database-")])
    error_message = "no database may be made or watched"
  }
  assert {
    condition     = module.weir.repository_url == null
    error_message = "an image from elsewhere needs no repository"
  }
  assert {
    condition     = module.weir.billed_while_idle.public_ipv4_addresses == 0
    error_message = "nothing may have a public address"
  }
}
