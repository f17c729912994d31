//! Style sheet, script and icon, built into the program. Each has an `ETag`.

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

/// File that pages load.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

/// Style sheet, with the palette that all pages share.
const STYLE: &str = concat!(include_str!("assets/palette.css"), include_str!("assets/console.css"));

const ASSETS: &[Asset] = &[
    Asset { name: "console.css", media_type: "text/css; charset=utf-8", bytes: STYLE.as_bytes() },
    Asset {
        name: "console.js",
        media_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("assets/console.js"),
    },
    Asset { name: "icon.svg", media_type: "image/svg+xml", bytes: include_bytes!("assets/icon.svg") },
];

/// Routes of the assets. They tell nothing about the installation, and need no session.
pub(super) fn routes() -> Router {
    Router::new().route("/console/assets/{name}", get(asset))
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = format!("\"{}\"", hex::encode(&digest(&SHA256, asset.bytes).as_ref()[..16]));
    let same = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let own = [
        (header::CONTENT_TYPE, asset.media_type.to_owned()),
        (header::ETAG, tag),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    if same { (StatusCode::NOT_MODIFIED, own).into_response() } else { (own, asset.bytes).into_response() }
}
