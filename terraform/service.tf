# What the server is told by its inputs: who may come in, how much of it there may be, what is kept, what it costs.

# Of a network that is there already the ranges are looked up; of one that the stack makes they are known before it exists.
data "aws_subnet" "load_balancer" {
  count = var.existing_vpc == null ? 0 : length(var.existing_vpc.load_balancer_subnet_ids)
  id    = var.existing_vpc.load_balancer_subnet_ids[count.index]
}

locals {
  # The load balancer's own addresses. Nobody else gets to a task, by their security groups.
  load_balancer_cidrs = var.existing_vpc == null ? one(module.network[*].public_subnet_cidrs) : data.aws_subnet.load_balancer[*].cidr_block

  # What each worker runs at once; the control plane scales by it.
  slots = coalesce(var.workers.slots, max(1, floor(var.workers.cpu / 1024)))

  oidc_environment = var.oidc == null ? {} : {
    WEIR_OIDC_ISSUER          = var.oidc.issuer
    WEIR_OIDC_AUDIENCE        = var.oidc.audience
    WEIR_OIDC_CLAIM           = var.oidc.claim
    WEIR_OIDC_PRINCIPAL_CLAIM = var.oidc.principal_claim
    WEIR_OIDC_GRANTS          = join(",", flatten([for value, grants in var.oidc.grants : [for grant in grants : "${value}=${grant}"]]))
  }

  # TOML, in which a name, an equals sign and a value as in JSON are a line.
  prices = var.prices == null ? "" : join("\n", [for name, value in var.prices : "${name} = ${contains(["version", "currency"], name) ? jsonencode(tostring(value)) : value}" if value != null])

  service_settings = {
    WEIR_TRUSTED_PROXIES              = join(",", concat(local.load_balancer_cidrs, var.trusted_proxy_cidrs))
    WEIR_REQUESTS_PER_SECOND          = var.requests_per_second
    WEIR_MAX_RUNS                     = var.control_plane.max_runs
    WEIR_LEASE_MS                     = var.control_plane.lease_ms
    WEIR_SLOTS                        = local.slots
    WEIR_WORKERS_IDLE_MS              = var.workers.idle_seconds * 1000
    WEIR_KEEP_RUNS_DAYS               = var.keep.runs_days
    WEIR_KEEP_RUNS_LAST               = var.keep.runs_last == 0 ? null : var.keep.runs_last
    WEIR_KEEP_AUDIT_DAYS              = var.keep.audit_days
    WEIR_HOUSEKEEPING_MS              = var.keep.housekeeping_minutes * 60000
    WEIR_QUOTA_MAX_RUNS               = var.default_quota.max_runs
    WEIR_QUOTA_MAX_QUEUED_RUNS        = var.default_quota.max_queued_runs
    WEIR_QUOTA_MAX_TASKS              = var.default_quota.max_tasks
    WEIR_QUOTA_MAX_STORAGE            = var.default_quota.max_storage
    WEIR_QUOTA_SUBMISSIONS_PER_MINUTE = var.default_quota.submissions_per_minute
    WEIR_PRICES                       = local.prices == "" ? null : local.prices
  }
  service_environment = merge(
    { for name, value in local.service_settings : name => tostring(value) if value != null },
    local.oidc_environment,
  )
}
