//! What the SDKs are answered. The web SDK reads a body only where the status is 200–299.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{super::switches::Switches, Endpoint, Judged, request::SdkRequest};

/// The answer to a request that was read and judged.
pub(super) fn answer(
    endpoint: Endpoint,
    request: &SdkRequest,
    judged: &Judged,
    switches: &Switches,
    config_time: i64,
) -> Response {
    let complaint = judged.code.map(|code| {
        let mut complaint = json!({ "error_code": code.number() });
        if switches.send_reason {
            complaint["reason"] = code.reason().into();
        }
        complaint
    });
    match complaint {
        Some(complaint) if !judged.is_accepted() => {
            let body = json!({ "error": "sdk_auth_error", "auth_error": complaint });
            let response = (status(switches.rejection_status), Json(body)).into_response();
            with_retry_after(response, switches)
        }
        complaint => {
            let mut body = accepted(endpoint, request, switches, config_time);
            if let Some(complaint) = complaint {
                body["optional_auth_error"] = complaint;
            }
            Json(body).into_response()
        }
    }
}

/// The endpoint is out of order.
pub(super) fn outage(switches: &Switches, status: u16) -> Response {
    with_retry_after(self::status(status).into_response(), switches)
}

/// No app has this SDK API key. The SDK drops what it sent.
pub(super) fn invalid_api_key() -> Response {
    Json(json!({ "error": "invalid_api_key" })).into_response()
}

/// What Braze answers to a body that is no JSON object is not documented.
pub(super) fn not_json() -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": "the body is not a JSON object" }))).into_response()
}

fn with_retry_after(mut response: Response, switches: &Switches) -> Response {
    if let Some(seconds) = switches.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Switches hold statuses of 200–599 only.
fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What an accepted request gets: nothing to show, and for `/data/` the configuration, where the SDK's is older.
fn accepted(endpoint: Endpoint, request: &SdkRequest, switches: &Switches, config_time: i64) -> Value {
    match endpoint {
        Endpoint::Data => {
            let mut body = json!({});
            if request.config_time() < config_time {
                body["config"] = config(switches, config_time);
            }
            if request.wants_triggers() {
                body["triggers"] = json!([]);
            }
            body
        }
        Endpoint::ContentCards => {
            json!({ "cards": [], "full_sync": true, "last_full_sync_at": 0, "last_card_updated_at": 0 })
        }
        Endpoint::FeatureFlags => json!({ "feature_flags": [] }),
        Endpoint::Banners => json!({ "banners": [] }),
        Endpoint::Other(_) => json!({}),
    }
}

fn config(switches: &Switches, time: i64) -> Value {
    let mut config = json!({
        "time": time,
        "events_blacklist": [],
        "attributes_blacklist": [],
        "purchases_blacklist": [],
        "content_cards": { "enabled": true },
        "feature_flags": { "enabled": true, "refresh_rate_limit": 0 },
        "banners": { "enabled": true, "max_placements": 10 },
    });
    if switches.fast_retries {
        config["global_request_rate_limit"] = json!({ "enabled": false });
        config["request_backoff"] =
            json!({ "min_sleep_duration_ms": 100, "scale_factor": 3, "max_sleep_duration_ms": 1000 });
    }
    config
}
