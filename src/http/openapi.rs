//! `/openapi.json`, generated from the handlers, and `/docs`, a page to read and try it. Its assets are compiled in.

use axum::{
    Router,
    http::{HeaderValue, header},
};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::{
    IntoResponses, Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_swagger_ui::SwaggerUi;

use super::problem::{FieldError, ProblemDocument, RetrySchema};

/// OpenAPI document without paths; the handlers add them.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Countersign",
        description = "Mints JWTs for Braze SDK authentication, and refreshes them from the SDK's auth-failure callback. \
            Errors are RFC 9457 problem documents with a stable `code` and a `retry` hint.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ProblemDocument<'static>, FieldError, RetrySchema)),
    modifiers(&ApiKeyScheme),
    tags(
        (name = "tokens", description = "Mint, refresh and revoke"),
        (name = "failures", description = "Reports from the SDKs"),
        (name = "keys", description = "Public keys"),
        (name = "health", description = "For load balancers"),
    ),
)]
struct Frame;

struct ApiKeyScheme;

impl Modify for ApiKeyScheme {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API key of this service")).build();
        openapi.components.get_or_insert_default().add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

/// Refusals that any of the token routes may give.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only describes")]
pub(super) enum Refusals {
    /// Malformed request
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(#[to_schema] ProblemDocument<'static>),
    /// Credential or refresh token refused
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(#[to_schema] ProblemDocument<'static>),
    /// Not allowed for this app, or the user is opted out
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(#[to_schema] ProblemDocument<'static>),
    /// The body took too long to arrive
    #[response(status = 408, content_type = "application/problem+json")]
    Timeout(#[to_schema] ProblemDocument<'static>),
    /// The session belongs to another user
    #[response(status = 409, content_type = "application/problem+json")]
    Mismatch(#[to_schema] ProblemDocument<'static>),
    /// Body too large
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(#[to_schema] ProblemDocument<'static>),
    /// Not `application/json`
    #[response(status = 415, content_type = "application/problem+json")]
    MediaType(#[to_schema] ProblemDocument<'static>),
    /// Too many requests
    #[response(status = 429, content_type = "application/problem+json")]
    RateLimited(#[to_schema] ProblemDocument<'static>),
    /// Overloaded, or the signer or the store is unavailable; `Retry-After` says when to try again
    #[response(status = 503, content_type = "application/problem+json")]
    Later(#[to_schema] ProblemDocument<'static>),
}

/// Refusals of a route that answers the same whatever the credential is worth.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only describes")]
pub(super) enum BodyRefusals {
    /// Malformed request
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(#[to_schema] ProblemDocument<'static>),
    /// The body took too long to arrive
    #[response(status = 408, content_type = "application/problem+json")]
    Timeout(#[to_schema] ProblemDocument<'static>),
    /// Body too large
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(#[to_schema] ProblemDocument<'static>),
    /// Not `application/json`
    #[response(status = 415, content_type = "application/problem+json")]
    MediaType(#[to_schema] ProblemDocument<'static>),
    /// Too many requests
    #[response(status = 429, content_type = "application/problem+json")]
    RateLimited(#[to_schema] ProblemDocument<'static>),
    /// The service cannot answer now; `Retry-After` says when to try again
    #[response(status = 503, content_type = "application/problem+json")]
    Later(#[to_schema] ProblemDocument<'static>),
}

/// Returns the OpenAPI document without paths.
pub(super) fn frame() -> utoipa::openapi::OpenApi {
    Frame::openapi()
}

/// Scripts and styles come from this server only; the page's own styles are inline.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
);

/// Returns the routes of the document and the page.
pub(super) fn pages(document: utoipa::openapi::OpenApi) -> Router {
    Router::from(SwaggerUi::new("/docs").url("/openapi.json", document))
        .route_layer(SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .route_layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("max-age=300"),
        ))
}
