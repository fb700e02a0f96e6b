# The data bucket: Weir's own objects under `prefix`, and users' tables beside them. The log bucket: who accessed what.

data "aws_caller_identity" "current" {}
data "aws_region" "current" {}
data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  # Written out, so that policies can be read, and tested, before anything exists.
  data_bucket     = "${var.name}-data-${local.account}"
  data_bucket_arn = "arn:${local.partition}:s3:::${local.data_bucket}"
  logs_bucket     = "${var.name}-logs-${local.account}"
  logs_bucket_arn = "arn:${local.partition}:s3:::${local.logs_bucket}"
}

resource "aws_s3_bucket" "data" {
  #checkov:skip=CKV_AWS_21:Every byte of a shuffle would be paid for a day longer; `versioning` turns it on
  #checkov:skip=CKV_AWS_144:Shuffle objects live for minutes; replicate tables to another region where that is wanted
  #checkov:skip=CKV2_AWS_62:Nothing listens to events; readers follow committed manifests
  bucket        = local.data_bucket
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_public_access_block" "data" {
  bucket = aws_s3_bucket.data.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "data" {
  bucket = aws_s3_bucket.data.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "data" {
  bucket = aws_s3_bucket.data.id

  rule {
    # One data key per bucket and not per object: a shuffle would otherwise pay for a KMS request for each of its objects.
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_versioning" "data" {
  bucket = aws_s3_bucket.data.id

  versioning_configuration {
    # Objects are written once and never overwritten; see the variable for what versions of them would cost.
    status = var.versioning ? "Enabled" : "Suspended"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "data" {
  bucket = aws_s3_bucket.data.id

  # Weir deletes shuffle objects when nothing live reaches them. These are what it could not: a deleted stack's, say.
  rule {
    id     = "runs"
    status = "Enabled"

    filter {
      prefix = "${var.prefix}/runs/"
    }

    expiration {
      days = var.run_retention_days
    }

    # Nobody restores shuffle objects; a day is the shortest that S3 has.
    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }

  # Commits hold uploads open until a run ends; one that outlives every run belongs to nobody.
  rule {
    id     = "open-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = var.run_retention_days
    }
  }

  rule {
    id     = "noncurrent-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_version_days
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  depends_on = [aws_s3_bucket_versioning.data]
}

resource "aws_s3_bucket_logging" "data" {
  bucket        = aws_s3_bucket.data.id
  target_bucket = aws_s3_bucket.logs.id
  target_prefix = "s3/data/"

  depends_on = [aws_s3_bucket_policy.logs]
}

resource "aws_s3_bucket_policy" "data" {
  bucket = aws_s3_bucket.data.id

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.tls_only["data"]
  })

  depends_on = [aws_s3_bucket_public_access_block.data]
}

locals {
  tls_only = {
    for bucket, arn in { data = local.data_bucket_arn, logs = local.logs_bucket_arn } : bucket => [
      {
        Sid       = "DenyWithoutTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [arn, "${arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "DenyOldTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [arn, "${arn}/*"]
        Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
      },
    ]
  }
}
