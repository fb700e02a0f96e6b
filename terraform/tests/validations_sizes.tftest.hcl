# What the root module refuses: sizes, and databases.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  image_tag     = "1.0.0"
  ingress_cidrs = ["203.0.113.0/24"]
  insecure_http = true
}

run "control_plane_size_that_fargate_lacks" {
  command = plan

  variables {
    control_plane = { cpu = 256, memory = 4096 }
  }

  expect_failures = [var.control_plane]
}

run "no_control_plane" {
  command = plan

  variables {
    control_plane = { count = 0 }
  }

  expect_failures = [var.control_plane]
}

run "worker_size_that_fargate_lacks" {
  command = plan

  variables {
    workers = { cpu = 3000, memory = 8192 }
  }

  expect_failures = [var.workers]
}

run "workers_with_little_memory" {
  command = plan

  variables {
    workers = { cpu = 256, memory = 1024 }
  }

  expect_failures = [var.workers]
}

run "more_workers_at_least_than_at_most" {
  command = plan

  variables {
    workers = { min = 5, max = 4 }
  }

  expect_failures = [var.workers]
}

run "workers_without_capacity" {
  command = plan

  variables {
    workers = { spot_weight = 0, on_demand_weight = 0 }
  }

  expect_failures = [var.workers]
}

run "workers_with_too_much_disk" {
  command = plan

  variables {
    workers = { ephemeral_storage_gb = 201 }
  }

  expect_failures = [var.workers]
}

run "unknown_database" {
  command = plan

  variables {
    database = "mysql"
  }

  expect_failures = [var.database]
}

run "database_version_of_long_ago" {
  command = plan

  variables {
    database_options = { engine_version = "12" }
  }

  expect_failures = [var.database_options]
}

run "database_class_of_ec2" {
  command = plan

  variables {
    database_options = { instance_class = "t4g.small" }
  }

  expect_failures = [var.database_options]
}

run "database_that_cannot_grow" {
  command = plan

  variables {
    database_options = { allocated_storage_gb = 100, max_storage_gb = 100 }
  }

  expect_failures = [var.database_options]
}

run "aurora_that_would_pause" {
  command = plan

  variables {
    database_options = { aurora_min_acu = 0 }
  }

  expect_failures = [var.database_options]
}

run "no_backups" {
  command = plan

  variables {
    database_options = { backup_retention_days = 0 }
  }

  expect_failures = [var.database_options]
}

run "external_database_without_its_address" {
  command = plan

  variables {
    database = "external"
  }

  expect_failures = [var.external_database]
}

run "address_of_a_database_that_is_not_external" {
  command = plan

  variables {
    external_database = { url = "postgres://weir@db.example.com:5432/weir?sslmode=require", password_secret_arn = "arn:1", cidr = "10.0.0.0/24" }
  }

  expect_failures = [var.external_database]
}

run "external_database_with_a_password_in_its_url" {
  command = plan

  variables {
    database          = "external"
    external_database = { url = "postgres://weir:secret@db.example.com:5432/weir?sslmode=require", password_secret_arn = "arn:1", cidr = "10.0.0.0/24" }
  }

  expect_failures = [var.external_database]
}

run "external_database_without_tls" {
  command = plan

  variables {
    database          = "external"
    external_database = { url = "postgres://weir@db.example.com:5432/weir?sslmode=disable", password_secret_arn = "arn:1", cidr = "10.0.0.0/24" }
  }

  expect_failures = [var.external_database]
}

run "external_database_with_two_ways_to_log_in" {
  command = plan

  variables {
    database          = "external"
    external_database = { url = "postgres://weir@db.example.com:5432/weir?sslmode=require", password_secret_arn = "arn:1", iam_user_arn = "arn:2", cidr = "10.0.0.0/24" }
  }

  expect_failures = [var.external_database]
}

run "external_database_nowhere" {
  command = plan

  variables {
    database          = "external"
    external_database = { url = "postgres://weir@db.example.com:5432/weir?sslmode=require", password_secret_arn = "arn:1" }
  }

  expect_failures = [var.external_database]
}
