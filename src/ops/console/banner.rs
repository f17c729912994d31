//! Banner above every page, where the data are not those of a service in use.

use axum::{
    body::{Body, to_bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::html::Escaped;

/// Place of the banner in the frame of a page.
const PLACE: &str = "<!--banner-->";

/// Puts the banner into a finished page, so that no page can leave it out.
pub(super) async fn put(banner: &'static str, response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let shown = format!("<p class=\"banner\" role=\"note\">{}</p>", Escaped(banner));
    let html = String::from_utf8_lossy(&bytes).replacen(PLACE, &shown, 1);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(html))
}
