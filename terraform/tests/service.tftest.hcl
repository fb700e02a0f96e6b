# What the server is told by the inputs: as it is right without any of them, and as it is asked for.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  image_tag     = "1.0.0"
  ingress_cidrs = ["203.0.113.0/24"]
  insecure_http = true
}

run "right_without_being_told" {
  command = plan

  assert {
    condition = alltrue([for name, value in {
      # The load balancer's subnets.
      WEIR_TRUSTED_PROXIES     = "10.80.0.0/20,10.80.16.0/20"
      WEIR_REQUESTS_PER_SECOND = "200"
      WEIR_MAX_RUNS            = "1000"
      WEIR_LEASE_MS            = "5000"
      WEIR_SLOTS               = "2"
      WEIR_WORKERS_IDLE_MS     = "60000"
      WEIR_KEEP_AUDIT_DAYS     = "365"
      WEIR_HOUSEKEEPING_MS     = "3600000"
    } : contains([for variable in module.control_plane.containers[0].environment : "${variable.name}=${variable.value}"], "${name}=${value}")])
    error_message = "the server must believe the load balancer and nobody else, and know how many tasks a worker runs"
  }
  assert {
    condition     = !anytrue([for variable in module.control_plane.containers[0].environment : can(regex("^WEIR_(OIDC|QUOTA|PRICES|KEEP_RUNS)", variable.name))])
    error_message = "what is not asked for must not be set"
  }
  assert {
    condition     = length(data.aws_subnet.load_balancer) == 0
    error_message = "the ranges of subnets that the stack makes are known"
  }
}

run "slots_follow_the_workers_processors" {
  command = plan

  variables {
    workers = { cpu = 8192, memory = 16384, idle_seconds = 300 }
  }

  assert {
    condition     = [for service in [module.control_plane, module.workers] : one([for variable in service.containers[0].environment : variable.value if variable.name == "WEIR_SLOTS"])] == ["8", "8"]
    error_message = "server and workers must agree on how many tasks a worker runs at once"
  }
  assert {
    condition     = contains(module.control_plane.containers[0].environment, { name = "WEIR_WORKERS_IDLE_MS", value = "300000" })
    error_message = "the server's times are in milliseconds"
  }
}

run "balancers_in_a_network_of_yours" {
  command = plan

  variables {
    existing_vpc = {
      vpc_id                   = "vpc-1"
      load_balancer_subnet_ids = ["subnet-1", "subnet-2"]
      task_subnet_ids          = ["subnet-3"]
      database_subnet_ids      = ["subnet-4", "subnet-5"]
    }
    trusted_proxy_cidrs = ["198.51.100.0/24", "2001:db8::/32"]
  }

  assert {
    condition     = contains(module.control_plane.containers[0].environment, { name = "WEIR_TRUSTED_PROXIES", value = "10.20.30.0/24,10.20.30.0/24,198.51.100.0/24,2001:db8::/32" })
    error_message = "the ranges of the load balancer's subnets must be looked up, and those of proxies before it believed"
  }
}

run "people_by_an_identity_provider" {
  command = plan

  variables {
    oidc = {
      issuer   = "https://login.example.com/realms/company"
      audience = "weir"
      claim    = "realm_access.roles"
      grants   = { data-engineers = ["analytics:submitter", "reports:viewer"], platform = ["*:admin"] }
    }
  }

  assert {
    condition = alltrue([for name, value in {
      WEIR_OIDC_ISSUER          = "https://login.example.com/realms/company"
      WEIR_OIDC_AUDIENCE        = "weir"
      WEIR_OIDC_CLAIM           = "realm_access.roles"
      WEIR_OIDC_PRINCIPAL_CLAIM = "sub"
      WEIR_OIDC_GRANTS          = "data-engineers=analytics:submitter,data-engineers=reports:viewer,platform=*:admin"
    } : contains(module.control_plane.containers[0].environment, { name = name, value = value })])
    error_message = "the server must know the provider and what its people may do"
  }
}

run "limits_and_what_is_kept" {
  command = plan

  variables {
    requests_per_second = 50
    control_plane       = { max_runs = 200, lease_ms = 10000 }
    keep                = { runs_days = 90, runs_last = 1000, audit_days = 730, housekeeping_minutes = 15 }
    default_quota       = { max_runs = 20, max_queued_runs = 0, max_tasks = 500, max_storage = "100GiB", submissions_per_minute = 60 }
  }

  assert {
    condition = alltrue([for name, value in {
      WEIR_REQUESTS_PER_SECOND          = "50"
      WEIR_MAX_RUNS                     = "200"
      WEIR_LEASE_MS                     = "10000"
      WEIR_KEEP_RUNS_DAYS               = "90"
      WEIR_KEEP_RUNS_LAST               = "1000"
      WEIR_KEEP_AUDIT_DAYS              = "730"
      WEIR_HOUSEKEEPING_MS              = "900000"
      WEIR_QUOTA_MAX_RUNS               = "20"
      WEIR_QUOTA_MAX_QUEUED_RUNS        = "0"
      WEIR_QUOTA_MAX_TASKS              = "500"
      WEIR_QUOTA_MAX_STORAGE            = "100GiB"
      WEIR_QUOTA_SUBMISSIONS_PER_MINUTE = "60"
    } : contains(module.control_plane.containers[0].environment, { name = name, value = value })])
    error_message = "the server must have each limit that is asked for"
  }
}

run "prices_of_your_own" {
  command = plan

  variables {
    prices = { version = "ours-2026-11", currency = "EUR", vcpu_hour = 0.03, compute_share = 0.4 }
  }

  assert {
    condition     = toset(split("\n", one([for variable in module.control_plane.containers[0].environment : variable.value if variable.name == "WEIR_PRICES"]))) == toset(["version = \"ours-2026-11\"", "currency = \"EUR\"", "vcpu_hour = 0.03", "compute_share = 0.4"])
    error_message = "the server must get the table as TOML, with what was given and nothing else"
  }
}

run "settings_of_yours_go_first" {
  command = plan

  variables {
    server_environment = { WEIR_REQUESTS_PER_SECOND = "7" }
  }

  assert {
    condition     = one([for variable in module.control_plane.containers[0].environment : variable.value if variable.name == "WEIR_REQUESTS_PER_SECOND"]) == "7"
    error_message = "what is set by its variable must win"
  }
}

run "links_to_what_is_in_your_buckets" {
  command = plan

  variables {
    readable_bucket_arns = ["arn:aws:s3:::books"]
    writable_bucket_arns = ["arn:aws:s3:::reports"]
  }

  # A link that the server signs opens what the server itself may read.
  assert {
    condition     = alltrue([for object in ["arn:aws:s3:::books/*", "arn:aws:s3:::reports/*"] : anytrue([for statement in module.storage.control_plane_statements : contains(statement.Action, "s3:GetObject") && contains(statement.Resource, object)])])
    error_message = "links to files of runs must open in every bucket that jobs use"
  }
}
