# What the root module refuses of the settings of the server.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  image_tag     = "1.0.0"
  ingress_cidrs = ["203.0.113.0/24"]
  insecure_http = true
}

run "proxies_everywhere" {
  command = plan

  variables {
    trusted_proxy_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.trusted_proxy_cidrs]
}

run "proxy_by_name" {
  command = plan

  variables {
    trusted_proxy_cidrs = ["cdn.example.com"]
  }

  expect_failures = [var.trusted_proxy_cidrs]
}

run "no_requests" {
  command = plan

  variables {
    requests_per_second = 0
  }

  expect_failures = [var.requests_per_second]
}

run "half_a_request" {
  command = plan

  variables {
    requests_per_second = 0.5
  }

  expect_failures = [var.requests_per_second]
}

run "provider_in_the_clear" {
  command = plan

  variables {
    oidc = { issuer = "http://login.example.com", audience = "weir", grants = { platform = ["*:admin"] } }
  }

  expect_failures = [var.oidc]
}

run "tokens_for_anybody" {
  command = plan

  variables {
    oidc = { issuer = "https://login.example.com", audience = "", grants = { platform = ["*:admin"] } }
  }

  expect_failures = [var.oidc]
}

run "nobody_may_do_anything" {
  command = plan

  variables {
    oidc = { issuer = "https://login.example.com", audience = "weir", grants = {} }
  }

  expect_failures = [var.oidc]
}

run "role_that_is_not" {
  command = plan

  variables {
    oidc = { issuer = "https://login.example.com", audience = "weir", grants = { platform = ["*:owner"] } }
  }

  expect_failures = [var.oidc]
}

run "value_that_cannot_be_written" {
  command = plan

  variables {
    oidc = { issuer = "https://login.example.com", audience = "weir", grants = { "a,b" = ["*:admin"] } }
  }

  expect_failures = [var.oidc]
}

run "no_runs_at_once" {
  command = plan

  variables {
    control_plane = { max_runs = 0 }
  }

  expect_failures = [var.control_plane]
}

run "lease_too_short" {
  command = plan

  variables {
    control_plane = { lease_ms = 100 }
  }

  expect_failures = [var.control_plane]
}

run "too_many_slots" {
  command = plan

  variables {
    workers = { slots = 2000 }
  }

  expect_failures = [var.workers]
}

run "workers_that_never_rest" {
  command = plan

  variables {
    workers = { idle_seconds = 0 }
  }

  expect_failures = [var.workers]
}

run "runs_kept_for_no_day" {
  command = plan

  variables {
    keep = { runs_days = 0 }
  }

  expect_failures = [var.keep]
}

run "youngest_runs_without_days" {
  command = plan

  variables {
    keep = { runs_last = 10 }
  }

  expect_failures = [var.keep]
}

run "audit_log_kept_for_no_day" {
  command = plan

  variables {
    keep = { audit_days = 0 }
  }

  expect_failures = [var.keep]
}

run "housekeeping_all_the_time" {
  command = plan

  variables {
    keep = { housekeeping_minutes = 0 }
  }

  expect_failures = [var.keep]
}

run "quota_of_half_a_run" {
  command = plan

  variables {
    default_quota = { max_runs = 0.5 }
  }

  expect_failures = [var.default_quota]
}

run "quota_of_no_tasks" {
  command = plan

  variables {
    default_quota = { max_tasks = 0 }
  }

  expect_failures = [var.default_quota]
}

run "quota_without_a_unit" {
  command = plan

  variables {
    default_quota = { max_storage = "much" }
  }

  expect_failures = [var.default_quota]
}

run "prices_without_a_name" {
  command = plan

  variables {
    prices = { version = "" }
  }

  expect_failures = [var.prices]
}

run "price_below_nothing" {
  command = plan

  variables {
    prices = { version = "ours", vcpu_hour = -1 }
  }

  expect_failures = [var.prices]
}

run "more_than_all_is_paid" {
  command = plan

  variables {
    prices = { version = "ours", compute_share = 2 }
  }

  expect_failures = [var.prices]
}
