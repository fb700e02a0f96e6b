output "data_bucket" {
  description = "Name of the data bucket."
  value       = local.data_bucket

  # Whoever uses the bucket waits until it lets nobody in over plain HTTP.
  depends_on = [aws_s3_bucket_policy.data]
}

output "data_bucket_arn" {
  description = "ARN of the data bucket."
  value       = local.data_bucket_arn
}

output "logs_bucket" {
  description = "Name of the log bucket."
  value       = local.logs_bucket

  # A load balancer checks that it may deliver when its logging is turned on.
  depends_on = [aws_s3_bucket_policy.logs]
}

output "url" {
  description = "WEIR_STORAGE."
  value       = "s3://${local.data_bucket}/${var.prefix}"

  depends_on = [aws_s3_bucket_policy.data]
}

output "control_plane_statements" {
  description = "IAM statements for the control plane: workers' rights, and deleting what nothing reaches."
  value = concat(local.worker_statements, [
    {
      Sid      = "CollectGarbage"
      Effect   = "Allow"
      Action   = ["s3:DeleteObject"]
      Resource = concat(["${local.data_bucket_arn}/*"], [for arn in var.writable_bucket_arns : "${arn}/*"])
    },
    {
      Sid      = "FindOpenUploads"
      Effect   = "Allow"
      Action   = ["s3:ListBucketMultipartUploads"]
      Resource = concat([local.data_bucket_arn], var.writable_bucket_arns)
    },
  ])
}

output "worker_statements" {
  description = "IAM statements for workers: read and write objects, hold multipart uploads open; delete nothing."
  value       = local.worker_statements
}

output "tenant_statements" {
  description = "IAM statements of the role that is assumed for one tenant at a time, each time with a session policy that leaves only that tenant's prefixes."
  value       = local.worker_statements
}

locals {
  worker_statements = concat(
    [
      {
        Sid      = "ReadAndWriteObjects"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        Resource = concat(["${local.data_bucket_arn}/*"], [for arn in var.writable_bucket_arns : "${arn}/*"])
      },
      {
        Sid      = "FindInputs"
        Effect   = "Allow"
        Action   = ["s3:ListBucket", "s3:GetBucketLocation"]
        Resource = concat([local.data_bucket_arn], var.readable_bucket_arns, var.writable_bucket_arns)
      },
      {
        Sid      = "UseDataKey"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = [var.kms_key_arn]
      },
    ],
    length(var.readable_bucket_arns) == 0 ? [] : [
      {
        Sid      = "ReadOtherBuckets"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = [for arn in var.readable_bucket_arns : "${arn}/*"]
      },
    ],
  )
}
