//! `POST /v1/token/generate`: an app's backend mints a token for a user who just logged in.

use std::{sync::Arc, time::Duration};

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    AppState,
    body::Strict,
    caller::{Admitted, Authenticated},
    openapi::Refusals,
    problem::Problem,
    response::TokenAnswer,
};
use crate::{
    domain::ids::{AppName, UserId},
    identity::NotScoped,
    issue::Issued,
    telemetry::record_app,
};

/// Body of a mint.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GenerateRequest {
    /// The app, by its name in the configuration.
    #[schema(value_type = String, example = "web", pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    app: AppName,
    /// The user id, exactly as the app gives it to `changeUser`.
    #[schema(example = "u-1", min_length = 1, max_length = 997)]
    user_id: String,
    /// A lifetime shorter than the app's, in seconds.
    #[schema(minimum = 60, maximum = 86_400)]
    ttl: Option<u64>,
}

/// Mints the first token for a user who just logged in.
#[utoipa::path(
    post, path = "/v1/token/generate", tag = "tokens", request_body = GenerateRequest,
    security(("api_key" = [])),
    responses((status = 200, description = "A token and a refresh token", body = TokenAnswer), Refusals),
)]
pub(super) async fn generate(
    State(state): State<Arc<AppState>>,
    _: Admitted,
    Authenticated(caller): Authenticated,
    Strict(body): Strict<GenerateRequest>,
) -> Result<Issued, Problem> {
    record_app(&body.app);
    caller.may_use(&body.app)?;
    let policy = state.issuer.policy(&body.app).ok_or(NotScoped)?;
    let user =
        UserId::parse(&body.user_id, policy.user_ids()).map_err(|bad| Problem::field("user_id", bad.to_string()))?;
    let app_user = caller.vouches_for(&body.app, user)?;
    Ok(state.issuer.mint(&app_user, body.ttl.map(Duration::from_secs)).await?)
}
