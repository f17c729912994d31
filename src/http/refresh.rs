//! `POST /v1/token/refresh`: the app gets its next token, from the SDK's auth-failure callback or after `refresh_from`.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    AppState,
    body_faults::RequestBody,
    caller::Admitted,
    openapi_refusals::Refusals,
    presented_token::{PresentedToken, RefreshTokenBody},
    problem::Problem,
    reported_failure::{ReportedFailure, failure_schema},
    response::TokenAnswer,
};
use crate::issue::Issued;

/// Body of a refresh.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "refresh_token": "csr1_…" }))]
#[serde(deny_unknown_fields)]
pub(super) struct RefreshRequest {
    /// The newest refresh token the app has.
    refresh_token: String,
    /// The user the app believes to be logged in. Where it is not the session's user, the refresh is refused.
    #[schema(example = "u-1")]
    user_id: Option<String>,
    /// The report of the SDK's callback, in the SDK's own form. It is counted, and never trusted.
    #[schema(schema_with = failure_schema, required = false)]
    failure: Option<ReportedFailure>,
}

impl RequestBody for RefreshRequest {}

impl RefreshTokenBody for RefreshRequest {
    const REFRESHES: bool = true;

    fn refresh_token(&self) -> &str {
        &self.refresh_token
    }

    fn failure(&self) -> Option<&ReportedFailure> {
        self.failure.as_ref()
    }
}

/// Trades a refresh token for the next token.
#[utoipa::path(
    post, path = "/v1/token/refresh", tag = "tokens", request_body = RefreshRequest,
    responses((status = 200, description = "A token and a refresh token", body = TokenAnswer), Refusals),
)]
pub(super) async fn refresh(
    State(state): State<Arc<AppState>>,
    _: Admitted,
    PresentedToken { presented, body }: PresentedToken<RefreshRequest>,
) -> Result<Issued, Problem> {
    Ok(state.issuer.refresh(presented, body.user_id.as_deref()).await?)
}
