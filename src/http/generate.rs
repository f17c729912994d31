//! `POST /v1/token/generate`: an app's backend mints a token for a user who just logged in.

use std::{sync::Arc, time::Duration};

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    AppState,
    body::Strict,
    body_faults::{RequestBody, fault_of_app},
    caller::{Admitted, Authenticated},
    openapi_refusals::Refusals,
    problem::{FieldError, Problem},
    request_id::RequestId,
    response::TokenAnswer,
};
use crate::{
    domain::{
        ids::{AppName, UserId, UserIdRules},
        policy::AppPolicy,
    },
    identity::NotScoped,
    issue::Issued,
    telemetry::record_app,
};

/// Body of a mint.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "app": "web", "user_id": "u-1" }))]
#[serde(deny_unknown_fields)]
pub(super) struct GenerateRequest {
    /// The app, by its name in the configuration.
    #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    app: AppName,
    /// The user id, exactly as the app gives it to `changeUser`.
    #[schema(min_length = 1, max_length = 997)]
    user_id: String,
    /// A lifetime shorter than the app's, in seconds.
    #[schema(minimum = 60, maximum = 86_400, example = 3600)]
    ttl: Option<u64>,
}

impl RequestBody for GenerateRequest {
    fn fault_of_text(member: &str, text: &str) -> Option<String> {
        match member {
            "app" => fault_of_app(text),
            "user_id" => UserId::parse(text, UserIdRules::WIDEST).err().map(|bad| bad.to_string()),
            _ => None,
        }
    }
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
    id: RequestId,
    Strict(body): Strict<GenerateRequest>,
) -> Result<Issued, Problem> {
    record_app(&body.app);
    caller.may_use(&body.app)?;
    let policy = state.issuer.policy(&body.app).ok_or(NotScoped)?;
    let asked = by_policy(&policy, &body);
    let asked = asked.and_then(|(user, ttl)| Ok((caller.vouches_for(&body.app, user)?, ttl)));
    let (app_user, ttl) = asked.inspect_err(|_| state.issuer.count_refused(&body.app))?;
    Ok(state.issuer.mint(&app_user, ttl, id.of_client(&caller.client)).await?)
}

/// Checks the members by the policy of their app, and names all at fault.
fn by_policy(policy: &AppPolicy, body: &GenerateRequest) -> Result<(UserId, Option<Duration>), Problem> {
    let user = UserId::parse(&body.user_id, policy.user_ids()).map_err(|bad| bad.to_string());
    let ttl = body.ttl.map(Duration::from_secs);
    match (user, policy.may_shorten(ttl)) {
        (Ok(user), Ok(_)) => Ok((user, ttl)),
        (user, ttl) => {
            let faults = [("user_id", user.err()), ("ttl", ttl.err().map(|bad| bad.to_string()))];
            let faults = faults.into_iter().filter_map(|(member, fault)| Some(FieldError::new(member, fault?)));
            Err(Problem::fields(faults.collect()))
        }
    }
}
