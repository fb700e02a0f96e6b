# Postgres as an instance and as Aurora: encrypted, backed up, without passwords.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name        = "weir"
  kind        = "rds"
  vpc_id      = "vpc-1"
  subnet_ids  = ["subnet-1", "subnet-2"]
  kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1"
}

run "instance" {
  command = plan

  module {
    source = "./modules/database"
  }

  assert {
    condition     = aws_db_instance.this[0].storage_encrypted && aws_db_instance.this[0].kms_key_id == "arn:aws:kms:eu-west-1:123456789012:key/1"
    error_message = "storage must be encrypted with the stack's key"
  }
  assert {
    condition     = aws_db_instance.this[0].iam_database_authentication_enabled && aws_db_instance.this[0].manage_master_user_password
    error_message = "the service logs in with tokens, and RDS keeps the administrator's password"
  }
  assert {
    condition     = aws_db_instance.this[0].multi_az && !aws_db_instance.this[0].publicly_accessible && aws_db_instance.this[0].deletion_protection
    error_message = "by default there is a standby, no public address and no deletion"
  }
  assert {
    condition     = aws_db_instance.this[0].backup_retention_period == 14 && !aws_db_instance.this[0].skip_final_snapshot
    error_message = "by default there are two weeks of backups and a last snapshot"
  }
  assert {
    condition     = anytrue([for parameter in aws_db_parameter_group.rds[0].parameter : parameter.name == "rds.force_ssl" && parameter.value == "1"])
    error_message = "the server must refuse clients without TLS"
  }
  assert {
    condition     = startswith(output.url, "postgres://weir@") && strcontains(output.url, "sslmode=verify-full") && !strcontains(output.url, "password")
    error_message = "the URL must hold no password, and check the server's certificate"
  }
  assert {
    condition     = output.connect_statements[0].Resource == ["arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-MOCKMOCKMOCK/weir"]
    error_message = "tokens must be for one role of one database"
  }
  assert {
    condition     = length(aws_rds_cluster.this) == 0
    error_message = "an instance is no cluster"
  }
}

run "throw_away" {
  command = plan

  module {
    source = "./modules/database"
  }

  variables {
    deletion_protection   = false
    multi_az              = false
    backup_retention_days = 1
  }

  assert {
    condition     = !aws_db_instance.this[0].deletion_protection && aws_db_instance.this[0].skip_final_snapshot && aws_db_instance.this[0].delete_automated_backups
    error_message = "without protection nothing must be left behind"
  }
}

run "aurora" {
  command = plan

  module {
    source = "./modules/database"
  }

  variables {
    kind            = "aurora"
    aurora_capacity = { min = 1, max = 8 }
  }

  assert {
    condition     = aws_rds_cluster.this[0].storage_encrypted && aws_rds_cluster.this[0].iam_database_authentication_enabled && aws_rds_cluster.this[0].deletion_protection
    error_message = "Aurora must be as safe as an instance"
  }
  assert {
    condition     = length(aws_rds_cluster_instance.this) == 2 && alltrue([for instance in aws_rds_cluster_instance.this : instance.instance_class == "db.serverless"])
    error_message = "by default there are two instances, whose size follows the load"
  }
  assert {
    condition     = aws_rds_cluster.this[0].serverlessv2_scaling_configuration[0].min_capacity == 1 && aws_rds_cluster.this[0].serverlessv2_scaling_configuration[0].max_capacity == 8
    error_message = "capacity must stay within its bounds"
  }
  assert {
    condition     = output.dimensions == tomap({ DBClusterIdentifier = "weir" }) && length(aws_db_instance.this) == 0
    error_message = "alarms must look at the cluster"
  }
  assert {
    condition     = output.connect_statements[0].Resource == ["arn:aws:rds-db:eu-west-1:123456789012:dbuser:cluster-MOCKMOCKMOCK/weir"]
    error_message = "tokens must be for one role of one cluster"
  }
}

run "setup_can_be_repeated" {
  command = plan

  module {
    source = "./modules/database"
  }

  assert {
    condition     = strcontains(output.setup_sql, "WHERE NOT EXISTS") && strcontains(output.setup_sql, "pg_advisory_lock") && strcontains(output.setup_sql, "GRANT rds_iam TO weir")
    error_message = "two tasks may set the database up at once, any number of times"
  }
}

run "capacity_that_would_pause" {
  command = plan

  module {
    source = "./modules/database"
  }

  variables {
    aurora_capacity = { min = 0, max = 4 }
  }

  expect_failures = [var.aurora_capacity]
}

run "unknown_kind" {
  command = plan

  module {
    source = "./modules/database"
  }

  variables {
    kind = "mysql"
  }

  expect_failures = [var.kind]
}

run "backups_for_too_long" {
  command = plan

  module {
    source = "./modules/database"
  }

  variables {
    backup_retention_days = 36
  }

  expect_failures = [var.backup_retention_days]
}
