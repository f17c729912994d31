//! `POST /v1/token/exchange`: an app's client mints a token with the credential of the session that it already has.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::HeaderMap};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    AppState,
    body::Strict,
    body_faults::{RequestBody, fault_of_app},
    caller::{Address, Admitted},
    openapi_refusals::Refusals,
    problem::Problem,
    request_id::RequestId,
    response::TokenAnswer,
    sign_in::{ACCEPTED, refused, sign_in},
};
use crate::{
    domain::ids::AppName,
    identity::RefusedCredential,
    issue::{Issued, Refusal},
};

/// Body of an exchange.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "app": "web" }))]
#[serde(deny_unknown_fields)]
pub(super) struct ExchangeRequest {
    /// The app, by its name in the configuration.
    #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    app: AppName,
    /// A lifetime shorter than the app's, in seconds.
    #[schema(minimum = 60, maximum = 86_400, example = 3600)]
    ttl: Option<u64>,
}

impl RequestBody for ExchangeRequest {
    fn fault_of_text(member: &str, text: &str) -> Option<String> {
        if member == "app" { fault_of_app(text) } else { None }
    }
}

/// Mints the first token for the user of a session that the app already has: an OpenID Connect ID token, an access token or
/// an opaque session. The user id is the credential's; no member of the body names a user.
///
/// An app that has a `session_endpoint` with `cookies` may send its cookie in place of the header `Authorization`, from
/// the origins that it lists. Where the header is there, cookies are not looked at.
#[utoipa::path(
    post, path = "/v1/token/exchange", tag = "tokens", request_body = ExchangeRequest,
    security(("credential" = [])),
    responses((status = 200, description = "A token and a refresh token", body = TokenAnswer), Refusals),
)]
pub(super) async fn exchange(
    State(state): State<Arc<AppState>>,
    _: Admitted,
    Address(address): Address,
    headers: HeaderMap,
    id: RequestId,
    Strict(body): Strict<ExchangeRequest>,
) -> Result<Issued, Problem> {
    let signed_in = sign_in(&state, &headers, address, &body.app).await;
    let signed_in = signed_in.inspect_err(|_| state.issuer.count_refused(&body.app))?;
    match state.issuer.mint(&signed_in, body.ttl.map(Duration::from_secs), id.requester()).await {
        // The store knows which logins have ended; to the client this is a refused credential like any other.
        Err(Refusal::SignedOut) => Err(refused(&state, Some(&body.app), &RefusedCredential::SignedOut.into(), address)),
        minted => {
            state.metrics.signed_in(body.app.as_str(), ACCEPTED);
            Ok(minted?)
        }
    }
}
