resource "aws_s3_bucket" "logs" {
  #checkov:skip=CKV_AWS_144:Logs of one region's bucket stay in that region
  #checkov:skip=CKV_AWS_145:Load balancers cannot deliver to a bucket that is encrypted with a KMS key; it uses SSE-S3
  #checkov:skip=CKV2_AWS_62:Nothing listens to events
  bucket        = local.logs_bucket
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_public_access_block" "logs" {
  bucket = aws_s3_bucket.logs.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "logs" {
  bucket = aws_s3_bucket.logs.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "logs" {
  bucket = aws_s3_bucket.logs.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_versioning" "logs" {
  bucket = aws_s3_bucket.logs.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "logs" {
  bucket = aws_s3_bucket.logs.id

  rule {
    id     = "logs"
    status = "Enabled"

    filter {}

    expiration {
      days = var.log_retention_days
    }

    noncurrent_version_expiration {
      noncurrent_days = 1
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  depends_on = [aws_s3_bucket_versioning.logs]
}

resource "aws_s3_bucket_policy" "logs" {
  bucket = aws_s3_bucket.logs.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.tls_only["logs"], [
      {
        Sid       = "LoadBalancerLogs"
        Effect    = "Allow"
        Principal = { Service = "logdelivery.elasticloadbalancing.amazonaws.com" }
        Action    = "s3:PutObject"
        Resource  = "${local.logs_bucket_arn}/alb/AWSLogs/${local.account}/*"
        Condition = {
          ArnLike = {
            "aws:SourceArn" = "arn:${local.partition}:elasticloadbalancing:${data.aws_region.current.name}:${local.account}:loadbalancer/*"
          }
        }
      },
      {
        Sid       = "BucketAccessLogs"
        Effect    = "Allow"
        Principal = { Service = "logging.s3.amazonaws.com" }
        Action    = "s3:PutObject"
        Resource  = "${local.logs_bucket_arn}/s3/*"
        Condition = {
          ArnEquals    = { "aws:SourceArn" = local.data_bucket_arn }
          StringEquals = { "aws:SourceAccount" = local.account }
        }
      },
    ])
  })

  depends_on = [aws_s3_bucket_public_access_block.logs]
}
