# The example for Kubernetes: what is outside the cluster, and one role for each kind of pod.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  cluster_name           = "apps"
  vpc_id                 = "vpc-1"
  database_subnet_ids    = ["subnet-1", "subnet-2"]
  node_security_group_id = "sg-nodes"
}

run "one_role_for_each_kind_of_pod" {
  command = plan

  module {
    source = "./examples/eks"
  }

  assert {
    condition     = { for key, association in aws_eks_pod_identity_association.this : key => "${association.namespace}/${association.service_account}" } == { control-plane = "weir/control-plane", worker = "weir/worker", keda-operator = "keda/keda-operator" }
    error_message = "each service account must get its own role"
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.pod["worker"].policy, "rds-db") && !strcontains(aws_iam_role_policy.pod["worker"].policy, "sts:")
    error_message = "workers must have no way to log in to Postgres, or to be somebody else"
  }
  assert {
    condition     = flatten(jsondecode(aws_iam_role_policy.pod["keda-operator"].policy).Statement[*].Action) == ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
    error_message = "KEDA must be able to read how long the queue is, and no more"
  }
}

run "settings_for_the_manifests" {
  command = plan

  module {
    source = "./examples/eks"
  }

  assert {
    condition     = alltrue([for name in ["AWS_REGION", "WEIR_STORAGE", "WEIR_TASK_QUEUE", "WEIR_REPORT_QUEUE"] : can(regex("(?m)^${name}=.+$", output.settings))])
    error_message = "all pods must be told of queues and storage"
  }
  assert {
    condition     = !strcontains(output.settings, "DATABASE") && can(regex("(?m)^WEIR_DATABASE_AUTH=iam$", output.control_plane_settings)) && can(regex("(?m)^WEIR_PROVISIONER=none$", output.control_plane_settings))
    error_message = "only the control plane must be told of the database, and KEDA scales"
  }
}
