//! Signing in to a database of RDS with the role of this process instead of a password that lasts.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use url::Url;

use super::Error;
use super::postgres::{PasswordSource, PostgresOptions};

/// How long a token can be used to sign in; RDS takes none that is good for longer.
const VALID: Duration = Duration::from_secs(900);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl PostgresOptions {
    /// Signs in with the credentials of `config`, with a token of its own for each connection. The role needs the
    /// permission `rds-db:connect` for the user of the URL, and the user needs the role `rds_iam`. Connections are
    /// encrypted, whatever the URL leaves open.
    pub fn with_iam(mut self, config: &SdkConfig) -> Result<Self, Error> {
        let refused = |source: BoxError| Error::Database {
            action: "sign in to the database with IAM",
            source,
        };
        let mut url = Url::parse(&self.url).map_err(|e| refused(e.into()))?;
        let region = config.region().ok_or("there is no region: set AWS_REGION");
        let credentials = config.credentials_provider().ok_or("there are no AWS credentials");
        let host = url.host_str().ok_or("the URL names no host");
        let source = Rds {
            host: host.map_err(|e| refused(e.into()))?.to_owned(),
            port: url.port().unwrap_or(5432),
            user: url.username().to_owned(),
            region: region.map_err(|e| refused(e.into()))?.to_string(),
            credentials: credentials.map_err(|e| refused(e.into()))?,
        };
        if source.user.is_empty() {
            return Err(refused("the URL names no user".into()));
        }
        if !url
            .query_pairs()
            .any(|(name, _)| name == "sslmode" || name == "ssl-mode")
        {
            url.query_pairs_mut().append_pair("sslmode", "require");
        }
        self.url = url.into();
        self.password = Some(std::sync::Arc::new(source));
        Ok(self)
    }
}

/// Makes tokens for one user of one database.
struct Rds {
    host: String,
    port: u16,
    user: String,
    region: String,
    credentials: SharedCredentialsProvider,
}

#[async_trait]
impl PasswordSource for Rds {
    async fn password(&self) -> Result<String, BoxError> {
        let credentials = self.credentials.provide_credentials().await?;
        rds_token(
            &self.host,
            self.port,
            &self.user,
            &self.region,
            &credentials,
            SystemTime::now(),
        )
    }
}

/// A token that is the password of `user` for 15 minutes from `at`: a signed request to connect, which is never sent.
fn rds_token(
    host: &str,
    port: u16,
    user: &str,
    region: &str,
    credentials: &Credentials,
    at: SystemTime,
) -> Result<String, BoxError> {
    let mut url = Url::parse(&format!("https://{host}:{port}/"))?;
    url.query_pairs_mut()
        .append_pair("Action", "connect")
        .append_pair("DBUser", user);
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(VALID);
    let identity = credentials.clone().into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("rds-db")
        .time(at)
        .settings(settings)
        .build()?
        .into();
    let request = SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::Bytes(&[]))?;
    let (instructions, _) = sign(request, &params)?.into_parts();
    for (name, value) in instructions.params() {
        url.query_pairs_mut().append_pair(name, value);
    }
    let token = url.as_str().strip_prefix("https://").unwrap_or_default();
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn token(session_token: Option<&str>) -> (String, BTreeMap<String, String>) {
        let credentials = Credentials::new(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            session_token.map(str::to_owned),
            None,
            "test",
        );
        // 2026-01-02T03:04:05Z
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
        let host = "weir.abc.eu-central-1.rds.amazonaws.com";
        let token = rds_token(host, 5432, "weir_app", "eu-central-1", &credentials, at).unwrap();
        let url = Url::parse(&format!("https://{token}")).unwrap();
        let parameters = url.query_pairs().into_owned().collect();
        (token, parameters)
    }

    /// The signatures are those that AWS's own Python library makes of the same.
    #[test]
    fn tokens_are_those_that_rds_documents() {
        let (token, parameters) = token(None);
        let start = "weir.abc.eu-central-1.rds.amazonaws.com:5432/?Action=connect&DBUser=weir_app&X-Amz-";
        assert!(token.starts_with(start), "{token}");
        let expected = [
            ("Action", "connect"),
            ("DBUser", "weir_app"),
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            (
                "X-Amz-Credential",
                "AKIDEXAMPLE/20260102/eu-central-1/rds-db/aws4_request",
            ),
            ("X-Amz-Date", "20260102T030405Z"),
            ("X-Amz-Expires", "900"),
            (
                "X-Amz-Signature",
                "e7287a530eafa9f7ebbc2af6c388699ae0440208690a1d4976bb6be29eb81a65",
            ),
            ("X-Amz-SignedHeaders", "host"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parameters, BTreeMap::from(expected));
    }

    #[test]
    fn temporary_credentials_sign_in_with_their_session() {
        let (_, parameters) = token(Some("session+token/with=signs"));
        assert_eq!(parameters["X-Amz-Security-Token"], "session+token/with=signs");
        let signature = "cab0ff7653d58370b4637224fc172498429d09b1a41fe9965f0b758f9d6802ac";
        assert_eq!(parameters["X-Amz-Signature"], signature);
    }

    #[tokio::test]
    async fn options_say_what_is_missing_and_ask_for_encryption() {
        let options = |url: &str| PostgresOptions::new(url);
        let nowhere = SdkConfig::builder().build();
        let error = options("postgres://u@h/d").with_iam(&nowhere).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("AWS_REGION"), "{source}");

        let keys = Credentials::new("a", "b", None, None, "test");
        let config = SdkConfig::builder()
            .region(aws_config::Region::from_static("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .build();
        assert!(options("postgres://h/d").with_iam(&config).is_err(), "whose token?");
        let iam = options("postgres://u@h/d").with_iam(&config).unwrap();
        assert_eq!(iam.url, "postgres://u@h/d?sslmode=require");
        let password = iam.password.unwrap().password().await.unwrap();
        assert!(password.starts_with("h:5432/?Action=connect&DBUser=u&"), "{password}");
        let strict = options("postgres://u@h:1/d?sslmode=verify-full")
            .with_iam(&config)
            .unwrap();
        assert_eq!(strict.url, "postgres://u@h:1/d?sslmode=verify-full");
    }
}
