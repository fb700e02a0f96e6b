# Two queues, each with its dead letters, and who may do what with them.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name        = "weir"
  kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1"
}

run "dead_letters" {
  command = plan

  module {
    source = "./modules/queue"
  }

  variables {
    max_receive_count = 7
  }

  assert {
    condition     = jsondecode(aws_sqs_queue.this["tasks"].redrive_policy).maxReceiveCount == 7
    error_message = "the queue of tasks must give up after as many receives as asked"
  }
  assert {
    condition     = jsondecode(aws_sqs_queue.this["reports"].redrive_policy).maxReceiveCount == 1000
    error_message = "reports that control planes give back while they are behind must not get lost"
  }
  assert {
    condition     = jsondecode(aws_sqs_queue_redrive_allow_policy.dead_letters["tasks"].redrive_allow_policy).sourceQueueArns == ["arn:aws:sqs:eu-west-1:123456789012:weir-tasks"]
    error_message = "only its own queue may send dead letters to a queue"
  }
  assert {
    condition     = alltrue([for queue in aws_sqs_queue.dead_letters : queue.message_retention_seconds == 1209600])
    error_message = "dead letters must be kept for as long as SQS can: somebody has to look"
  }
}

run "encrypted_at_rest_and_on_the_way" {
  command = plan

  module {
    source = "./modules/queue"
  }

  assert {
    condition     = alltrue([for queue in concat(values(aws_sqs_queue.this), values(aws_sqs_queue.dead_letters)) : queue.kms_master_key_id == "arn:aws:kms:eu-west-1:123456789012:key/1"])
    error_message = "all four queues must use the stack's key"
  }
  assert {
    condition = alltrue([for policy in concat(values(aws_sqs_queue_policy.this), values(aws_sqs_queue_policy.dead_letters)) :
      jsondecode(policy.policy).Statement[0].Effect == "Deny" && jsondecode(policy.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    ])
    error_message = "all four queues must refuse plain HTTP"
  }
}

run "long_polling" {
  command = plan

  module {
    source = "./modules/queue"
  }

  assert {
    condition     = alltrue([for queue in aws_sqs_queue.this : queue.receive_wait_time_seconds == 20])
    error_message = "an idle receiver must ask three times a minute, not all the time"
  }
}

run "workers_take_tasks_and_send_reports" {
  command = plan

  module {
    source = "./modules/queue"
  }

  assert {
    condition = alltrue([for statement in output.worker_statements :
      !contains(statement.Action, "sqs:SendMessage") || statement.Resource == ["arn:aws:sqs:eu-west-1:123456789012:weir-reports"]
    ])
    error_message = "a worker must not be able to make tasks"
  }
  assert {
    condition = alltrue([for statement in output.worker_statements :
      !contains(statement.Action, "sqs:ReceiveMessage") || statement.Resource == ["arn:aws:sqs:eu-west-1:123456789012:weir-tasks"]
    ])
    error_message = "a worker must not be able to take reports"
  }
  assert {
    condition = anytrue([for statement in output.control_plane_statements :
      contains(statement.Action, "sqs:ReceiveMessage") && contains(statement.Resource, "arn:aws:sqs:eu-west-1:123456789012:weir-tasks-dead-letters")
    ])
    error_message = "the control plane must be able to explain dead letters"
  }
  assert {
    condition     = flatten(output.scaler_statements[*].Action) == ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
    error_message = "a scaler must be able to read how long a queue is, and no more"
  }
}

run "too_few_receives" {
  command = plan

  module {
    source = "./modules/queue"
  }

  variables {
    max_receive_count = 2
  }

  expect_failures = [var.max_receive_count]
}

run "visibility_too_short" {
  command = plan

  module {
    source = "./modules/queue"
  }

  variables {
    visibility_timeout_seconds = 5
  }

  expect_failures = [var.visibility_timeout_seconds]
}
