//! A server that speaks S3 and SQS: ministack, which keeps everything in memory.

use std::collections::HashMap;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_http_client::Builder;
use tokio::sync::OnceCell;

use crate::cache;
use crate::server::Server;

const PACKAGE: &str = "ministack==1.5.33";
const REGION: &str = "us-east-1";
const KEY: &str = "test";

/// An S3 and SQS server.
pub struct Aws {
    server: Server,
    /// For names that nobody else has.
    next: AtomicU64,
}

/// What a queue is like.
#[derive(Clone, Debug, Default)]
pub struct QueueSpec {
    /// The visibility timeout of receives that name none, in whole seconds; 30 s when it is not given.
    pub visibility: Option<Duration>,
    /// Where messages go that were received too often.
    pub dead_letters: Option<DeadLetters>,
}

/// Where messages go that were received too often.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    /// The URL of the queue that takes them.
    pub queue: String,
    /// Receives of a message, after which it goes there instead of being received again.
    pub max_receives: u32,
}

impl Aws {
    /// The server that the tests of this process share. It is started when it is first asked for.
    ///
    /// # Panics
    ///
    /// When it cannot be installed or started.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Aws> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// A server of one's own, which ends when it is dropped.
    ///
    /// # Panics
    ///
    /// When it cannot be installed or started.
    pub async fn start() -> Self {
        let start = || {
            let python = cache::python_package(PACKAGE).join("bin/python");
            Server::start("ministack", "KILL", |port, scratch| {
                let mut command = Command::new(&python);
                command.args(["-m", "ministack"]).current_dir(scratch);
                command
                    .env("BIND_HOST", "127.0.0.1")
                    .env("GATEWAY_PORT", port.to_string());
                command.env("LOG_LEVEL", "WARNING").env("TMPDIR", scratch);
                // Only these are loaded, and nothing that needs Docker is looked for.
                command.env("SERVICES", "s3,sqs,sts,ecs");
                command
            })
        };
        let server = tokio::task::spawn_blocking(start)
            .await
            .unwrap_or_else(|error| match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => panic!("the start was given up: {error}"),
            });
        Self {
            server,
            next: AtomicU64::new(0),
        }
    }

    /// Its address, such as `http://127.0.0.1:4566`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Environment variables that lead a child process here: endpoint, region and keys.
    pub fn environment(&self) -> Vec<(String, String)> {
        let endpoint = self.endpoint();
        let variables = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", KEY),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    /// What leads clients in this process here.
    pub fn sdk_config(&self) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(self.endpoint())
            .region(Region::from_static(REGION))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                KEY, KEY, None, None, "testkit",
            )))
            .http_client(Builder::new().build_http())
            .build()
    }

    /// Makes a bucket and gives its name.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub async fn bucket(&self) -> String {
        let config = aws_sdk_s3::config::Builder::from(&self.sdk_config())
            .force_path_style(true)
            .build();
        let name = self.name("bucket");
        let created = aws_sdk_s3::Client::from_conf(config)
            .create_bucket()
            .bucket(&name)
            .send()
            .await;
        created.unwrap_or_else(|error| panic!("cannot create a bucket: {error:?}"));
        name
    }

    /// Makes a queue and gives its URL.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub async fn queue(&self, spec: &QueueSpec) -> String {
        let client = aws_sdk_sqs::Client::new(&self.sdk_config());
        let mut attributes = HashMap::new();
        if let Some(visibility) = spec.visibility {
            attributes.insert(QueueAttributeName::VisibilityTimeout, visibility.as_secs().to_string());
        }
        if let Some(DeadLetters { queue, max_receives }) = &spec.dead_letters {
            let arn = queue_arn(&client, queue).await;
            let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"{max_receives}"}}"#);
            attributes.insert(QueueAttributeName::RedrivePolicy, policy);
        }
        let create = client
            .create_queue()
            .queue_name(self.name("queue"))
            .set_attributes(Some(attributes));
        let created = create
            .send()
            .await
            .unwrap_or_else(|error| panic!("cannot create a queue: {error:?}"));
        created.queue_url.expect("a queue has a URL")
    }

    fn name(&self, kind: &str) -> String {
        format!("{kind}-{}", self.next.fetch_add(1, Ordering::Relaxed))
    }
}

async fn queue_arn(client: &aws_sdk_sqs::Client, url: &str) -> String {
    let arn = QueueAttributeName::QueueArn;
    let answer = client
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(arn.clone())
        .send()
        .await;
    let answer = answer.unwrap_or_else(|error| panic!("cannot ask for the attributes of {url}: {error:?}"));
    answer
        .attributes
        .and_then(|mut attributes| attributes.remove(&arn))
        .expect("a queue has an ARN")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn objects_and_messages_come_back() {
        let aws = Aws::shared().await;
        let (bucket, other) = (aws.bucket().await, aws.bucket().await);
        assert_ne!(bucket, other);
        let config = aws_sdk_s3::config::Builder::from(&aws.sdk_config())
            .force_path_style(true)
            .build();
        let s3 = aws_sdk_s3::Client::from_conf(config);
        s3.put_object()
            .bucket(&bucket)
            .key("k")
            .body(b"v".to_vec().into())
            .send()
            .await
            .unwrap();
        let object = s3.get_object().bucket(&bucket).key("k").send().await.unwrap();
        assert_eq!(object.body.collect().await.unwrap().to_vec(), b"v");

        let dead = aws.queue(&QueueSpec::default()).await;
        let dead_letters = Some(DeadLetters {
            queue: dead.clone(),
            max_receives: 1,
        });
        let queue = aws
            .queue(&QueueSpec {
                visibility: None,
                dead_letters,
            })
            .await;
        let sqs = aws_sdk_sqs::Client::new(&aws.sdk_config());
        sqs.send_message()
            .queue_url(&queue)
            .message_body("m")
            .send()
            .await
            .unwrap();
        let receive = |url: &str| {
            sqs.receive_message()
                .queue_url(url)
                .visibility_timeout(0)
                .wait_time_seconds(0)
                .send()
        };
        assert_eq!(receive(&queue).await.unwrap().messages().len(), 1);
        assert_eq!(
            receive(&queue).await.unwrap().messages().len(),
            0,
            "it was received often enough"
        );
        assert_eq!(receive(&dead).await.unwrap().messages()[0].body(), Some("m"));
    }

    #[tokio::test]
    async fn a_server_of_ones_own_ends_and_leaves_nothing() {
        let aws = Aws::start().await;
        let address = aws.server.address();
        drop(aws);
        assert!(std::net::TcpStream::connect(address).is_err());
    }
}
