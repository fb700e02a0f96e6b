//! The single-page dashboard, which is part of the binary.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use rust_embed::{EmbeddedFile, RustEmbed};

/// The built dashboard. A debug build reads the folder at each request; a build without the folder has no files.
#[derive(RustEmbed)]
#[folder = "../dashboard/dist"]
#[allow_missing = true]
struct Files;

/// Everything comes from this server; nobody may put the pages into frames of theirs.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'";
/// For files whose names change with their contents.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// For those whose names do not: they are asked for again, and mostly not sent again.
const ASK_AGAIN: &str = "no-cache";

/// What is shown by a binary that was built without the dashboard.
const ABSENT: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Weir</title>\
    <h1>This build of Weir has no dashboard</h1>\
    <p>The API is at <a href=\"/api/v1/openapi.json\">/api/v1</a>, and <code>weir runs list</code> shows what ran. \
    To have the dashboard, build it and then Weir again:\
    <pre>cd dashboard\nnpm ci\nnpm run build\ncargo build --release</pre></html>\n";

/// The file or page at a path: a file of the dashboard, or its only page, which knows what to show for the others.
/// `None` for what is no request of a browser for a page.
pub(super) fn respond(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Response<Body>> {
    if (method != Method::GET && method != Method::HEAD) || uri.path().starts_with("/api/") {
        return None;
    }
    let path = uri.path().trim_start_matches('/');
    if let Some(file) = Files::get(path).filter(|_| !path.is_empty()) {
        return Some(answer(path, &file, headers));
    }
    // A name with an extension is a file that is not there, such as a script of an older version.
    let is_page = !path.rsplit('/').next().is_some_and(|name| name.contains('.'));
    if !is_page {
        return None;
    }
    Some(match Files::get("index.html") {
        Some(page) => answer("index.html", &page, headers),
        None => {
            let mut response = Response::new(Body::from(ABSENT));
            *response.status_mut() = StatusCode::NOT_FOUND;
            secure(response.headers_mut(), "text/html; charset=utf-8");
            response
        }
    })
}

fn answer(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response<Body> {
    let hash = file.metadata.sha256_hash();
    let tag: String = hash[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{tag}\"");
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag));
    let mut response = match known {
        true => Response::new(Body::empty()),
        false => Response::new(Body::from(file.data.clone().into_owned())),
    };
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let out = response.headers_mut();
    secure(out, content_type(path));
    let caching = if path.starts_with("assets/") {
        FOR_EVER
    } else {
        ASK_AGAIN
    };
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        out.insert(header::ETAG, tag);
    }
    response
}

fn secure(headers: &mut HeaderMap, content_type: &'static str) {
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The types of the files that the build makes.
fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json" | "map") => "application/json",
        Some("woff2") => "font/woff2",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &'static str) -> Option<Response<Body>> {
        respond(&Method::GET, &Uri::from_static(path), &HeaderMap::new())
    }

    #[test]
    fn every_page_is_the_page_and_no_api_path_is() {
        for path in ["/", "/runs/01jz0000000000000000000000/logs"] {
            let response = get(path).unwrap();
            assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
            assert!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY));
        }
        for path in ["/api/v1/nothing", "/assets/index-of-yesterday.js"] {
            assert!(get(path).is_none(), "{path}");
        }
        assert!(respond(&Method::POST, &Uri::from_static("/"), &HeaderMap::new()).is_none());
    }

    #[test]
    fn files_are_sent_once() {
        let file = EmbeddedFile {
            data: b"body"[..].into(),
            metadata: rust_embed::Metadata::__rust_embed_new([7; 32], None, None),
        };
        let first = answer("assets/a.js", &file, &HeaderMap::new());
        assert_eq!(first.headers()[header::CACHE_CONTROL], FOR_EVER);
        let mut known = HeaderMap::new();
        known.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(answer("assets/a.js", &file, &known).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(
            answer("index.html", &file, &HeaderMap::new()).headers()[header::CACHE_CONTROL],
            ASK_AGAIN
        );
    }
}
