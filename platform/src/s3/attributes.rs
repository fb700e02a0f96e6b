//! Attributes of objects, such as their content type.

use std::collections::HashMap;

use object_store::{Attribute, Attributes};

/// The headers that S3 keeps with an object.
#[derive(Clone, Default)]
pub(super) struct Headers {
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) storage_class: Option<String>,
    pub(super) metadata: HashMap<String, String>,
}

impl Headers {
    /// The headers of attributes; `Err` is an attribute that S3 does not have.
    pub(super) fn of(attributes: &Attributes) -> Result<Self, String> {
        let mut headers = Self::default();
        for (attribute, value) in attributes {
            let header = match attribute {
                Attribute::CacheControl => &mut headers.cache_control,
                Attribute::ContentDisposition => &mut headers.content_disposition,
                Attribute::ContentEncoding => &mut headers.content_encoding,
                Attribute::ContentLanguage => &mut headers.content_language,
                Attribute::ContentType => &mut headers.content_type,
                Attribute::StorageClass => &mut headers.storage_class,
                Attribute::Metadata(name) => {
                    headers.metadata.insert(name.to_string(), value.to_string());
                    continue;
                }
                other => return Err(format!("{other:?}")),
            };
            *header = Some(value.to_string());
        }
        Ok(headers)
    }

    pub(super) fn into_attributes(self) -> Attributes {
        let named = [
            (Attribute::CacheControl, self.cache_control),
            (Attribute::ContentDisposition, self.content_disposition),
            (Attribute::ContentEncoding, self.content_encoding),
            (Attribute::ContentLanguage, self.content_language),
            (Attribute::ContentType, self.content_type),
            (Attribute::StorageClass, self.storage_class),
        ];
        let named = named
            .into_iter()
            .filter_map(|(attribute, value)| Some((attribute, value?)));
        let metadata = self.metadata.into_iter();
        let metadata = metadata.map(|(name, value)| (Attribute::Metadata(name.into()), value));
        named.chain(metadata).collect()
    }
}

/// Sets the headers on a request; requests are different types with the same methods.
macro_rules! with_headers {
    ($request:expr, $headers:expr) => {{
        let headers = $headers;
        $request
            .set_cache_control(headers.cache_control)
            .set_content_disposition(headers.content_disposition)
            .set_content_encoding(headers.content_encoding)
            .set_content_language(headers.content_language)
            .set_content_type(headers.content_type)
            .set_storage_class(headers.storage_class.map(|class| class.as_str().into()))
            .set_metadata(Some(headers.metadata).filter(|metadata| !metadata.is_empty()))
    }};
}

/// Takes the headers from an answer.
macro_rules! headers_of {
    ($answer:expr) => {
        $crate::s3::attributes::Headers {
            cache_control: $answer.cache_control.take(),
            content_disposition: $answer.content_disposition.take(),
            content_encoding: $answer.content_encoding.take(),
            content_language: $answer.content_language.take(),
            content_type: $answer.content_type.take(),
            storage_class: $answer.storage_class.take().map(|class| class.as_str().to_owned()),
            metadata: $answer.metadata.take().unwrap_or_default(),
        }
    };
}

pub(super) use {headers_of, with_headers};
