//! Responses to the SDKs. The Web SDK reads a body only if the status is 200–299.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{super::switches::Switches, endpoint::Endpoint, judgement::Judgement, request::SdkRequest};

/// Returns the response to a request that was read and judged.
pub(super) fn response(
    endpoint: Endpoint,
    request: &SdkRequest,
    judgement: &Judgement,
    switches: &Switches,
    config_time: i64,
) -> Response {
    let error = judgement.code.map(|code| {
        let mut error = json!({ "error_code": code.number() });
        if switches.send_reason {
            error["reason"] = code.reason().into();
        }
        error
    });
    match error {
        Some(error) if !judgement.is_accepted() => {
            let body = json!({ "error": "sdk_auth_error", "auth_error": error });
            let response = (status(switches.rejection_status), Json(body)).into_response();
            with_retry_after(response, switches)
        }
        error => {
            let mut body = accepted(endpoint, request, switches, config_time);
            if let Some(error) = error {
                body["optional_auth_error"] = error;
            }
            Json(body).into_response()
        }
    }
}

/// Returns the response of an endpoint during an outage.
pub(super) fn outage(switches: &Switches, status: u16) -> Response {
    with_retry_after(self::status(status).into_response(), switches)
}

/// Returns the response to an unknown SDK API key. The SDK drops the rejected data.
pub(super) fn invalid_api_key() -> Response {
    Json(json!({ "error": "invalid_api_key" })).into_response()
}

/// Returns the response to a body that is no JSON object. Braze's own response is not documented.
pub(super) fn not_json() -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": "the body is not a JSON object" }))).into_response()
}

fn with_retry_after(mut response: Response, switches: &Switches) -> Response {
    if let Some(seconds) = switches.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Converts a status of the switches; those are 200–599 only.
fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Returns the body for an accepted request: no content to show, and for `/data/` the configuration if the SDK's is
/// older.
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
        Endpoint::PushUnregister | Endpoint::Other(_) => json!({}),
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
