//! What all clients of AWS have in common: credentials, region and endpoints from the standard chain, one HTTP client,
//! and limits of time and tries.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::{Builder, tls};

/// Time to connect, TLS included. A server in the same region answers in milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time until the head of an answer has arrived. SQS holds a long poll open for 20 s of it.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Time of one try, the transfer of its body up included.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time of a call with all its tries and the waits between them.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(90);
/// Tries of one call.
const ATTEMPTS: u32 = 4;
/// The wait before the second try, at most; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// A body that gives no bytes for so long has failed.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than the servers' own limit, so that a connection is rarely closed while a request is written to it.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
const IDLE_CONNECTIONS_PER_HOST: usize = 128;

/// The configuration of all AWS clients of a process: load it once and hand it on, since its connections and its
/// credentials are shared by those who share it.
///
/// Credentials, the region and endpoints are found as by every AWS tool: environment (`AWS_REGION`,
/// `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3`, …), profiles, web identity, ECS, EC2. What is missing is an error of the
/// first call, not of this one.
pub async fn config() -> SdkConfig {
    install_crypto();
    let http = Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST)
        .build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(FIRST_BACKOFF)
        .with_max_backoff(MAX_BACKOFF);
    let stalls = StalledStreamProtectionConfig::enabled()
        .grace_period(STALL_TIMEOUT)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(retries)
        .stalled_stream_protection(stalls)
        .load()
        .await
}

/// Makes ring the cryptography of every TLS connection of the process that does not choose its own (HTTP and database
/// clients do not). Calling it again, or after somebody else has chosen, changes nothing.
pub fn install_crypto() {
    // An error says that a provider is installed already, which is all that is wanted.
    let _installed = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_call_is_limited_in_time_and_tries() {
        let config = config().await;
        let timeouts = config.timeout_config().unwrap();
        assert_eq!(timeouts.connect_timeout(), Some(CONNECT_TIMEOUT));
        assert_eq!(timeouts.read_timeout(), Some(READ_TIMEOUT));
        assert_eq!(timeouts.operation_attempt_timeout(), Some(ATTEMPT_TIMEOUT));
        assert_eq!(timeouts.operation_timeout(), Some(OPERATION_TIMEOUT));
        assert_eq!(config.retry_config().unwrap().max_attempts(), ATTEMPTS);
        assert!(config.http_client().is_some());
    }

    #[test]
    fn the_cryptography_may_be_installed_twice() {
        install_crypto();
        install_crypto();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
