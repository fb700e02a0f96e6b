# Who may take the role of CI, and what it may do.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name           = "weir"
  repository     = "acme/weir"
  repository_arn = "arn:aws:ecr:eu-west-1:123456789012:repository/weir"
}

run "one_branch_of_one_repository" {
  command = plan

  module {
    source = "./modules/ci_oidc"
  }

  assert {
    condition     = jsondecode(aws_iam_role.this.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == ["repo:acme/weir:ref:refs/heads/main"]
    error_message = "only the main branch may take the role"
  }
  assert {
    condition     = jsondecode(aws_iam_role.this.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
    error_message = "tokens for others must be refused"
  }
  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Resource == ["arn:aws:ecr:eu-west-1:123456789012:repository/weir"] || statement.Action == ["ecr:GetAuthorizationToken"]])
    error_message = "the role must push to one repository, and no more"
  }
}

run "an_accounts_only_provider" {
  command = plan

  module {
    source = "./modules/ci_oidc"
  }

  variables {
    provider_arn = "arn:aws:iam::123456789012:oidc-provider/existing"
    policy_arns  = ["arn:aws:iam::123456789012:policy/apply"]
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0 && jsondecode(aws_iam_role.this.assume_role_policy).Statement[0].Principal.Federated == "arn:aws:iam::123456789012:oidc-provider/existing"
    error_message = "a provider that is there must be used"
  }
  assert {
    condition     = keys(aws_iam_role_policy_attachment.this) == ["arn:aws:iam::123456789012:policy/apply"]
    error_message = "the role must have the policies that it was given"
  }
}

run "no_pull_requests" {
  command = plan

  module {
    source = "./modules/ci_oidc"
  }

  variables {
    subjects = ["pull_request"]
  }

  expect_failures = [var.subjects]
}

run "no_wildcards_in_subjects" {
  command = plan

  module {
    source = "./modules/ci_oidc"
  }

  variables {
    subjects = ["ref:refs/heads/*"]
  }

  expect_failures = [var.subjects]
}

run "no_wildcards_in_repositories" {
  command = plan

  module {
    source = "./modules/ci_oidc"
  }

  variables {
    repository = "acme/*"
  }

  expect_failures = [var.repository]
}
