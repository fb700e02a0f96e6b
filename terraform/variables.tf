variable "name" {
  description = "Prefix of every name; one for each stack in an account."
  type        = string
  default     = "weir"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.name)) && !endswith(var.name, "-")
    error_message = "name must be 1 to 20 lower case letters, digits and dashes, start with a letter and not end with a dash: load balancers and buckets are named after it."
  }
}

# ---- images

variable "image" {
  description = "Image of the control plane and the workers, by tag or digest. Null: `image_tag` in the ECR repository that the stack makes."
  type        = string
  default     = null

  validation {
    condition     = var.image == null || can(regex("(:[^/:@]+|@sha256:[0-9a-f]{64})$", var.image)) && !endswith(coalesce(var.image, "-"), ":latest")
    error_message = "image must name a version by tag or digest, and not :latest, which would mix versions at each restart of a task."
  }
}

variable "image_tag" {
  description = "Tag in the stack's own ECR repository, when `image` is null."
  type        = string
  default     = null

  validation {
    condition     = var.image_tag == null || can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image_tag)) && var.image_tag != "latest"
    error_message = "image_tag must be a tag, and not `latest`: tags of the repository cannot be moved."
  }

  validation {
    condition     = (var.image == null) != (var.image_tag == null)
    error_message = "Give either image, or image_tag for an image in the stack's own repository."
  }
}

variable "architecture" {
  description = "Processors: ARM64 costs a fifth less than X86_64. The image has both."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "architecture must be ARM64 or X86_64."
  }
}

# ---- network

variable "network_mode" {
  description = "How tasks reach AWS: `public` (a public address each, no inbound rule; cheapest), `nat` (private subnets behind NAT gateways) or `endpoints` (private subnets, VPC endpoints, no internet)."
  type        = string
  default     = "nat"

  validation {
    condition     = contains(["public", "nat", "endpoints"], var.network_mode)
    error_message = "network_mode must be public, nat or endpoints."
  }
}

variable "vpc_cidr" {
  description = "IPv4 range of the VPC, a /16 to /22."
  type        = string
  default     = "10.80.0.0/16"

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && try(tonumber(split("/", var.vpc_cidr)[1]) >= 16 && tonumber(split("/", var.vpc_cidr)[1]) <= 22, false)
    error_message = "vpc_cidr must be an IPv4 range from /16 to /22, such as 10.80.0.0/16."
  }
}

variable "availability_zone_count" {
  description = "How many availability zones to span."
  type        = number
  default     = 2

  validation {
    condition     = contains([2, 3, 4], var.availability_zone_count)
    error_message = "availability_zone_count must be 2, 3 or 4: load balancers and databases need two."
  }
}

variable "nat_gateway_per_zone" {
  description = "With `nat`: a gateway in each zone. Otherwise one for all: when its zone is lost, so is the others' way to AWS."
  type        = bool
  default     = false
}

variable "flow_log_retention_days" {
  description = "Days to keep the VPC's flow logs; 0 writes none."
  type        = number
  default     = 0

  validation {
    condition     = contains([0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.flow_log_retention_days)
    error_message = "flow_log_retention_days must be 0 or a period that CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}

variable "existing_vpc" {
  description = "A VPC of your own instead of a new one: subnets for the load balancer, for tasks (which must reach AWS), and for the database; `assign_public_ip` where tasks reach AWS by public addresses."
  type = object({
    vpc_id                   = string
    load_balancer_subnet_ids = list(string)
    task_subnet_ids          = list(string)
    database_subnet_ids      = optional(list(string), [])
    assign_public_ip         = optional(bool, false)
  })
  default = null

  validation {
    condition     = var.existing_vpc == null || try(length(var.existing_vpc.load_balancer_subnet_ids) >= 2 && length(var.existing_vpc.task_subnet_ids) >= 1, false)
    error_message = "existing_vpc needs at least two load_balancer_subnet_ids (in two zones) and one of task_subnet_ids."
  }

  validation {
    condition     = var.existing_vpc == null || var.database == "external" || try(length(var.existing_vpc.database_subnet_ids) >= 2, false)
    error_message = "existing_vpc needs at least two database_subnet_ids (in two zones), unless database is external."
  }
}

# ---- the front door

variable "ingress_cidrs" {
  description = "IPv4 ranges that may reach the API and the dashboard."
  type        = list(string)

  validation {
    condition     = length(var.ingress_cidrs) > 0 && alltrue([for cidr in var.ingress_cidrs : can(cidrhost(cidr, 0))])
    error_message = "ingress_cidrs must name at least one IPv4 range, such as 203.0.113.0/24."
  }
}

variable "tls" {
  description = "How HTTPS is served: `certificate_arn` of an ACM certificate, or `domain_name` and `route53_zone_id` to make certificate and record."
  type = object({
    certificate_arn = optional(string)
    domain_name     = optional(string)
    route53_zone_id = optional(string)
  })
  default = {}

  validation {
    condition     = (var.tls.domain_name == null) == (var.tls.route53_zone_id == null)
    error_message = "tls needs domain_name and route53_zone_id together."
  }

  validation {
    condition     = var.tls.certificate_arn == null || var.tls.domain_name == null
    error_message = "tls takes either certificate_arn or domain_name, not both."
  }

  validation {
    condition     = var.insecure_http || var.tls.certificate_arn != null || var.tls.domain_name != null
    error_message = "tls needs certificate_arn, or domain_name with route53_zone_id. To try the stack without a domain, set insecure_http."
  }

  validation {
    condition     = !var.insecure_http || var.tls.certificate_arn == null && var.tls.domain_name == null
    error_message = "tls and insecure_http exclude each other."
  }
}

variable "insecure_http" {
  description = "Serve plain HTTP. API keys then cross the network in the clear, so it is refused to the whole internet."
  type        = bool
  default     = false

  validation {
    condition     = !var.insecure_http || !anytrue([for cidr in var.ingress_cidrs : endswith(cidr, "/0")])
    error_message = "insecure_http is not for the whole internet: narrow ingress_cidrs to your own addresses, or set tls."
  }
}

variable "internal_load_balancer" {
  description = "Make the load balancer reachable from inside the network only."
  type        = bool
  default     = false
}

variable "trusted_proxy_cidrs" {
  description = "Networks of further proxies in front of the load balancer, such as a CDN, whose `X-Forwarded-For` is believed. The load balancer's own subnets are known."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.trusted_proxy_cidrs : can(cidrhost(cidr, 0)) && !endswith(cidr, "/0")])
    error_message = "trusted_proxy_cidrs must be IPv4 or IPv6 ranges such as 198.51.100.0/24, and not the whole internet: whoever is in them can say that a request is from anybody."
  }
}

variable "requests_per_second" {
  description = "Requests a second of one key or person to each task of the control plane, in the long run; ten times as many may come at once."
  type        = number
  default     = 200

  validation {
    condition     = var.requests_per_second >= 1 && var.requests_per_second <= 1000000 && floor(var.requests_per_second) == var.requests_per_second
    error_message = "requests_per_second must be a whole number from 1 to 1000000."
  }
}

variable "oidc" {
  description = "Let people in with tokens of an OpenID Connect provider: its `issuer` and the `audience`, as in the tokens; the `claim` whose values give rights (`a.b` is `b` inside `a`) and the one that names somebody; and `grants`, `NAMESPACE:ROLE` by values of the claim, `*` being the whole service."
  type = object({
    issuer          = string
    audience        = string
    claim           = optional(string, "groups")
    principal_claim = optional(string, "sub")
    grants          = map(set(string))
  })
  default = null

  validation {
    condition     = var.oidc == null || try(startswith(var.oidc.issuer, "https://"), false)
    error_message = "oidc.issuer must start with https://: the keys that tokens are signed with are fetched from there."
  }

  validation {
    condition     = var.oidc == null || try(length(var.oidc.audience) > 0 && length(var.oidc.claim) > 0 && length(var.oidc.principal_claim) > 0, false)
    error_message = "oidc needs an audience, a claim and a principal_claim."
  }

  validation {
    condition     = var.oidc == null || try(length(var.oidc.grants) > 0 && alltrue(flatten([for value, grants in var.oidc.grants : [for grant in grants : can(regex("^(\\*|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?):(viewer|submitter|operator|admin)$", grant))]])), false)
    error_message = "oidc.grants must give at least one right, such as { data-engineers = [\"analytics:submitter\"], platform = [\"*:admin\"] }, with the roles viewer, submitter, operator and admin."
  }

  validation {
    condition     = var.oidc == null || try(alltrue([for value in keys(var.oidc.grants) : length(value) > 0 && !can(regex("[,=]", value))]), false)
    error_message = "oidc.grants cannot name values of the claim that have a comma or an equals sign."
  }
}

variable "waf" {
  description = "Put AWS WAF in front of the load balancer: managed rules and a limit of requests per address."
  type        = bool
  default     = false
}

# ---- sizes

variable "control_plane" {
  description = "Control-plane tasks: CPU units and MiB (a size that Fargate has), and how many; `max_runs` is how many runs each drives at once, `lease_ms` how long a run stays with one that gives no sign of life."
  type = object({
    cpu      = optional(number, 512)
    memory   = optional(number, 1024)
    count    = optional(number, 2)
    max_runs = optional(number, 1000)
    lease_ms = optional(number, 5000)
  })
  default = {}

  validation {
    condition     = try(contains(local.fargate_memory[var.control_plane.cpu], var.control_plane.memory), false)
    error_message = "control_plane must have a size that Fargate has: 256 CPU units with 512 to 2048 MiB, 512 with 1024 to 4096, 1024 with 2048 to 8192, 2048 with 4096 to 16384, 4096 with 8192 to 30720, in whole GiB."
  }

  validation {
    condition     = var.control_plane.count >= 1 && var.control_plane.count <= 20 && floor(var.control_plane.count) == var.control_plane.count
    error_message = "control_plane.count must be from 1 to 20."
  }

  validation {
    condition     = var.control_plane.max_runs >= 1 && var.control_plane.max_runs <= 100000 && var.control_plane.lease_ms >= 500 && var.control_plane.lease_ms <= 600000
    error_message = "control_plane needs max_runs from 1 to 100000 and lease_ms from 500 to 600000."
  }
}

variable "workers" {
  description = "Workers: size, disk, bounds that the control plane scales in, and the shares of Fargate Spot and on demand. `slots` is tasks at once (default: one a processor); `idle_seconds` how long less must be needed before workers are stopped."
  type = object({
    cpu                  = optional(number, 2048)
    memory               = optional(number, 8192)
    ephemeral_storage_gb = optional(number, 50)
    min                  = optional(number, 0)
    max                  = optional(number, 10)
    spot_weight          = optional(number, 4)
    on_demand_weight     = optional(number, 1)
    on_demand_base       = optional(number, 0)
    slots                = optional(number)
    idle_seconds         = optional(number, 60)
  })
  default = {}

  validation {
    condition     = try(contains(local.fargate_memory[var.workers.cpu], var.workers.memory), false) && var.workers.memory >= 2048
    error_message = "workers must have a size that Fargate has, with 2048 MiB or more: 512 CPU units with up to 4096 MiB, 1024 with up to 8192, 2048 with 4096 to 16384, 4096 with 8192 to 30720, 8192 with 16384 to 61440 (in steps of 4096), 16384 with 32768 to 122880 (in steps of 8192)."
  }

  validation {
    condition     = var.workers.min >= 0 && var.workers.max >= 1 && var.workers.min <= var.workers.max && var.workers.max <= 5000
    error_message = "workers needs 0 <= min <= max and 1 <= max <= 5000, which is what an ECS service can have."
  }

  validation {
    condition     = var.workers.spot_weight >= 0 && var.workers.on_demand_weight >= 0 && var.workers.spot_weight + var.workers.on_demand_weight > 0
    error_message = "workers needs a spot_weight or an on_demand_weight above 0."
  }

  validation {
    condition     = var.workers.ephemeral_storage_gb >= 20 && var.workers.ephemeral_storage_gb <= 200
    error_message = "workers.ephemeral_storage_gb must be from 20 (which is free) to 200."
  }

  validation {
    condition     = var.workers.slots == null || try(var.workers.slots >= 1 && var.workers.slots <= 1024 && floor(var.workers.slots) == var.workers.slots, false)
    error_message = "workers.slots must be a whole number from 1 to 1024."
  }

  validation {
    condition     = var.workers.idle_seconds >= 1 && var.workers.idle_seconds <= 86400
    error_message = "workers.idle_seconds must be from 1 to 86400."
  }
}

# ---- database

variable "database" {
  description = "Where Postgres is: `rds` (an instance), `aurora` (Serverless v2) or `external` (yours, see external_database)."
  type        = string
  default     = "rds"

  validation {
    condition     = contains(["rds", "aurora", "external"], var.database)
    error_message = "database must be rds, aurora or external."
  }
}

variable "database_options" {
  description = "Size and safety of the database that the stack makes. `multi_az`: a standby. `max_connections_alarm`: connections above which there is an alarm."
  type = object({
    engine_version        = optional(string, "17")
    instance_class        = optional(string, "db.t4g.small")
    allocated_storage_gb  = optional(number, 20)
    max_storage_gb        = optional(number, 200)
    multi_az              = optional(bool, true)
    aurora_min_acu        = optional(number, 0.5)
    aurora_max_acu        = optional(number, 4)
    backup_retention_days = optional(number, 14)
    max_connections_alarm = optional(number, 80)
  })
  default = {}

  validation {
    condition     = can(regex("^(15|16|17)(\\.[0-9]+)?$", var.database_options.engine_version))
    error_message = "database_options.engine_version must be 15, 16 or 17, with or without a minor version."
  }

  validation {
    condition     = startswith(var.database_options.instance_class, "db.")
    error_message = "database_options.instance_class must be an RDS class such as db.t4g.small."
  }

  validation {
    condition     = var.database_options.allocated_storage_gb >= 20 && var.database_options.max_storage_gb > var.database_options.allocated_storage_gb
    error_message = "database_options needs allocated_storage_gb of at least 20, and max_storage_gb above it."
  }

  validation {
    condition     = var.database_options.aurora_min_acu >= 0.5 && var.database_options.aurora_max_acu >= var.database_options.aurora_min_acu && var.database_options.aurora_max_acu <= 256
    error_message = "database_options needs 0.5 <= aurora_min_acu <= aurora_max_acu <= 256: the control plane polls, so a cluster that may pause never would."
  }

  validation {
    condition     = var.database_options.backup_retention_days >= 1 && var.database_options.backup_retention_days <= 35
    error_message = "database_options.backup_retention_days must be from 1 to 35."
  }
}

variable "external_database" {
  description = "With `database = \"external\"`: the URL without a password; the secret that holds the password (its whole value, or `arn:key::`), or `iam_user_arn` (`arn:aws:rds-db:...:dbuser:RESOURCE/USER`) to log in with IAM tokens; and the security group or the IPv4 range that it is in."
  type = object({
    url                 = string
    port                = optional(number, 5432)
    password_secret_arn = optional(string)
    iam_user_arn        = optional(string)
    security_group_id   = optional(string)
    cidr                = optional(string)
  })
  default = null

  validation {
    condition     = (var.external_database != null) == (var.database == "external")
    error_message = "external_database goes with database = \"external\", and only with it."
  }

  validation {
    condition     = var.external_database == null || can(regex("^postgres(ql)?://[^:@/]+@[^@/]+/[^?]+\\?.*sslmode=(require|verify-ca|verify-full)", var.external_database.url))
    error_message = "external_database.url must look like postgres://user@host:5432/database?sslmode=verify-full: a user without a password, and an sslmode that encrypts."
  }

  validation {
    condition     = var.external_database == null || try((var.external_database.password_secret_arn == null) != (var.external_database.iam_user_arn == null), false)
    error_message = "external_database needs either password_secret_arn or iam_user_arn."
  }

  validation {
    condition     = var.external_database == null || try((var.external_database.security_group_id == null) != (var.external_database.cidr == null), false)
    error_message = "external_database needs either security_group_id or cidr, so that the control plane, and nobody else, is let out to it."
  }
}

# ---- storage and queues

variable "readable_bucket_arns" {
  description = "Buckets besides the stack's own that jobs may read."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.readable_bucket_arns : can(regex("^arn:aws[a-z-]*:s3:::[a-z0-9.-]{3,63}$", arn))])
    error_message = "readable_bucket_arns must be ARNs of buckets (arn:aws:s3:::NAME), without objects or wildcards."
  }
}

variable "writable_bucket_arns" {
  description = "Buckets besides the stack's own that jobs may read and write."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.writable_bucket_arns : can(regex("^arn:aws[a-z-]*:s3:::[a-z0-9.-]{3,63}$", arn))])
    error_message = "writable_bucket_arns must be ARNs of buckets (arn:aws:s3:::NAME), without objects or wildcards."
  }
}

variable "bucket_key_arns" {
  description = "KMS keys of those buckets, if they have their own."
  type        = list(string)
  default     = []
}

variable "run_retention_days" {
  description = "Days after which S3 deletes what a run left between its stages, should Weir not have done so. Longer than any run."
  type        = number
  default     = 30

  validation {
    condition     = var.run_retention_days >= 7 && floor(var.run_retention_days) == var.run_retention_days
    error_message = "run_retention_days must be a whole number from 7: S3 must not delete the shuffle of a run that still goes on."
  }
}

variable "bucket_versioning" {
  description = "Keep deleted and overwritten objects of the data bucket for 30 days (those of runs for one). Shuffle objects then cost a day of storage more."
  type        = bool
  default     = false
}

variable "max_receive_count" {
  description = "Receives without an end after which a message is a dead letter."
  type        = number
  default     = 5

  validation {
    condition     = var.max_receive_count >= 3 && var.max_receive_count <= 1000
    error_message = "max_receive_count must be from 3 to 1000: with less, two Spot interruptions would make a healthy task look poisonous."
  }
}

# ---- operation

variable "migrate_on_start" {
  description = "Let a new version bring the database's schema forward as it starts. Otherwise run `weir migrate` before an upgrade that needs it."
  type        = bool
  default     = true
}

variable "keep" {
  description = "How long Weir keeps what is over: runs with their results and history for `runs_days` (default: for ever), but always the youngest `runs_last`; the audit log for `audit_days`. `housekeeping_minutes` is how often it looks."
  type = object({
    runs_days            = optional(number)
    runs_last            = optional(number, 0)
    audit_days           = optional(number, 365)
    housekeeping_minutes = optional(number, 60)
  })
  default = {}

  validation {
    condition     = var.keep.runs_days == null || try(var.keep.runs_days >= 1 && floor(var.keep.runs_days) == var.keep.runs_days, false)
    error_message = "keep.runs_days must be a whole number from 1, or null to keep every run."
  }

  validation {
    condition     = var.keep.runs_last >= 0 && (var.keep.runs_last == 0 || var.keep.runs_days != null)
    error_message = "keep.runs_last goes with keep.runs_days: without it every run is kept."
  }

  validation {
    condition     = var.keep.audit_days >= 1 && var.keep.audit_days <= 36500
    error_message = "keep.audit_days must be from 1 to 36500."
  }

  validation {
    condition     = var.keep.housekeeping_minutes >= 1 && var.keep.housekeeping_minutes <= 10080
    error_message = "keep.housekeeping_minutes must be from 1 to 10080, a week."
  }
}

variable "default_quota" {
  description = "What a namespace may use that has no quota of its own; what is left out is not limited. `max_storage` is a size such as `100GiB`."
  type = object({
    max_runs               = optional(number)
    max_queued_runs        = optional(number)
    max_tasks              = optional(number)
    max_storage            = optional(string)
    submissions_per_minute = optional(number)
  })
  default = {}

  validation {
    condition     = alltrue([for limit in [var.default_quota.max_runs, var.default_quota.max_queued_runs] : limit == null || try(limit >= 0 && floor(limit) == limit, false)])
    error_message = "default_quota.max_runs and max_queued_runs must be whole numbers from 0."
  }

  validation {
    condition     = alltrue([for limit in [var.default_quota.max_tasks, var.default_quota.submissions_per_minute] : limit == null || try(limit >= 1 && floor(limit) == limit, false)])
    error_message = "default_quota.max_tasks and submissions_per_minute must be whole numbers from 1: with 0 nothing would ever run."
  }

  validation {
    condition     = var.default_quota.max_storage == null || can(regex("^[0-9]+ ?(B|[KMGT]i?B)$", var.default_quota.max_storage))
    error_message = "default_quota.max_storage must be a size such as 100GiB."
  }
}

variable "prices" {
  description = "Prices for the estimates of what runs cost, with a `version` of their own; what is left out is AWS's list price in us-east-1. See docs/findings.md."
  type = object({
    version                = string
    currency               = optional(string)
    vcpu_hour              = optional(number)
    memory_gib_hour        = optional(number)
    storage_thousand_puts  = optional(number)
    storage_thousand_gets  = optional(number)
    queue_million_requests = optional(number)
    compute_share          = optional(number)
  })
  default = null

  validation {
    condition     = var.prices == null || can(regex("^[A-Za-z0-9._-]{1,64}$", var.prices.version))
    error_message = "prices.version must be 1 to 64 letters, digits, dots, dashes and underscores."
  }

  validation {
    condition     = var.prices == null || try(alltrue([for name, value in var.prices : value == null || contains(["version", "currency"], name) || try(tonumber(value) >= 0, false)]), false)
    error_message = "prices must not be below 0."
  }

  validation {
    condition     = var.prices == null || try(var.prices.compute_share == null || var.prices.compute_share <= 1, false)
    error_message = "prices.compute_share is the part of vcpu_hour and memory_gib_hour that is paid, from 0 to 1."
  }
}

variable "server_environment" {
  description = "Further settings of the server, by their variables: `weir server --help` lists them. They go before those of the inputs."
  type        = map(string)
  default     = {}

  validation {
    condition     = !anytrue([for key in keys(var.server_environment) : can(regex("PASSWORD|SECRET|API_KEY", key))])
    error_message = "server_environment is readable by whoever may describe a task: keep secrets in Secrets Manager."
  }
}

variable "worker_environment" {
  description = "Further settings of the workers, by their variables: `weir worker --help` lists them."
  type        = map(string)
  default     = {}

  validation {
    condition     = !anytrue([for key in keys(var.worker_environment) : can(regex("PASSWORD|SECRET|API_KEY", key))])
    error_message = "worker_environment is readable by whoever may describe a task: keep secrets in Secrets Manager."
  }
}

variable "api_key_version" {
  description = "Raise it to have a new bootstrap key made. The old one stays valid until it is revoked."
  type        = number
  default     = 1
}

variable "telemetry" {
  description = "Run an OTLP collector (ADOT) beside each task: traces to X-Ray, Weir's metrics to CloudWatch, and alarms on them."
  type        = bool
  default     = true
}

variable "collector_image" {
  description = "Image of the collector."
  type        = string
  default     = "public.ecr.aws/aws-observability/aws-otel-collector:v0.43.3"

  validation {
    condition     = var.network_mode != "endpoints" || var.existing_vpc != null || !var.telemetry || can(regex("\\.dkr\\.ecr\\.", var.collector_image))
    error_message = "collector_image must be in ECR in this account with network_mode = endpoints: there is no way to a public registry. Copy it there, or switch telemetry off."
  }
}

variable "database_setup_image" {
  description = "Image with `psql` that makes the database's role before the server starts."
  type        = string
  default     = "public.ecr.aws/docker/library/postgres:17-alpine"

  validation {
    condition     = var.network_mode != "endpoints" || var.existing_vpc != null || var.database == "external" || can(regex("\\.dkr\\.ecr\\.", var.database_setup_image))
    error_message = "database_setup_image must be in ECR in this account with network_mode = endpoints: there is no way to a public registry. Copy it there."
  }
}

variable "log_retention_days" {
  description = "Days to keep logs."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days must be a period that CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}

variable "alarm_emails" {
  description = "Addresses that alarms are sent to; each must confirm once."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", address))])
    error_message = "alarm_emails must be e-mail addresses."
  }
}

variable "alarm_action_arns" {
  description = "Further actions of alarms: ARNs of topics or incident plans."
  type        = list(string)
  default     = []
}

variable "deletion_protection" {
  description = "Refuse to delete the database, the load balancer, and buckets and repositories that hold anything."
  type        = bool
  default     = true
}

variable "github" {
  description = "A role for a GitHub repository's workflows that pushes images: `repository` (owner/name), the `subjects` that may take it, the account's `provider_arn` if it has one, and further `policy_arns`."
  type = object({
    repository   = string
    subjects     = optional(list(string), ["ref:refs/heads/main"])
    provider_arn = optional(string)
    policy_arns  = optional(list(string), [])
  })
  default = null

  validation {
    condition     = var.github == null || var.image_tag != null
    error_message = "github pushes to the stack's own repository: use image_tag, not image."
  }
}
