//! `POST /v1/failures`: the app reports a failure for which it sends no refresh.

use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    body_faults::RequestBody,
    openapi_refusals::BodyRefusals,
    presented_token::{PresentedToken, RefreshTokenBody},
    problem::Problem,
    problem_code::ProblemCode,
    reported_failure::{ReportedFailure, failure_schema},
};

/// Body of a report.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "refresh_token": "csr1_…", "failure": { "error_code": 25 } }))]
#[serde(deny_unknown_fields)]
pub(super) struct FailureRequest {
    /// Any refresh token of the session.
    refresh_token: String,
    /// The report of the SDK's callback, in the SDK's own form. It is counted, and never trusted.
    #[schema(schema_with = failure_schema)]
    failure: ReportedFailure,
}

impl RequestBody for FailureRequest {}

impl RefreshTokenBody for FailureRequest {
    fn refresh_token(&self) -> &str {
        &self.refresh_token
    }

    fn failure(&self) -> Option<&ReportedFailure> {
        Some(&self.failure)
    }
}

/// Takes the report of a failure that no refresh cures (codes 25 and 28), or for which none is sent now. 204 whatever
/// the refresh token is worth, so that nobody learns it here.
#[utoipa::path(
    post, path = "/v1/failures", tag = "failures", request_body = FailureRequest,
    responses((status = 204, description = "Taken"), BodyRefusals),
)]
pub(super) async fn report(token: Result<PresentedToken<FailureRequest>, Problem>) -> Result<StatusCode, Problem> {
    match token {
        Ok(_) => {}
        // The refresh token is not ours, or the page's origin is not in the list of its app.
        Err(problem) if problem.is(ProblemCode::InvalidToken) || problem.is(ProblemCode::Forbidden) => {}
        Err(problem) => return Err(problem),
    }
    Ok(StatusCode::NO_CONTENT)
}
