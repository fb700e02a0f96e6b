//! Counting requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use weir_model::StorageRequests;

/// Requests that were sent, each try of a call for itself: that is what is billed.
#[derive(Debug, Default)]
pub struct RequestCounts {
    put: AtomicU64,
    get: AtomicU64,
    head: AtomicU64,
    list: AtomicU64,
    delete: AtomicU64,
}

impl RequestCounts {
    /// The requests so far.
    pub fn totals(&self) -> StorageRequests {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        StorageRequests {
            put: of(&self.put),
            get: of(&self.get),
            head: of(&self.head),
            list: of(&self.list),
            delete: of(&self.delete),
        }
    }

    /// Counts requests that another process sent for this one.
    pub(super) fn add(&self, requests: StorageRequests) {
        for (count, sent) in [
            (&self.put, requests.put),
            (&self.get, requests.get),
            (&self.head, requests.head),
            (&self.list, requests.list),
            (&self.delete, requests.delete),
        ] {
            count.fetch_add(sent, Ordering::Relaxed);
        }
    }

    fn count(&self, method: &str, uri: &str) {
        let query = uri.split_once('?').map_or("", |(_, query)| query);
        let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        let count = match method {
            "HEAD" => &self.head,
            "DELETE" => &self.delete,
            // Of many objects.
            "POST" if has("delete") => &self.delete,
            // Of objects, or of open uploads and their parts.
            "GET" if has("list-type") || has("uploads") || has("uploadId") => &self.list,
            "GET" => &self.get,
            _ => &self.put,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts what a client sends.
#[derive(Debug)]
pub(super) struct CountRequests(pub(super) Arc<RequestCounts>);

#[dyn_dispatch_hint]
impl Intercept for CountRequests {
    fn name(&self) -> &'static str {
        "CountRequests"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        self.0.count(request.method(), request.uri());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_as_they_are_billed() {
        let counts = RequestCounts::default();
        for (method, uri) in [
            ("PUT", "https://host/bucket/a?x-id=PutObject"),
            ("PUT", "https://host/bucket/a?partNumber=1&uploadId=u"),
            ("POST", "https://host/bucket/a?uploads"),
            ("POST", "https://host/bucket/?delete"),
            ("GET", "https://host/bucket/delete?x-id=GetObject"),
            ("GET", "https://host/bucket/?list-type=2&prefix=a"),
            ("GET", "https://host/bucket/?uploads"),
            ("HEAD", "https://host/bucket/a"),
            ("DELETE", "https://host/bucket/a"),
        ] {
            counts.count(method, uri);
        }
        let expected = StorageRequests {
            put: 3,
            get: 1,
            head: 1,
            list: 2,
            delete: 2,
        };
        assert_eq!(counts.totals(), expected);
    }
}
