//! What answers of S3 mean.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId as _;
use object_store::Error;

/// The store's name in errors.
const STORE: &str = "S3";
/// Codes that say that the credentials are wrong or over, whatever the status is.
const UNAUTHENTICATED: [&str; 8] = [
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "NotSignedUp",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
];

/// A call, for messages.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) operation: &'static str,
    pub(super) bucket: &'a str,
    pub(super) path: &'a str,
}

/// What S3 said, or why it said nothing.
#[derive(Debug, thiserror::Error)]
#[error("S3 {operation} in bucket `{bucket}`: {reason}")]
struct RequestError {
    operation: &'static str,
    bucket: String,
    reason: String,
}

type Source = Box<dyn std::error::Error + Send + Sync>;

impl Call<'_> {
    fn source(&self, reason: String) -> Source {
        Box::new(RequestError {
            operation: self.operation,
            bucket: self.bucket.to_owned(),
            reason,
        })
    }

    /// An error that may pass.
    pub(super) fn failed(&self, reason: impl Into<String>) -> Error {
        Error::Generic {
            store: STORE,
            source: self.source(reason.into()),
        }
    }

    /// An error that stays.
    pub(super) fn refused(&self, reason: impl Into<String>) -> Error {
        Error::NotSupported {
            source: self.source(reason.into()),
        }
    }

    /// The answer to a call that failed.
    pub(super) fn error<E>(&self, error: SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match &error {
            SdkError::ServiceError(service) => {
                let (code, message) = (service.err().code(), service.err().message());
                self.answer(service.raw().status().as_u16(), code, message, error.request_id())
            }
            SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) => self.unsent(&error),
            _ => self.failed(DisplayErrorContext(&error).to_string()),
        }
    }

    fn unsent(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        let reason = DisplayErrorContext(error).to_string();
        match chain(error).find_map(|cause| cause.downcast_ref::<CredentialsError>()) {
            Some(CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)) => {
                let advice = format!("there are no credentials; set AWS_ACCESS_KEY_ID, a profile or a role: {reason}");
                Error::Unauthenticated {
                    path: self.path.to_owned(),
                    source: self.source(advice),
                }
            }
            _ => self.failed(reason),
        }
    }

    fn answer(&self, status: u16, code: Option<&str>, message: Option<&str>, request: Option<&str>) -> Error {
        let mut reason = status.to_string();
        for (separator, part) in [(" ", code), (": ", message), (", request ", request)] {
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                reason.push_str(separator);
                reason.push_str(part);
            }
        }
        let (path, code) = (self.path.to_owned(), code.unwrap_or_default());
        let source = self.source(reason);
        match status {
            _ if UNAUTHENTICATED.contains(&code) => Error::Unauthenticated { path, source },
            // Not the object is missing, but everything: nobody may take that for a lost object.
            _ if code == "NoSuchBucket" => Error::NotSupported { source },
            304 => Error::NotModified { path, source },
            401 => Error::Unauthenticated { path, source },
            403 => Error::PermissionDenied { path, source },
            404 => Error::NotFound { path, source },
            // A range that lies outside of the object is a condition on its size.
            412 | 416 => Error::Precondition { path, source },
            408 | 409 | 425 | 429 | 500.. => Error::Generic { store: STORE, source },
            // S3's way to say that the body did not arrive in time.
            _ if code == "RequestTimeout" => Error::Generic { store: STORE, source },
            _ => Error::NotSupported { source },
        }
    }
}

/// Whether a write was surely not done, so that a second try cannot meet the first one's work.
pub(super) fn was_not_applied<E>(error: &SdkError<E>) -> bool
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let conflict = ["ConditionalRequestConflict", "OperationAborted"];
            match service.raw().status().as_u16() {
                409 => service.err().code().is_some_and(|code| conflict.contains(&code)),
                429 | 503 => true,
                _ => false,
            }
        }
        // There was no connection over which it could have gone.
        SdkError::DispatchFailure(_) => chain(error)
            .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
            .any(|cause| cause.kind() == std::io::ErrorKind::ConnectionRefused),
        _ => false,
    }
}

fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> Error {
        let call = Call {
            operation: "GetObject",
            bucket: "b",
            path: "a/b",
        };
        call.answer(status, Some(code), Some("no"), Some("R1"))
    }

    #[test]
    fn answers_keep_their_meaning() {
        assert!(matches!(answer(404, "NoSuchKey"), Error::NotFound { path, .. } if path == "a/b"));
        assert!(matches!(answer(404, ""), Error::NotFound { .. }));
        assert!(matches!(answer(404, "NoSuchBucket"), Error::NotSupported { .. }));
        assert!(matches!(answer(412, "PreconditionFailed"), Error::Precondition { .. }));
        assert!(matches!(answer(416, "InvalidRange"), Error::Precondition { .. }));
        assert!(matches!(answer(304, ""), Error::NotModified { .. }));
        assert!(matches!(answer(403, "AccessDenied"), Error::PermissionDenied { .. }));
        assert!(matches!(
            answer(403, "SignatureDoesNotMatch"),
            Error::Unauthenticated { .. }
        ));
        assert!(matches!(answer(400, "ExpiredToken"), Error::Unauthenticated { .. }));
        assert!(matches!(answer(400, "EntityTooSmall"), Error::NotSupported { .. }));
        for (status, code) in [
            (400, "RequestTimeout"),
            (409, "OperationAborted"),
            (429, "TooManyRequests"),
            (500, "InternalError"),
            (503, "SlowDown"),
        ] {
            assert!(matches!(answer(status, code), Error::Generic { .. }), "{status} {code}");
        }
    }

    #[test]
    fn messages_say_what_s3_said() {
        let text = answer(403, "AccessDenied").to_string();
        assert!(
            text.ends_with("S3 GetObject in bucket `b`: 403 AccessDenied: no, request R1"),
            "{text}"
        );
    }
}
