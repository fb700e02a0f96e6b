resource "aws_rds_cluster_parameter_group" "aurora" {
  count = local.is_aurora ? 1 : 0

  name        = "${var.name}-aurora-postgresql${local.major}"
  description = "Database of Weir"
  family      = "aurora-postgresql${local.major}"

  dynamic "parameter" {
    for_each = local.parameters

    content {
      name  = parameter.key
      value = parameter.value
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_rds_cluster" "this" {
  #checkov:skip=CKV_AWS_133:Backups are kept for at least a day, which a validation sees to; the check does not read variables
  #checkov:skip=CKV_AWS_139:Protection is the operator's choice, and on by default
  #checkov:skip=CKV2_AWS_8:Backups to any second are kept; plans of AWS Backup are the account's business
  #checkov:skip=CKV2_AWS_27:Every statement would be logged; those over half a second are
  count = local.is_aurora ? 1 : 0

  cluster_identifier = var.name
  engine             = "aurora-postgresql"
  engine_version     = var.engine_version
  database_name      = local.database
  port               = 5432

  master_username                     = local.administrator
  manage_master_user_password         = true
  master_user_secret_kms_key_id       = var.kms_key_arn
  iam_database_authentication_enabled = true

  storage_encrypted               = true
  kms_key_id                      = var.kms_key_arn
  db_subnet_group_name            = aws_db_subnet_group.this.name
  vpc_security_group_ids          = [aws_security_group.this.id]
  db_cluster_parameter_group_name = aws_rds_cluster_parameter_group.aurora[0].name

  backup_retention_period      = var.backup_retention_days
  preferred_backup_window      = "03:00-04:00"
  preferred_maintenance_window = "sun:04:30-sun:05:30"
  copy_tags_to_snapshot        = true
  delete_automated_backups     = !var.deletion_protection
  deletion_protection          = var.deletion_protection
  skip_final_snapshot          = !var.deletion_protection
  final_snapshot_identifier    = var.deletion_protection ? "${var.name}-final" : null
  apply_immediately            = var.apply_immediately

  enabled_cloudwatch_logs_exports = ["postgresql"]

  serverlessv2_scaling_configuration {
    min_capacity = var.aurora_capacity.min
    max_capacity = var.aurora_capacity.max
  }

  depends_on = [aws_cloudwatch_log_group.postgresql]
}

resource "aws_rds_cluster_instance" "this" {
  #checkov:skip=CKV_AWS_118:Performance insights show what one needs; enhanced monitoring sends 1 GB of logs a month
  count = local.is_aurora ? (var.multi_az ? 2 : 1) : 0

  identifier         = "${var.name}-${count.index}"
  cluster_identifier = aws_rds_cluster.this[0].id
  engine             = aws_rds_cluster.this[0].engine
  engine_version     = aws_rds_cluster.this[0].engine_version
  instance_class     = "db.serverless"
  # The second one is the first to take over, and so has the first one's size.
  promotion_tier = 0

  publicly_accessible        = false
  ca_cert_identifier         = "rds-ca-rsa2048-g1"
  copy_tags_to_snapshot      = true
  auto_minor_version_upgrade = true
  apply_immediately          = var.apply_immediately

  performance_insights_enabled          = true
  performance_insights_kms_key_id       = var.kms_key_arn
  performance_insights_retention_period = 7
}
