# Workers: their size is the control plane's, and they can reach little.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name                 = "weir"
  vpc_id               = "vpc-1"
  subnet_ids           = ["subnet-1"]
  assign_public_ip     = false
  cluster              = { arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/weir", name = "weir" }
  image                = "example.com/weir:1.0.0"
  cpu                  = 4096
  memory               = 16384
  ephemeral_storage_gb = 50
  spot_weight          = 4
  on_demand_weight     = 1
  on_demand_base       = 0
  environment          = { WEIR_STORAGE = "s3://bucket/weir" }
  task_statements      = []
  kms_key_arn          = "arn:aws:kms:eu-west-1:123456789012:key/1"
  log_retention_days   = 30
}

run "from_none" {
  command = plan

  module {
    source = "./modules/workers"
  }

  assert {
    condition     = aws_ecs_service.this.desired_count == 0
    error_message = "a new stack must start no workers"
  }
  assert {
    condition     = output.scaler_statements[0].Resource == ["arn:aws:ecs:eu-west-1:123456789012:service/weir/weir-workers"]
    error_message = "the control plane must be able to scale this service and no other"
  }
}

run "spot_and_on_demand_by_weight" {
  command = plan

  module {
    source = "./modules/workers"
  }

  assert {
    condition     = { for share in aws_ecs_service.this.capacity_provider_strategy : share.capacity_provider => share.weight } == { FARGATE = 1, FARGATE_SPOT = 4 }
    error_message = "four of five workers must be Spot"
  }
}

run "on_demand_only" {
  command = plan

  module {
    source = "./modules/workers"
  }

  variables {
    spot_weight = 0
  }

  assert {
    condition     = [for share in aws_ecs_service.this.capacity_provider_strategy : share.capacity_provider] == ["FARGATE"]
    error_message = "a share of nothing must be left out"
  }
}

run "on_demand_first" {
  command = plan

  module {
    source = "./modules/workers"
  }

  variables {
    on_demand_weight = 0
    on_demand_base   = 2
  }

  assert {
    condition     = { for share in aws_ecs_service.this.capacity_provider_strategy : share.capacity_provider => share.base } == { FARGATE = 2, FARGATE_SPOT = 0 }
    error_message = "the first two workers must be on demand"
  }
}

run "busy_workers_are_protected" {
  command = plan

  module {
    source = "./modules/workers"
  }

  assert {
    condition     = one([for variable in output.containers[0].environment : variable.value if variable.name == "WEIR_ECS_TASK_PROTECTION"]) == "true"
    error_message = "workers must protect themselves while they run tasks"
  }
  assert {
    condition     = anytrue([for statement in jsondecode(aws_iam_role_policy.task.policy).Statement : contains(statement.Action, "ecs:UpdateTaskProtection") && statement.Resource == ["arn:aws:ecs:eu-west-1:123456789012:task/weir/*"]])
    error_message = "workers must be allowed to protect tasks of this cluster"
  }
  assert {
    condition     = output.containers[0].stopTimeout == 120 && aws_ecs_service.this.availability_zone_rebalancing == "DISABLED"
    error_message = "workers must get all the time that Spot gives, and not be moved while they are busy"
  }
}

run "memory_and_slots_follow_the_size" {
  command = plan

  module {
    source = "./modules/workers"
  }

  variables {
    collector_container = { name = "collector", image = "example.com/collector:1", memory = 192, essential = false, readonlyRootFilesystem = true }
  }

  assert {
    condition     = { for variable in output.containers[0].environment : variable.name => variable.value if contains(["WEIR_SLOTS", "WEIR_MEMORY"], variable.name) } == { WEIR_SLOTS = "4", WEIR_MEMORY = "14342MiB" }
    error_message = "four processors are four slots; tasks get nine tenths of what the collector and the process leave"
  }
  assert {
    condition     = aws_ecs_task_definition.this.ephemeral_storage[0].size_in_gib == 50
    error_message = "workers must have the disk that was asked for"
  }
}

run "slots_can_be_chosen" {
  command = plan

  module {
    source = "./modules/workers"
  }

  variables {
    environment          = { WEIR_SLOTS = "2" }
    ephemeral_storage_gb = 20
  }

  assert {
    condition     = one([for variable in output.containers[0].environment : variable.value if variable.name == "WEIR_SLOTS"]) == "2"
    error_message = "a setting must win over what follows from the size"
  }
  assert {
    condition     = length(aws_ecs_task_definition.this.ephemeral_storage) == 0
    error_message = "the disk that is free is not asked for"
  }
}

run "nobody_gets_in_and_postgres_is_out_of_reach" {
  command = plan

  module {
    source = "./modules/workers"
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.https.from_port == 443 && aws_vpc_security_group_egress_rule.https.to_port == 443
    error_message = "workers must reach HTTPS only"
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.task.policy, "rds-db") && !strcontains(aws_iam_role_policy.execution.policy, "secretsmanager")
    error_message = "workers must have no way to log in to Postgres, and no secrets"
  }
  assert {
    condition     = alltrue([for container in output.containers : container.readonlyRootFilesystem])
    error_message = "no container may write to its image"
  }
}
