locals {
  host = local.is_aurora ? one(aws_rds_cluster.this[*].endpoint) : one(aws_db_instance.this[*].address)
  # What IAM policies and CloudWatch know the database by.
  resource_id = local.is_aurora ? one(aws_rds_cluster.this[*].cluster_resource_id) : one(aws_db_instance.this[*].resource_id)
}

output "host" {
  description = "Host name of the writer."
  value       = local.host
}

output "database" {
  description = "Name of the database."
  value       = local.database
}

output "url" {
  description = "WEIR_DATABASE_URL. The password is an IAM token, so there is none in it; the server's certificate is checked against the bundle in the image."
  value       = "postgres://${local.user}@${local.host}:5432/${local.database}?sslmode=verify-full&sslrootcert=/etc/weir/rds-ca.pem"

  # An Aurora cluster takes connections when it has an instance.
  depends_on = [aws_rds_cluster_instance.this]
}

output "administrator" {
  description = "The administrator's name."
  value       = local.administrator
}

output "administrator_secret_arn" {
  description = "The administrator's password: a JSON object with `username` and `password`."
  value       = one(concat(flatten(aws_rds_cluster.this[*].master_user_secret[*].secret_arn), flatten(aws_db_instance.this[*].master_user_secret[*].secret_arn)))
}

output "security_group_id" {
  description = "The database's security group, without rules: whoever connects brings a rule."
  value       = aws_security_group.this.id
}

output "dimensions" {
  description = "Dimensions of the database's CloudWatch metrics."
  value       = local.is_aurora ? { DBClusterIdentifier = var.name } : { DBInstanceIdentifier = var.name }
}

output "connect_statements" {
  description = "IAM statements to log in as `weir`."
  value = [{
    Sid    = "LogInToDatabase"
    Effect = "Allow"
    Action = ["rds-db:connect"]
    Resource = [
      "arn:${data.aws_partition.current.partition}:rds-db:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:dbuser:${local.resource_id}/${local.user}"
    ]
  }]
}

output "setup_sql" {
  description = "SQL, safe to repeat, that the administrator runs: makes the role `weir`, which logs in with IAM tokens only and owns nothing but what it makes."
  value       = local.setup_sql
}

locals {
  setup_sql = <<-SQL
    SELECT pg_advisory_lock(hashtext('weir-setup'));
    SELECT 'CREATE ROLE ${local.user} LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${local.user}') \gexec
    GRANT rds_iam TO ${local.user};
    GRANT CONNECT, CREATE, TEMPORARY ON DATABASE ${local.database} TO ${local.user};
    GRANT USAGE, CREATE ON SCHEMA public TO ${local.user};
  SQL
}
