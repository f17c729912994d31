//! `/openapi.json`, generated from the handlers, and `/docs`, a page to read and try it. Its assets are compiled in.

use axum::{
    Router,
    http::{HeaderValue, header},
};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_swagger_ui::SwaggerUi;

use super::{
    openapi_refusals::RefusalComponents,
    problem::{FieldError, ProblemDocument, RetrySchema},
};

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
    modifiers(&BearerSchemes, &RefusalComponents),
    servers((url = "/", description = "The server that this document came from")),
    tags(
        (name = "tokens", description = "Mint, refresh and revoke"),
        (name = "sign-out", description = "Logouts at identity providers"),
        (name = "failures", description = "Reports from the SDKs"),
        (name = "keys", description = "Public keys"),
        (name = "health", description = "For load balancers"),
    ),
)]
struct Frame;

struct BearerSchemes;

impl Modify for BearerSchemes {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        for (name, description) in [
            ("api_key", "An API key of this service"),
            ("credential", "The credential of the app's own session, such as an OpenID Connect ID token"),
        ] {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
    }
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
