# The service behind the load balancer: the front door, the containers, the roles.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name                     = "weir"
  vpc_id                   = "vpc-1"
  load_balancer_subnet_ids = ["subnet-1", "subnet-2"]
  task_subnet_ids          = ["subnet-3", "subnet-4"]
  assign_public_ip         = false
  ingress_cidrs            = ["0.0.0.0/0"]
  tls                      = { certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/own" }
  access_log_bucket        = "weir-logs-123456789012"
  cluster                  = { arn = "arn:aws:ecs:eu-west-1:123456789012:cluster/weir", name = "weir" }
  image                    = "example.com/weir:1.0.0"
  cpu                      = 512
  memory                   = 1024
  desired_count            = 2
  environment              = { WEIR_STORAGE = "s3://bucket/weir" }
  secrets                  = { WEIR_BOOTSTRAP_API_KEY = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf" }
  task_statements = [{
    Sid      = "SendTasks"
    Effect   = "Allow"
    Action   = ["sqs:SendMessage"]
    Resource = ["arn:aws:sqs:eu-west-1:123456789012:weir-tasks"]
  }]
  tenant_statements = [{
    Sid      = "ReadAndWriteObjects"
    Effect   = "Allow"
    Action   = ["s3:GetObject", "s3:PutObject"]
    Resource = ["arn:aws:s3:::weir-data-123456789012/*"]
  }]
  database_security_group_id = "sg-database"
  open_database_port         = true
  kms_key_arn                = "arn:aws:kms:eu-west-1:123456789012:key/1"
  log_retention_days         = 30
}

run "http_leads_to_https" {
  command = plan

  module {
    source = "./modules/control_plane"
  }

  assert {
    condition     = aws_lb_listener.http.default_action[0].type == "redirect" && aws_lb_listener.http.default_action[0].redirect[0].status_code == "HTTP_301"
    error_message = "plain HTTP must lead to HTTPS and nowhere else"
  }
  assert {
    condition     = strcontains(aws_lb_listener.https[0].ssl_policy, "TLS13") && aws_lb_listener.https[0].certificate_arn == "arn:aws:acm:eu-west-1:123456789012:certificate/own"
    error_message = "HTTPS must use TLS 1.2 or 1.3 and the certificate that was given"
  }
  assert {
    condition     = length(aws_acm_certificate.this) == 0
    error_message = "nothing is made beside a certificate that was given"
  }
  assert {
    condition     = aws_lb.this.drop_invalid_header_fields && aws_lb.this.enable_deletion_protection && aws_lb.this.access_logs[0].enabled
    error_message = "the load balancer must drop odd headers, be protected, and write access logs"
  }
}

run "certificate_for_a_domain" {
  command = plan

  module {
    source = "./modules/control_plane"
  }

  variables {
    tls = { domain_name = "weir.example.com", route53_zone_id = "Z1" }
  }

  assert {
    condition     = aws_acm_certificate.this[0].domain_name == "weir.example.com" && aws_route53_record.validation["weir.example.com"].type == "CNAME"
    error_message = "a certificate for the domain must be made and validated"
  }
  assert {
    condition     = aws_route53_record.this[0].name == "weir.example.com" && output.url == "https://weir.example.com"
    error_message = "the domain must lead to the load balancer"
  }
}

run "plain_http_when_asked" {
  command = plan

  module {
    source = "./modules/control_plane"
  }

  variables {
    tls           = {}
    ingress_cidrs = ["203.0.113.0/24"]
  }

  assert {
    condition     = aws_lb_listener.http.default_action[0].type == "forward" && length(aws_lb_listener.https) == 0 && startswith(output.url, "http://")
    error_message = "without a certificate the listener must serve by itself"
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.https) == 0
    error_message = "a port that nobody serves must be closed"
  }
}

run "containers_are_locked_down" {
  command = plan

  module {
    source = "./modules/control_plane"
  }

  assert {
    condition     = alltrue([for container in output.containers : container.readonlyRootFilesystem])
    error_message = "no container may write to its image"
  }
  assert {
    condition     = output.containers[0].linuxParameters.capabilities.drop == ["ALL"] && output.containers[0].command == ["server"]
    error_message = "the server must have no capabilities"
  }
  assert {
    condition     = [for mount in output.containers[0].mountPoints : mount.containerPath] == [one([for variable in output.containers[0].environment : variable.value if variable.name == "WEIR_DATA_DIR"])]
    error_message = "what the server writes must go to its volume"
  }
  assert {
    condition     = [for secret in output.containers[0].secrets : secret.name] == ["WEIR_BOOTSTRAP_API_KEY"] && !anytrue([for variable in output.containers[0].environment : variable.name == "WEIR_BOOTSTRAP_API_KEY"])
    error_message = "secrets must come out of Secrets Manager and be in no environment"
  }
  assert {
    condition     = output.containers[0].healthCheck.command[0] == "CMD" && output.containers[0].stopTimeout > 30
    error_message = "the image has no shell, and the server takes up to 30 seconds to drain"
  }
  assert {
    condition     = aws_ecs_task_definition.this.runtime_platform[0].cpu_architecture == "ARM64"
    error_message = "tasks must run on ARM by default"
  }
}

run "upgrades_keep_serving" {
  command = plan

  module {
    source = "./modules/control_plane"
  }

  assert {
    condition     = aws_ecs_service.this.deployment_minimum_healthy_percent == 100 && aws_ecs_service.this.deployment_maximum_percent == 200
    error_message = "old tasks must stay until new ones are healthy"
  }
  assert {
    condition     = aws_ecs_service.this.deployment_circuit_breaker[0].enable && aws_ecs_service.this.deployment_circuit_breaker[0].rollback
    error_message = "a version that does not start must be rolled back"
  }
}

run "setup_runs_before_the_server" {
  command = plan

  module {
    source = "./modules/control_plane"
  }

  variables {
    setup_container = {
      secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:admin-AbCdEf"
      definition = { name = "database-setup", image = "example.com/psql:1", essential = false, readonlyRootFilesystem = true }
    }
  }

  assert {
    condition     = [for dependency in output.containers[0].dependsOn : [dependency.containerName, dependency.condition]] == [["database-setup", "SUCCESS"]]
    error_message = "the server must start when the database is set up"
  }
  assert {
    condition = anytrue([for statement in jsondecode(aws_iam_role_policy.execution.policy).Statement :
      contains(statement.Action, "secretsmanager:GetSecretValue") && contains(statement.Resource, "arn:aws:secretsmanager:eu-west-1:123456789012:secret:admin-AbCdEf")
    ])
    error_message = "ECS must be able to hand the administrator's password to the setup"
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.task.policy, "secretsmanager")
    error_message = "the server itself must not be able to read secrets"
  }
}

run "only_the_load_balancer_gets_in" {
  command = plan

  module {
    source = "./modules/control_plane"
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.task.from_port == 8080 && aws_vpc_security_group_ingress_rule.task.cidr_ipv4 == null
    error_message = "tasks must be open to the load balancer's group and to no range"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.database[0].security_group_id == "sg-database" && aws_vpc_security_group_ingress_rule.database[0].from_port == 5432
    error_message = "the control plane must get in to Postgres"
  }
}

run "tenants_are_assumed_by_the_control_plane_alone" {
  command = plan

  module {
    source = "./modules/control_plane"
  }

  assert {
    condition     = keys(jsondecode(aws_iam_role.tenant.assume_role_policy).Statement[0].Principal) == ["AWS"] && length(jsondecode(aws_iam_role.tenant.assume_role_policy).Statement) == 1
    error_message = "nobody but a role of the account may assume the tenants' role"
  }
  assert {
    condition     = anytrue([for statement in jsondecode(aws_iam_role_policy.task.policy).Statement : contains(statement.Action, "sts:AssumeRole") && !contains(statement.Resource, "*")])
    error_message = "the control plane may assume the tenants' role and no other"
  }
}

run "waf" {
  command = plan

  module {
    source = "./modules/control_plane"
  }

  variables {
    waf = true
  }

  assert {
    condition     = length(aws_wafv2_web_acl_association.this) == 1 && length(aws_wafv2_web_acl.this[0].rule) == 4
    error_message = "three managed rule groups and a rate limit must stand before the load balancer"
  }
}

run "outgoing_ports_to_an_external_database" {
  command = plan

  module {
    source = "./modules/control_plane"
  }

  variables {
    open_database_port         = false
    database_security_group_id = null
    database_cidr              = "10.1.2.0/24"
    database_port              = 6432
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.task_database_range[0].cidr_ipv4 == "10.1.2.0/24" && aws_vpc_security_group_egress_rule.task_database_range[0].to_port == 6432
    error_message = "tasks must be let out to the database's range and port"
  }
}

run "wildcards_only_where_there_is_nothing_to_name" {
  command = plan

  module {
    source = "./modules/control_plane"
  }

  assert {
    condition = alltrue(flatten([
      for policy in [aws_iam_role_policy.task.policy, aws_iam_role_policy.execution.policy, aws_iam_role_policy.tenant.policy] : [
        for statement in jsondecode(policy).Statement : !contains(statement.Resource, "*") || statement.Action == ["ecr:GetAuthorizationToken"]
      ]
    ]))
    error_message = "every statement must name its resources; logging in to ECR has none"
  }
}
