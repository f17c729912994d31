//! Sign-in of a user with the credential of a session that the app already has.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

use super::{
    AppState,
    caller::{Origin, bearer},
    problem::Problem,
    refused_credentials::Presented,
};
use crate::{
    address::client_network,
    domain::{ids::AppName, policy::AppPolicy},
    identity::{AppUser, Credential, CredentialRefusal, NotSignedIn, RefusedCredential},
    telemetry::record_app,
};

/// Signs a user in with the credential of a request, whose address is within its limit. The caller counts a credential that
/// is accepted: the store may know that its login has ended. Checked in this order: the app,
/// the origin by the app's list, the credential (a refused one counts as a failure of the address), the end of its login
/// at the provider, the rate of the user.
pub(super) async fn sign_in(
    state: &AppState,
    headers: &HeaderMap,
    address: IpAddr,
    app: &AppName,
) -> Result<AppUser, Problem> {
    let Some(policy) = state.issuer.policy(app) else {
        return Err(refused(state, None, &RefusedCredential::NotEnabled.into(), address));
    };
    record_app(app);
    let signed_in = match verified(state, headers, address, app, &policy).await? {
        Ok(signed_in) => signed_in,
        Err(NotSignedIn::Refused(refusal)) => return Err(refused(state, Some(app), &refusal, address)),
        Err(undecided) => {
            state.metrics.signed_in(app.as_str(), UNAVAILABLE);
            return Err(undecided.into());
        }
    };
    if state.issuer.is_signed_out(&signed_in).await? {
        return Err(refused(state, Some(app), &RefusedCredential::SignedOut.into(), address));
    }
    state.limits.load().user(app, state.issuer.user_hash(&signed_in), address)?;
    Ok(signed_in)
}

/// Verifies the credential of the request. The outer error is that of an origin that the app does not list.
async fn verified(
    state: &AppState,
    headers: &HeaderMap,
    address: IpAddr,
    app: &AppName,
    policy: &AppPolicy,
) -> Result<Result<AppUser, NotSignedIn>, Problem> {
    if !state.sign_ins.is_enabled(app) {
        return Ok(Err(RefusedCredential::NotEnabled.into()));
    }
    let cookies = state.sign_ins.cookies(app);
    let credential = presented(headers, &cookies);
    let origin = Origin::of(headers);
    match credential {
        // Browsers add cookies to the requests of any page, so the page must be one of the app's.
        Some(Credential::Cookie { .. }) => origin.must_be_listed(policy)?,
        Some(Credential::Bearer(_)) | None => origin.may_use(policy)?,
    }
    let Some(credential) = credential else { return Ok(Err(RefusedCredential::Missing.into())) };
    Ok(state.sign_ins.sign_in(app, policy.user_ids(), credential, Some(client_network(address))).await)
}

/// Returns the credential of a request: that of the header `Authorization` or, where the header is absent, the first of
/// these cookies that is there.
fn presented<'a>(headers: &'a HeaderMap, cookies: &'a [String]) -> Option<Credential<'a>> {
    if headers.contains_key(header::AUTHORIZATION) {
        return bearer(headers).filter(|credential| !credential.is_empty()).map(Credential::Bearer);
    }
    cookies.iter().find_map(|name| values(headers, name).next().is_some().then(|| cookie(headers, name)))?
}

/// Returns the cookie of this name, if there is exactly one: which of two the browser means, nobody can tell.
fn cookie<'a>(headers: &'a HeaderMap, name: &'a str) -> Option<Credential<'a>> {
    let mut values = values(headers, name);
    let (value, None) = (values.next()?, values.next()) else { return None };
    (!value.is_empty()).then_some(Credential::Cookie { name, value })
}

/// Returns the values of the cookies of this name (RFC 6265 §4.2.1; HTTP/2 may split the header, RFC 9113 §8.2.3).
fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    // Browsers send cookies of other pages as they are: a byte beyond ASCII in one spoils no other.
    let texts = pairs.filter_map(|pair| std::str::from_utf8(pair).ok());
    let pairs = texts.filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(given, _)| *given == name).map(|(_, value)| value)
}

/// Records a refused credential, and makes its problem: the same for every reason.
pub(super) fn refused(
    state: &AppState,
    app: Option<&AppName>,
    refusal: &CredentialRefusal,
    address: IpAddr,
) -> Problem {
    // The label is empty where no such app is configured: its name is the client's.
    state.metrics.signed_in(app.map_or("", AppName::as_str), refusal.reason.as_str());
    state.refused_sign_ins.log(app, Presented::Credential, refusal, address);
    match state.limits.load().failure(address) {
        Ok(()) => Problem::sign_in_refused(),
        Err(too_often) => too_often,
    }
}

/// Results of a sign-in in the metrics, beside the reasons of a refusal.
pub(super) const ACCEPTED: &str = "accepted";
const UNAVAILABLE: &str = "unavailable";
