//! `POST /v1/token/revoke`: the app ends its session at logout (RFC 7009).

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    AppState,
    body_faults::RequestBody,
    openapi_refusals::Refusals,
    presented_token::{PresentedToken, RefreshTokenBody},
    problem::Problem,
    problem_code::ProblemCode,
    request_id::RequestId,
    revocation::RevokeAnswer,
};
use crate::issue::Revocation;

/// Body of a revocation.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "refresh_token": "csr1_…" }))]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeRequest {
    /// Any refresh token of the session.
    refresh_token: String,
}

impl RequestBody for RevokeRequest {}

impl RefreshTokenBody for RevokeRequest {
    fn refresh_token(&self) -> &str {
        &self.refresh_token
    }
}

/// Ends the session of a refresh token. 200 whether or not it was known (RFC 7009 §2.2).
#[utoipa::path(
    post, path = "/v1/token/revoke", tag = "tokens", request_body = RevokeRequest,
    responses((status = 200, description = "The session is over, or never was; or its end is on record, and some nodes do not know it yet", body = RevokeAnswer), Refusals),
)]
pub(super) async fn revoke(
    State(state): State<Arc<AppState>>,
    id: RequestId,
    token: Result<PresentedToken<RevokeRequest>, Problem>,
) -> Result<Json<RevokeAnswer>, Problem> {
    let revocation = match token {
        Ok(PresentedToken { presented, .. }) => state.issuer.revoke(&presented, id.requester()).await?,
        Err(problem) if problem.is(ProblemCode::InvalidToken) => Revocation::Done,
        Err(problem) => return Err(problem),
    };
    Ok(Json(revocation.into()))
}
