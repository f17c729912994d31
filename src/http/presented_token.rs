//! Extractor of a presented refresh token, for the routes that apps call.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};

use super::{
    AppState,
    body::Strict,
    body_faults::RequestBody,
    caller::{Address, Origin},
    problem::Problem,
    reported_failure::ReportedFailure,
};
use crate::{domain::refresh_token::Presented, telemetry::record_session_of};

/// Request body that has a refresh token.
pub(super) trait RefreshTokenBody: RequestBody {
    /// Returns the refresh token, still sealed.
    fn refresh_token(&self) -> &str;

    /// True for a request for the next token.
    const REFRESHES: bool = false;

    /// Returns the failure that the app reports with it.
    fn failure(&self) -> Option<&ReportedFailure> {
        None
    }
}

/// Refresh token that opened, and the body that it came in. Checked in this order: the rate of the address, the body,
/// the token (a refused one counts as a failure of the address), the rate of the session, the origin by the app's
/// list. A failure that the app reports is diagnosed only where the token opened.
pub(super) struct PresentedToken<B> {
    pub(super) presented: Presented,
    pub(super) body: B,
}

impl<B: RefreshTokenBody> FromRequest<Arc<AppState>> for PresentedToken<B> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<AppState>) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let address = Address::from_request_parts(&mut parts, state).await?;
        let origin = Origin::of(&parts.headers);
        let Strict(body) = Strict::<B>::from_request(Request::from_parts(parts, body), state).await?;
        let presented = open(state, &address, &origin, &body)?;
        Ok(Self { presented, body })
    }
}

fn open<B: RefreshTokenBody>(
    state: &AppState,
    address: &Address,
    origin: &Origin,
    body: &B,
) -> Result<Presented, Problem> {
    let limits = state.limits.load();
    let presented = match state.issuer.unseal(body.refresh_token()) {
        Ok(presented) => presented,
        Err(refusal) => {
            if body.failure().is_some() {
                state.reports.take_unauthenticated();
            }
            limits.failure(address.0)?;
            return Err(refusal.into());
        }
    };
    record_session_of(&presented.app, &presented.session);
    limits.session(presented.session)?;
    if let Some(failure) = body.failure() {
        state.reports.take(&presented, &failure.read(), B::REFRESHES, state.clock.untrusted_now());
    }
    if let Some(policy) = state.issuer.policy(&presented.app) {
        origin.may_use(&policy)?;
    }
    Ok(presented)
}
