//! `POST /v1/token/refresh`: the app gets its next token, from the SDK's auth-failure callback or after `refresh_from`.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    AppState,
    caller::Admitted,
    openapi::Refusals,
    presented_token::{PresentedToken, RefreshTokenBody},
    problem::Problem,
    response::TokenAnswer,
};
use crate::{domain::verdict::ErrorCode, issue::Issued};

/// Body of a refresh.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefreshRequest {
    /// The newest refresh token the app has.
    refresh_token: String,
    /// The user the app believes to be logged in. Where it is not the session's user, the refresh is refused.
    user_id: Option<String>,
    /// The report of the SDK's callback, in the SDK's own form. It is counted, and never trusted.
    failure: Option<Value>,
}

impl RefreshTokenBody for RefreshRequest {
    fn refresh_token(&self) -> &str {
        &self.refresh_token
    }

    /// Counts a reported failure.
    fn received(&self, state: &AppState) {
        if let Some(failure) = &self.failure {
            count_failure(state, failure);
        }
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

/// Counts and logs a reported failure by its code, if Braze has such a code. Nothing else of it is kept: a client may
/// send anything.
fn count_failure(state: &AppState, failure: &Value) {
    let code = code_of(failure).map_or_else(|| "other".to_owned(), ErrorCode::label);
    state.metrics.failure_reported(&code);
    tracing::info!(code, "an app reported an authentication failure");
}

/// Returns the code of a reported failure. SDKs name it differently and send it as number or text (Braze's SDK
/// sources).
fn code_of(failure: &Value) -> Option<ErrorCode> {
    let code = ["error_code", "errorCode", "code"].into_iter().find_map(|name| failure.get(name))?;
    let number = code.as_i64().or_else(|| code.as_str()?.trim().parse().ok())?;
    ErrorCode::from_number(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_in_every_shape_the_sdks_send() {
        let found = |failure: Value| code_of(&failure).map(ErrorCode::number);
        assert_eq!(found(serde_json::json!({"error_code": 22})), Some(22));
        assert_eq!(found(serde_json::json!({"error_code": "27", "user_id": 7})), Some(27));
        assert_eq!(found(serde_json::json!({"errorCode": 21})), Some(21));
        assert_eq!(found(serde_json::json!({"code": 26})), Some(26));
        for odd in ["{}", "[]", "null", "22", r#"{"error_code":-1}"#, r#"{"error_code":{}}"#, r#"{"error_code":1e300}"#]
        {
            assert_eq!(found(serde_json::from_str(odd).unwrap()), None, "{odd}");
        }
    }
}
