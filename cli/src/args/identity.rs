//! Namespaces, keys, the audit log.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use weir_control_plane::http::Network;
use weir_control_plane::identity::{ClaimGrant, Role};

use super::{OutputFormat, TargetArgs};

/// A day, which keys are counted in.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Who may use a server, and how it is reached.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct AccessArgs {
    /// A key that opens everything, of 20 characters or more: for whoever makes the first keys, by `weir keys create`
    #[arg(long, env = "WEIR_BOOTSTRAP_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub(crate) bootstrap_api_key: Option<String>,

    /// Answer by HTTPS, with the certificate of this file and those of its issuers, in PEM
    #[arg(long, env = "WEIR_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The certificate's private key, in PEM
    #[arg(long, env = "WEIR_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Networks of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed, such as `10.0.0.0/8`
    #[arg(long, env = "WEIR_TRUSTED_PROXIES", value_name = "NETWORKS", value_delimiter = ',')]
    pub(crate) trusted_proxies: Vec<Network>,

    /// Answer `/metrics` at this address alone, and no more at that of the API, where anybody may ask for them; port 0
    /// takes a free one
    #[arg(long, env = "WEIR_METRICS_LISTEN", value_name = "ADDRESS")]
    pub(crate) metrics_listen: Option<SocketAddr>,

    /// Requests a second of one key or person, in the long run; ten times as many may come at once
    #[arg(long, env = "WEIR_REQUESTS_PER_SECOND", default_value_t = 200, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) requests_per_second: u32,

    /// Days for which the audit log is kept
    #[arg(long, env = "WEIR_KEEP_AUDIT_DAYS", default_value_t = 365, value_name = "DAYS",
        value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) keep_audit_days: u32,

    /// Let people in with tokens of this identity provider: its address, as in the tokens' `iss`
    #[arg(long, env = "WEIR_OIDC_ISSUER", value_name = "URL")]
    pub(crate) oidc_issuer: Option<String>,

    /// Whom the tokens must be for: their `aud`
    #[arg(long, env = "WEIR_OIDC_AUDIENCE", value_name = "TEXT")]
    pub(crate) oidc_audience: Option<String>,

    /// The claim whose values say what somebody may do; `a.b` is `b` inside `a`
    #[arg(long, env = "WEIR_OIDC_CLAIM", default_value = "groups", value_name = "NAME")]
    pub(crate) oidc_claim: String,

    /// The claim that names somebody
    #[arg(long, env = "WEIR_OIDC_PRINCIPAL_CLAIM", default_value = "sub", value_name = "NAME")]
    pub(crate) oidc_principal_claim: String,

    /// What a value of the claim allows, such as `data=analytics:submitter` or `platform=*:admin`; several with commas
    #[arg(
        long,
        env = "WEIR_OIDC_GRANTS",
        value_name = "VALUE=NAMESPACE:ROLE",
        value_delimiter = ','
    )]
    pub(crate) oidc_grants: Vec<ClaimGrant>,
}

/// Which server, and how to print.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct AskArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// How to print
    #[arg(short, long, default_value = "table")]
    pub(crate) output: OutputFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NamespacesCommand {
    /// The namespaces that you may use
    List {
        #[command(flatten)]
        ask: AskArgs,
    },
    /// One namespace
    Get {
        /// Its name
        name: String,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Make a namespace
    Create {
        /// 1 to 63 lower-case letters, digits and hyphens
        name: String,
        /// What people call it
        #[arg(long, default_value = "", value_name = "TEXT")]
        display_name: String,
        /// A place in S3 whose files its jobs may use, and no others; several may be given
        #[arg(long = "allow-location", value_name = "S3_URL")]
        allowed_locations: Vec<String>,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Change a namespace; what is not given stays
    Set {
        /// Its name
        name: String,
        /// What people call it
        #[arg(long, value_name = "TEXT")]
        display_name: Option<String>,
        /// A place in S3 whose files its jobs may use, and no others; several may be given
        #[arg(long = "allow-location", value_name = "S3_URL")]
        allowed_locations: Vec<String>,
        /// Let its jobs use all files that the service reaches
        #[arg(long, conflicts_with = "allowed_locations")]
        allow_all_locations: bool,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Delete a namespace that has no runs, and its keys with it
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        target: TargetArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// The keys of a namespace, youngest first
    List {
        #[command(flatten)]
        ask: AskArgs,
        /// Those of every namespace and of the whole service
        #[arg(long)]
        all: bool,
    },
    /// Make a key, and print its secret, which is shown this once
    Create {
        /// What it is for
        name: String,
        /// What may be done with it: viewer, submitter, operator or admin
        #[arg(long)]
        role: Role,
        /// Good in every namespace, and for what belongs to none
        #[arg(long, conflicts_with = "namespace")]
        whole_service: bool,
        /// How long it is good, such as `12h` or `30d`, or `never` for as long as it is not revoked
        #[arg(long, default_value = "90d", value_name = "TIME", value_parser = lifetime)]
        expires_in: Lifetime,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// End a key for good
    Revoke {
        /// Its id, as `weir keys list` shows it
        key: String,
        #[command(flatten)]
        ask: AskArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// Your own sessions, or everybody's, youngest first
    List {
        #[command(flatten)]
        ask: AskArgs,
        /// Those of everybody
        #[arg(long)]
        all: bool,
        /// Those of this person or key, as the audit log names them
        #[arg(long, value_name = "NAME")]
        principal: Option<String>,
    },
    /// End sessions: their browsers must log in again
    #[command(group(clap::ArgGroup::new("which").required(true)))]
    End {
        /// The id of one, as `weir sessions list` shows it
        #[arg(group = "which")]
        session: Option<String>,
        /// All of your own
        #[arg(long, group = "which")]
        own: bool,
        /// All of this person or key, as the audit log names them
        #[arg(long, group = "which", value_name = "NAME")]
        principal: Option<String>,
        #[command(flatten)]
        ask: AskArgs,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) ask: AskArgs,

    /// What happened in every namespace, and in none
    #[arg(long)]
    pub(crate) all: bool,

    /// Only what this principal did
    #[arg(long, value_name = "NAME")]
    pub(crate) principal: Option<String>,

    /// Only this operation, such as `runs_submit`
    #[arg(long, value_name = "OPERATION")]
    pub(crate) action: Option<String>,

    /// Only what was refused
    #[arg(long)]
    pub(crate) denied: bool,

    /// Entries to show
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
}

/// How long a key is good; `None` for as long as it is not revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime(pub(crate) Option<Duration>);

fn lifetime(text: &str) -> Result<Lifetime, String> {
    if text == "never" {
        return Ok(Lifetime(None));
    }
    let wrong = || format!("`{text}` is not a time such as `12h`, `30d` or `never`");
    let unit = text.chars().last().filter(char::is_ascii).ok_or_else(wrong)?;
    let factor = match unit {
        's' => Duration::from_secs(1),
        'm' => Duration::from_secs(60),
        'h' => Duration::from_secs(3_600),
        'd' => DAY,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    match factor.checked_mul(number) {
        Some(time) if !time.is_zero() && time <= DAY * 36_500 => Ok(Lifetime(Some(time))),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_a_unit() {
        assert_eq!(lifetime("30d"), Ok(Lifetime(Some(DAY * 30))));
        assert_eq!(lifetime("90s"), Ok(Lifetime(Some(Duration::from_secs(90)))));
        assert_eq!(lifetime("never"), Ok(Lifetime(None)));
        for wrong in ["", "30", "d", "0d", "-1d", "1y", "99999999999d", "1é", "4000000000d"] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
    }
}
