//! `POST /v1/sign-out/backchannel/{app}`: an identity provider tells that its user logged out there.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json,
    extract::{FromRequest, Path, Request, State, rejection::PathRejection},
    http::StatusCode,
};
use utoipa::ToSchema;

use super::{
    AppState, body, caller::Address, openapi_refusals::BodyRefusals, problem::Problem, refused_credentials::Presented,
    request_id::RequestId, revocation::RevokeAnswer,
};
use crate::{
    domain::ids::AppName,
    identity::{CredentialRefusal, NotSignedIn, RefusedCredential},
    telemetry::record_app,
};

/// Body of a back-channel logout (OpenID Connect Back-Channel Logout 1.0 §2.5).
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used: `LogoutToken` reads the body")]
pub(super) struct LogoutForm {
    /// The provider's logout token, a signed JWT.
    logout_token: String,
}

/// Logout token of a request, not verified yet.
pub(super) struct LogoutToken(String);

impl<S: Sync> FromRequest<S> for LogoutToken {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = body::of_type(request, "application/x-www-form-urlencoded").await?;
        let mut tokens = form_urlencoded::parse(&bytes).filter(|(name, _)| name == "logout_token");
        match (tokens.next(), tokens.next()) {
            (Some((_, token)), None) => Ok(Self(token.into_owned())),
            _ => Err(Problem::client(StatusCode::BAD_REQUEST, "send exactly one `logout_token`")),
        }
    }
}

/// Ends the sessions of the app that the provider's logout covers: those that an exchange began with a credential of the
/// `sid` that the logout token names or, where it names none, of its `sub`. A logout token that comes again is answered
/// 200, and ends nothing: the provider may repeat one whose answer was lost.
#[utoipa::path(
    post, path = "/v1/sign-out/backchannel/{app}", tag = "sign-out",
    params(("app" = String, Path, description = "The app, by its name in the configuration")),
    request_body(content = LogoutForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (
            status = 200,
            description = "The sessions are over, or were before; or their end is on record, and some nodes do not know it yet",
            body = RevokeAnswer
        ),
        BodyRefusals,
    ),
)]
pub(super) async fn backchannel(
    State(state): State<Arc<AppState>>,
    app: Result<Path<AppName>, PathRejection>,
    Address(address): Address,
    id: RequestId,
    LogoutToken(token): LogoutToken,
) -> Result<Json<RevokeAnswer>, Problem> {
    let app = app.ok().map(|Path(app)| app).filter(|app| state.sign_ins.is_enabled(app));
    let Some(app) = app else { return Err(refused(&state, None, &RefusedCredential::NotEnabled.into(), address)) };
    record_app(&app);
    let logout = match state.sign_ins.sign_out(&app, &token).await {
        Ok(logout) => logout,
        Err(NotSignedIn::Refused(refusal)) => return Err(refused(&state, Some(&app), &refusal, address)),
        Err(undecided) => {
            state.metrics.signed_out(app.as_str(), "unavailable");
            return Err(undecided.into());
        }
    };
    Ok(Json(state.issuer.sign_out(&app, &logout, id.requester()).await?.into()))
}

/// Records a refused logout token, and makes its problem: the same for every reason, with the status that the
/// specification asks for (§2.8).
fn refused(state: &AppState, app: Option<&AppName>, refusal: &CredentialRefusal, address: IpAddr) -> Problem {
    // The label is empty where no such app is configured: its name is the client's.
    state.metrics.signed_out(app.map_or("", AppName::as_str), refusal.reason.as_str());
    state.refused_sign_ins.log(app, Presented::LogoutToken, refusal, address);
    match state.limits.load().failure(address) {
        Ok(()) => {
            Problem::client(StatusCode::BAD_REQUEST, "the logout token is refused; the service's log has the reason")
        }
        Err(too_often) => too_often,
    }
}
