//! Routes of the local OpenID provider, below `/oidc`.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::error::Unspecified;
use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{ISSUER_PATH, Login, Logout};
use crate::sandbox::local_braze::LocalBraze;

/// Time that the receiver of a logout token has to answer.
const LOGOUT_DEADLINE: Duration = Duration::from_secs(5);

/// Returns the provider's routes.
pub(in crate::sandbox) fn routes() -> Router<Arc<LocalBraze>> {
    let routes = Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/jwks", get(key_set))
        .route("/id-token", get(id_token_of_query).post(id_token))
        .route("/logout", post(logout))
        .route("/rotate", post(rotate));
    Router::new().nest(ISSUER_PATH, routes)
}

/// Errors of the provider's own routes.
enum ProviderError {
    Malformed(String),
    /// The logout token was not delivered.
    Undelivered(String),
    Signing,
}

impl From<Unspecified> for ProviderError {
    fn from(_: Unspecified) -> Self {
        Self::Signing
    }
}

impl IntoResponse for ProviderError {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Self::Malformed(why) => (StatusCode::BAD_REQUEST, why),
            Self::Undelivered(why) => (StatusCode::BAD_GATEWAY, why),
            Self::Signing => (StatusCode::INTERNAL_SERVER_ERROR, "the provider's key cannot sign".to_owned()),
        };
        (status, Json(json!({ "error": why }))).into_response()
    }
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProviderError> {
    if body.is_empty() {
        let text = "the request has no body: send JSON, like {\"sub\": \"u-1\"}";
        return Err(ProviderError::Malformed(text.to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| ProviderError::Malformed(error.to_string()))
}

/// Returns the issuer, from the address that the client used: the sandbox may have any port.
fn issuer(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    format!("http://{host}{ISSUER_PATH}")
}

/// Discovery document (OpenID Connect Discovery 1.0 §3), with what a verifier of tokens reads.
async fn discovery(headers: HeaderMap) -> Json<Value> {
    let issuer = issuer(&headers);
    Json(json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/jwks"),
        "id_token_signing_alg_values_supported": ["RS256"],
        "subject_types_supported": ["public"],
        "response_types_supported": ["id_token"],
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
    }))
}

async fn key_set(State(braze): State<Arc<LocalBraze>>) -> Result<Json<Value>, ProviderError> {
    Ok(Json(braze.provider().key_set()?))
}

/// ID token as plain text, for the command line.
async fn id_token_of_query(
    State(braze): State<Arc<LocalBraze>>,
    headers: HeaderMap,
    Query(login): Query<Login>,
) -> Result<String, ProviderError> {
    Ok(braze.provider().id_token(&issuer(&headers), login, braze.now())?)
}

async fn id_token(
    State(braze): State<Arc<LocalBraze>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ProviderError> {
    let token = braze.provider().id_token(&issuer(&headers), parsed(&body)?, braze.now())?;
    Ok(Json(json!({ "id_token": token })))
}

/// Sends a logout token to the URL `to` or, where there is none, returns it.
async fn logout(
    State(braze): State<Arc<LocalBraze>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ProviderError> {
    let logout: Logout = parsed(&body)?;
    if logout.sub.is_none() && logout.sid.is_none() {
        let text = "whose logout? Give sub, the user, or sid, the session, or both";
        return Err(ProviderError::Malformed(text.to_owned()));
    }
    let token = braze.provider().logout_token(&issuer(&headers), &logout, braze.now())?;
    let Some(to) = logout.to else { return Ok(Json(json!({ "logout_token": token }))) };
    let undelivered = |why: reqwest::Error| ProviderError::Undelivered(why.to_string());
    let client = reqwest::Client::builder().no_proxy().timeout(LOGOUT_DEADLINE).build().map_err(undelivered)?;
    let form = format!("logout_token={token}");
    let request = client.post(to).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
    let answer = request.send().await.map_err(undelivered)?;
    Ok(Json(json!({ "status": answer.status().as_u16() })))
}

/// Change of the provider's key.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rotation {
    /// Keeps the older keys in the key set.
    keep: bool,
}

async fn rotate(State(braze): State<Arc<LocalBraze>>, body: Bytes) -> Result<Json<Value>, ProviderError> {
    let Rotation { keep } = if body.is_empty() { Rotation::default() } else { parsed(&body)? };
    braze.provider().rotate(keep)?;
    Ok(Json(braze.provider().key_set()?))
}
