//! What every answer tells browsers to allow nobody.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Whoever shows an answer of the API as a page shows nothing else with it.
const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// What pages of this server have no use for.
const PERMISSIONS: &str = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()";
/// A year.
const STRICT_TRANSPORT: &str = "max-age=31536000";

/// Completes the headers of an answer; what its handler has set stays.
pub(super) fn complete(headers: &mut HeaderMap, secure: bool) {
    let policies = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, API_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let transport = secure.then_some((header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT));
    for (name, value) in policies.into_iter().chain(transport) {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
