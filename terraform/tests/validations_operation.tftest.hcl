# What the root module refuses: buckets, queues, environments, images without a way to them, logs, alarms.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  image_tag     = "1.0.0"
  ingress_cidrs = ["203.0.113.0/24"]
  insecure_http = true
}

run "readable_bucket_with_a_wildcard" {
  command = plan

  variables {
    readable_bucket_arns = ["arn:aws:s3:::*"]
  }

  expect_failures = [var.readable_bucket_arns]
}

run "writable_bucket_by_name" {
  command = plan

  variables {
    writable_bucket_arns = ["results"]
  }

  expect_failures = [var.writable_bucket_arns]
}

run "runs_that_expire_too_soon" {
  command = plan

  variables {
    run_retention_days = 1
  }

  expect_failures = [var.run_retention_days]
}

run "too_few_receives" {
  command = plan

  variables {
    max_receive_count = 1
  }

  expect_failures = [var.max_receive_count]
}

run "secret_in_the_servers_environment" {
  command = plan

  variables {
    server_environment = { WEIR_DATABASE_PASSWORD = "secret" }
  }

  expect_failures = [var.server_environment]
}

run "secret_in_the_workers_environment" {
  command = plan

  variables {
    worker_environment = { AWS_SECRET_ACCESS_KEY = "secret" }
  }

  expect_failures = [var.worker_environment]
}

run "public_images_without_a_way_out" {
  command = plan

  variables {
    network_mode         = "endpoints"
    database_setup_image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/postgres:17"
  }

  expect_failures = [var.collector_image]
}

run "public_setup_image_without_a_way_out" {
  command = plan

  variables {
    network_mode = "endpoints"
    telemetry    = false
  }

  expect_failures = [var.database_setup_image]
}

run "logs_for_two_days" {
  command = plan

  variables {
    log_retention_days = 2
  }

  expect_failures = [var.log_retention_days]
}

run "alarms_to_nobody" {
  command = plan

  variables {
    alarm_emails = ["ops"]
  }

  expect_failures = [var.alarm_emails]
}

run "github_without_a_repository_to_push_to" {
  command = plan

  variables {
    image_tag = null
    image     = "registry.example.com/weir:1.0.0"
    github    = { repository = "acme/weir" }
  }

  expect_failures = [var.github]
}
