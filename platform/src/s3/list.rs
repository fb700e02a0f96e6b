//! Listing objects.

use async_trait::async_trait;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::Object;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::path::{DELIMITER, Path};
use object_store::{Error, ListResult, ObjectMeta, Result};

use super::S3Store;
use super::get::{date, unsigned};

/// Where a listing goes on.
enum Next {
    Start,
    Page(String),
}

/// The keys below a path: what they begin with.
fn below(path: Option<&Path>) -> Option<String> {
    path.filter(|path| !path.as_ref().is_empty())
        .map(|path| format!("{path}{DELIMITER}"))
}

/// The object of a listing; `None` for the markers that some tools put where a folder would be.
fn object(object: &Object) -> Result<Option<ObjectMeta>> {
    let key = object.key().unwrap_or_default();
    if key.is_empty() || key.ends_with(DELIMITER) {
        return Ok(None);
    }
    Ok(Some(ObjectMeta {
        location: Path::parse(key)?,
        last_modified: date(object.last_modified()),
        size: unsigned(object.size()).unwrap_or_default(),
        e_tag: object.e_tag().map(str::to_owned),
        version: None,
    }))
}

impl S3Store {
    pub(super) fn list_from(
        &self,
        prefix: Option<&Path>,
        offset: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), below(prefix));
        let offset = offset.map(ToString::to_string).filter(|offset| !offset.is_empty());
        stream::try_unfold(Some(Next::Start), move |next| {
            let (store, prefix, offset) = (store.clone(), prefix.clone(), offset.clone());
            async move {
                let options = PaginatedListOptions {
                    offset,
                    page_token: match next {
                        None => return Ok::<_, Error>(None),
                        Some(Next::Start) => None,
                        Some(Next::Page(token)) => Some(token),
                    },
                    ..PaginatedListOptions::default()
                };
                let page = store.list_paginated(prefix.as_deref(), options).await?;
                let objects = stream::iter(page.result.objects.into_iter().map(Ok));
                Ok(Some((objects, page.page_token.map(Next::Page))))
            }
        })
        .try_flatten()
        .boxed()
    }

    pub(super) async fn list_folder(&self, path: Option<&Path>) -> Result<ListResult> {
        let prefix = below(path);
        let mut result = ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
        };
        let mut options = PaginatedListOptions {
            delimiter: Some(DELIMITER.into()),
            ..PaginatedListOptions::default()
        };
        loop {
            let page = self.list_paginated(prefix.as_deref(), options.clone()).await?;
            result.common_prefixes.extend(page.result.common_prefixes);
            result.objects.extend(page.result.objects);
            options.page_token = page.page_token;
            if options.page_token.is_none() {
                return Ok(result);
            }
        }
    }

    async fn page(&self, prefix: Option<&str>, options: PaginatedListOptions) -> Result<ListObjectsV2Output> {
        let path = Path::from(prefix.unwrap_or_default());
        self.check(&path)?;
        let keys = options.max_keys.map(|keys| i32::try_from(keys).unwrap_or(i32::MAX));
        let request = self.client().await.list_objects_v2().bucket(self.bucket());
        let answer = request
            .set_prefix(prefix.map(str::to_owned))
            .set_start_after(options.offset)
            .set_delimiter(options.delimiter.map(|delimiter| delimiter.into_owned()))
            .set_max_keys(keys)
            .set_continuation_token(options.page_token)
            .send()
            .await;
        answer.map_err(|error| self.call("ListObjectsV2", &path).error(error))
    }
}

#[async_trait]
impl PaginatedListStore for S3Store {
    async fn list_paginated(&self, prefix: Option<&str>, options: PaginatedListOptions) -> Result<PaginatedListResult> {
        let page = self.page(prefix, options).await?;
        let mut objects = Vec::with_capacity(page.contents().len());
        for listed in page.contents() {
            objects.extend(object(listed)?);
        }
        let prefixes = page.common_prefixes().iter().filter_map(|prefix| prefix.prefix());
        let common_prefixes = prefixes.map(Path::parse).collect::<Result<_, _>>()?;
        let more = page.is_truncated().unwrap_or_default();
        Ok(PaginatedListResult {
            result: self.visible(ListResult {
                common_prefixes,
                objects,
            }),
            page_token: page.next_continuation_token.filter(|_| more),
        })
    }
}
