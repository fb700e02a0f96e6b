//! What the OpenAPI document says of all routes alike.

use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, OpenApi, RefOr, Required, Response};

use super::session;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// Names of the ways to say who one is.
const BEARER: &str = "bearer";
const SESSION: &str = "session";
/// Where the routes begin that are about a namespace.
const API: &str = "/api/v1/";
/// The one that is about none: nobody is known yet.
const LOGIN: &str = "session_create";

/// Says who may ask, and about what; and that errors are problems of RFC 9457: the answers of all handlers that can fail
/// are made in one place.
pub(super) fn finish(document: &mut OpenApi) {
    identify(document);
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            if !path.starts_with(API) {
                operation.security = Some(Vec::new());
            } else if operation.operation_id.as_deref() != Some(LOGIN) {
                operation.parameters.get_or_insert_default().push(RefOr::T(namespace()));
            }
            for (status, response) in &mut operation.responses.responses {
                if let (true, RefOr::T(response)) = (status.starts_with(['4', '5']), response) {
                    as_problem(response);
                }
            }
        }
    }
}

/// The ways to say who one is. A server on loopback without keys asks nobody.
fn identify(document: &mut OpenApi) {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "An API key, or a token of the identity provider that the server trusts",
    ));
    let session = ApiKeyValue::with_description(
        session::STRICT_COOKIE,
        "The dashboard's session, with `X-CSRF-Token` where something is changed",
    );
    let schemes = [
        (BEARER, SecurityScheme::Http(bearer.build())),
        (SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(session))),
    ];
    let components = document.components.get_or_insert_with(Components::new);
    for (name, scheme) in schemes {
        components.add_security_scheme(name, scheme);
    }
    let with = |name| SecurityRequirement::new::<_, [&str; 0], &str>(name, []);
    document.security = Some(vec![with(BEARER), with(SESSION), SecurityRequirement::default()]);
}

/// The header by which a request is about another namespace than the key's own.
fn namespace() -> Parameter {
    let name = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(63))
        .pattern(Some("^[a-z0-9-]+$"));
    let mut parameter = Parameter::new("Weir-Namespace");
    parameter.parameter_in = ParameterIn::Header;
    parameter.required = Required::False;
    parameter.description = Some("The namespace that the request is about, if that is not the key's own".to_owned());
    parameter.schema = Some(name.build().into());
    parameter
}

fn as_problem(response: &mut Response) {
    if let Some(content) = response.content.shift_remove(JSON) {
        response.content.insert(PROBLEM.to_owned(), content);
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.options,
        &mut item.head,
        &mut item.patch,
        &mut item.trace,
    ]
    .into_iter()
    .filter_map(Option::as_mut)
}
