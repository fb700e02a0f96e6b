# The modules put together: what each part is told, and what each role may do.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name          = "weir"
  image_tag     = "1.2.3"
  ingress_cidrs = ["203.0.113.0/24"]
  insecure_http = true
}

run "both_services_run_one_image" {
  command = plan

  assert {
    condition     = module.control_plane.containers[0].image == "123456789012.dkr.ecr.eu-west-1.amazonaws.com/weir:1.2.3" && module.workers.containers[0].image == module.control_plane.containers[0].image
    error_message = "control plane and workers must be one version"
  }
  assert {
    condition     = module.control_plane.containers[0].command == ["server"] && module.workers.containers[0].command == ["worker"]
    error_message = "each service must run its command"
  }
}

run "settings_of_the_server" {
  command = plan

  variables {
    workers            = { min = 1, max = 7 }
    server_environment = { WEIR_LOG = "debug" }
  }

  assert {
    condition = alltrue([for key, value in {
      WEIR_DATABASE_AUTH   = "iam"
      WEIR_ECS_CLUSTER     = "weir"
      WEIR_ECS_SERVICE     = "weir-workers"
      WEIR_LISTEN          = "0.0.0.0:8080"
      WEIR_METRICS_LISTEN  = "127.0.0.1:9090"
      WEIR_LOG             = "debug"
      WEIR_LOG_FORMAT      = "json"
      WEIR_MIGRATE         = "true"
      WEIR_PROVISIONER     = "ecs"
      WEIR_STORAGE         = "s3://weir-data-123456789012/weir"
      WEIR_TENANT_ROLE_ARN = "arn:aws:iam::123456789012:role/weir-tenant"
      WEIR_WORKERS_MAX     = "7"
      WEIR_WORKERS_MIN     = "1"
    } : contains([for variable in module.control_plane.containers[0].environment : "${variable.name}=${variable.value}"], "${key}=${value}")])
    error_message = "the server must be told where everything is"
  }
  assert {
    condition     = alltrue([for name in ["AWS_REGION", "WEIR_DATABASE_URL", "WEIR_TASK_QUEUE", "WEIR_REPORT_QUEUE", "WEIR_DEAD_LETTER_QUEUE", "OTEL_EXPORTER_OTLP_ENDPOINT"] : contains(module.control_plane.containers[0].environment[*].name, name)])
    error_message = "the server must have its queues, database and collector"
  }
}

run "settings_of_the_workers" {
  command = plan

  variables {
    workers = { slots = 3 }
  }

  assert {
    condition     = toset([for name in module.workers.containers[0].environment[*].name : name if startswith(name, "WEIR_")]) == toset(["WEIR_DATA_DIR", "WEIR_ECS_TASK_PROTECTION", "WEIR_HEALTH_LISTEN", "WEIR_LOG_FORMAT", "WEIR_MEMORY", "WEIR_REPORT_QUEUE", "WEIR_SLOTS", "WEIR_STORAGE", "WEIR_TASK_QUEUE"])
    error_message = "workers must be told of queues and storage, and nothing of the database"
  }
  assert {
    condition     = one([for variable in module.workers.containers[0].environment : variable.value if variable.name == "WEIR_SLOTS"]) == "3"
    error_message = "slots must be what was asked for"
  }
}

run "the_database_is_set_up_first" {
  command = plan

  assert {
    condition     = module.control_plane.containers[1].name == "database-setup" && module.control_plane.containers[0].dependsOn[0].containerName == "database-setup"
    error_message = "the role must be there before the server logs in as it"
  }
  assert {
    condition     = [for secret in module.control_plane.containers[1].secrets : secret.valueFrom] == ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-mock-AbCdEf:password::"]
    error_message = "only the setup gets the administrator's password"
  }
  assert {
    condition     = module.control_plane.containers[0].secrets[*].name == ["WEIR_BOOTSTRAP_API_KEY"]
    error_message = "the server must get the bootstrap key and no password"
  }
}

run "an_external_database_with_a_password" {
  command = plan

  variables {
    database = "external"
    external_database = {
      url                 = "postgres://weir@db.example.com:5432/weir?sslmode=verify-full"
      password_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf"
      cidr                = "10.1.0.0/24"
    }
  }

  assert {
    condition     = length(module.database) == 0 && [for container in module.control_plane.containers : container.name] == ["weir", "collector"]
    error_message = "nothing is made or set up in a database of one's own"
  }
  assert {
    condition     = toset(module.control_plane.containers[0].secrets[*].name) == toset(["WEIR_BOOTSTRAP_API_KEY", "WEIR_DATABASE_PASSWORD"])
    error_message = "the password must come out of Secrets Manager"
  }
  assert {
    condition     = contains([for variable in module.control_plane.containers[0].environment : "${variable.name}=${variable.value}"], "WEIR_DATABASE_AUTH=password")
    error_message = "the server must be told to use the password"
  }
}

run "an_external_database_with_iam" {
  command = plan

  variables {
    database = "external"
    external_database = {
      url               = "postgres://weir@db.example.com:5432/weir?sslmode=verify-full"
      iam_user_arn      = "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-OTHER/weir"
      security_group_id = "sg-1"
    }
  }

  assert {
    condition     = contains([for variable in module.control_plane.containers[0].environment : "${variable.name}=${variable.value}"], "WEIR_DATABASE_AUTH=iam")
    error_message = "the server must be told to use tokens"
  }
}

run "aurora" {
  command = plan

  variables {
    database = "aurora"
  }

  assert {
    condition     = strcontains(module.database[0].url, "weir.cluster-mock.") && !contains(module.observability.alarm_names, "database-storage")
    error_message = "the server must use the cluster, whose storage grows by itself"
  }
}

run "without_telemetry" {
  command = plan

  variables {
    telemetry = false
  }

  assert {
    condition     = length(module.workers.containers) == 1 && !contains(module.workers.containers[0].environment[*].name, "OTEL_EXPORTER_OTLP_ENDPOINT")
    error_message = "without a collector nothing may be sent to one"
  }
}

run "every_statement_names_its_resources" {
  command = plan

  assert {
    condition = alltrue([
      for statement in concat(module.storage.control_plane_statements, module.storage.worker_statements, module.queue.control_plane_statements, module.queue.worker_statements, module.workers.scaler_statements, module.database[0].connect_statements) :
      !contains(statement.Resource, "*") && !anytrue([for action in statement.Action : strcontains(action, "*")])
    ])
    error_message = "no statement may have a wildcard for its actions or for all resources"
  }
}

run "keys_rotate" {
  command = plan

  assert {
    condition     = aws_kms_key.this.enable_key_rotation && aws_kms_key.this.deletion_window_in_days == 30
    error_message = "the key must rotate, and not be gone at once"
  }
  assert {
    condition     = startswith(nonsensitive(jsonencode(aws_secretsmanager_secret_version.api_key.secret_string_wo_version)), "1")
    error_message = "the bootstrap key must be written by a write-only argument"
  }
}

run "images_cannot_be_replaced" {
  command = plan

  assert {
    condition     = aws_ecr_repository.this[0].image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.this[0].image_scanning_configuration[0].scan_on_push && !aws_ecr_repository.this[0].force_delete
    error_message = "a tag must stay what it is, and be scanned"
  }
}
