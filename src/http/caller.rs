//! Caller of a request: its address, its API key, its page's origin; and the capacity to answer it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};

use super::{AppState, problem::Problem};
use crate::{
    domain::policy::AppPolicy,
    identity::{Caller, Unauthenticated},
    telemetry::record_client,
};

/// Proof that a new signature would not wait too long. Handlers extract it first, because the check costs next to
/// nothing.
pub(super) struct Admitted;

impl FromRequestParts<Arc<AppState>> for Admitted {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, state: &Arc<AppState>) -> Result<Self, Problem> {
        state.issuer.admit()?;
        Ok(Self)
    }
}

/// Address of the client, which is within its rate limit.
pub(super) struct Address(pub(super) IpAddr);

impl FromRequestParts<Arc<AppState>> for Address {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |info| info.0.ip().to_canonical());
        let address = state.proxies.client_address(peer, &parts.headers);
        state.limits.load().address(address)?;
        Ok(Self(address))
    }
}

/// Authenticated backend, which is within its rate limit.
pub(super) struct Authenticated(pub(super) Caller);

impl FromRequestParts<Arc<AppState>> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self, Problem> {
        let Address(address) = Address::from_request_parts(parts, state).await?;
        let limits = state.limits.load();
        let presented = bearer(&parts.headers);
        let authenticated = presented.ok_or(Unauthenticated::Refused);
        let caller = match authenticated.and_then(|key| state.api_keys.authenticate(key, &state.clock)) {
            Ok(caller) => caller,
            Err(refusal) => {
                if refusal == Unauthenticated::Refused {
                    if let Some(key) = presented {
                        state.refused_keys.log(key, address);
                    }
                    limits.failure(address)?;
                }
                return Err(refusal.into());
            }
        };
        record_client(&caller.client);
        limits.client(&caller.key)?;
        Ok(Self(caller))
    }
}

/// Returns the bearer credential (RFC 6750 §2.1), if there is exactly one.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (only, None) = (values.next()?, values.next()) else { return None };
    let (scheme, credential) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(credential.trim())
}

/// Origin of the page that sent the request, where a browser sends one (RFC 6454 §7).
pub(super) struct Origin {
    origin: Option<String>,
    host: Option<String>,
}

impl Origin {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let origin = text(header::ORIGIN);
        // The host only matters to a page.
        let host = origin.as_ref().and_then(|_| text(header::HOST));
        Self { origin, host }
    }

    /// Checks that the app lists the page's origin. Native apps send none; this service's own page `/docs` is
    /// allowed.
    pub(super) fn may_use(&self, policy: &AppPolicy) -> Result<(), Problem> {
        let Some(origin) = self.origin.as_deref() else { return Ok(()) };
        let own = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let is_own = own.is_some() && own == self.host.as_deref();
        if is_own || policy.allows_origin(origin) {
            return Ok(());
        }
        Err(Problem::origin_not_allowed())
    }

    /// Checks that a browser says the page's origin, and that the app lists it: for a request with a cookie.
    pub(super) fn must_be_listed(&self, policy: &AppPolicy) -> Result<(), Problem> {
        let Some(origin) = self.origin.as_deref() else { return Err(Problem::origin_missing()) };
        let listed = origin != "null" && policy.allows_origin(origin);
        if listed { Ok(()) } else { Err(Problem::origin_not_allowed()) }
    }
}
