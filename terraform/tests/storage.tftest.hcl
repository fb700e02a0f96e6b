# Who may do what with objects, and what S3 cleans up by itself.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name        = "weir"
  kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1"
}

run "closed_to_the_public" {
  command = plan

  module {
    source = "./modules/storage"
  }

  assert {
    condition = alltrue([for block in [aws_s3_bucket_public_access_block.data, aws_s3_bucket_public_access_block.logs] :
      block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ])
    error_message = "both buckets must block every kind of public access"
  }
  assert {
    condition = alltrue([for policy in [aws_s3_bucket_policy.data.policy, aws_s3_bucket_policy.logs.policy] : anytrue([
      for statement in jsondecode(policy).Statement :
      statement.Effect == "Deny" && try(statement.Condition.Bool["aws:SecureTransport"], "") == "false" && statement.Action == "s3:*"
    ])])
    error_message = "both buckets must refuse plain HTTP"
  }
  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.data.rule).apply_server_side_encryption_by_default[0].kms_master_key_id == "arn:aws:kms:eu-west-1:123456789012:key/1"
    error_message = "data must be encrypted with the stack's key"
  }
}

run "leftovers_expire" {
  command = plan

  module {
    source = "./modules/storage"
  }

  variables {
    run_retention_days = 10
    log_retention_days = 7
  }

  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.data.rule : [rule.filter[0].prefix, rule.expiration[0].days] if rule.id == "runs"] == [["weir/runs/", 10]]
    error_message = "what runs left must expire, and nothing else"
  }
  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.data.rule : rule.abort_incomplete_multipart_upload[0].days_after_initiation if rule.id == "open-uploads"] == [10]
    error_message = "open uploads must be aborted when no run can want them any more"
  }
  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.data.rule : rule.id if rule.id != "noncurrent-versions" && length(rule.expiration) > 0] == ["runs"]
    error_message = "tables and modules must never expire"
  }
  assert {
    condition     = anytrue([for rule in aws_s3_bucket_lifecycle_configuration.logs.rule : rule.expiration[0].days == 7])
    error_message = "access logs must expire"
  }
}

run "versions_on_request" {
  command = plan

  module {
    source = "./modules/storage"
  }

  variables {
    versioning              = true
    noncurrent_version_days = 60
  }

  assert {
    condition     = aws_s3_bucket_versioning.data.versioning_configuration[0].status == "Enabled"
    error_message = "deleted objects must be kept"
  }
  assert {
    condition     = { for rule in aws_s3_bucket_lifecycle_configuration.data.rule : rule.id => rule.noncurrent_version_expiration[0].noncurrent_days if length(rule.noncurrent_version_expiration) > 0 } == { runs = 1, noncurrent-versions = 60 }
    error_message = "versions of shuffle objects must go after a day, others after as long as asked"
  }
}

run "workers_delete_nothing" {
  command = plan

  module {
    source = "./modules/storage"
  }

  assert {
    condition     = !anytrue([for statement in output.worker_statements : anytrue([for action in statement.Action : startswith(action, "s3:Delete")])])
    error_message = "only the control plane collects garbage"
  }
  assert {
    condition     = anytrue([for statement in output.control_plane_statements : contains(statement.Action, "s3:DeleteObject")])
    error_message = "the control plane must be able to collect garbage"
  }
}

run "other_buckets_by_name_only" {
  command = plan

  module {
    source = "./modules/storage"
  }

  variables {
    readable_bucket_arns = ["arn:aws:s3:::lake"]
    writable_bucket_arns = ["arn:aws:s3:::results"]
  }

  assert {
    condition = alltrue([for statement in output.worker_statements :
      !contains(statement.Action, "s3:PutObject") || toset(statement.Resource) == toset(["arn:aws:s3:::weir-data-123456789012/*", "arn:aws:s3:::results/*"])
    ])
    error_message = "a bucket that may be read must not be writable"
  }
  assert {
    condition     = anytrue([for statement in output.worker_statements : statement.Action == ["s3:GetObject"] && statement.Resource == ["arn:aws:s3:::lake/*"]])
    error_message = "the readable bucket must be readable"
  }
}

run "runs_live_longer_than_a_week" {
  command = plan

  module {
    source = "./modules/storage"
  }

  variables {
    run_retention_days = 6
  }

  expect_failures = [var.run_retention_days]
}

run "prefix_that_is_no_folder" {
  command = plan

  module {
    source = "./modules/storage"
  }

  variables {
    prefix = "/weir/"
  }

  expect_failures = [var.prefix]
}
