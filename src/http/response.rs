//! Answer to generate and refresh.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{clock::UnixMillis, issue::Issued};

/// Token, and the times and the refresh token for the next one.
#[derive(Serialize, ToSchema)]
#[schema(as = TokenAnswer, example = json!({
    "status": "success",
    "token": "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9…",
    "token_expires": 1_795_000_000_000_i64,
    "refresh_token": "csr1_…",
    "refresh_from": 1_794_998_200_000_i64,
    "refresh_expires": 1_797_592_000_000_i64,
    "server_time": 1_794_996_400_000_i64,
    "expires_in": 3600,
    "refresh_in": 1800,
    "refresh_expires_in": 2_592_000,
    "session_expires_in": 15_552_000,
}))]
pub(super) struct TokenAnswer<'a> {
    /// Always `success`.
    #[schema(value_type = String, example = "success")]
    status: &'static str,
    /// The JWT to pass to Braze's SDK.
    token: &'a str,
    /// Time at which the token expires, Unix milliseconds.
    #[schema(value_type = i64, example = 1_795_000_000_000_i64)]
    token_expires: UnixMillis,
    /// The token to refresh with; a new one each time. Absent where the app's policy does not allow refreshing.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    /// Time from which the token should be refreshed, Unix milliseconds: at random between half and three quarters of
    /// its life, so that apps that logged in together do not refresh together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    refresh_from: Option<UnixMillis>,
    /// Time at which the refresh token expires if it is not used, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    refresh_expires: Option<UnixMillis>,
    /// Time by this server's clock, Unix milliseconds.
    #[schema(value_type = i64)]
    server_time: UnixMillis,
    /// Seconds until the token expires: independent of the device's clock.
    expires_in: u64,
    /// Seconds until it is time to refresh, at random between half and three quarters of `expires_in`: 1800 to 2700
    /// where that is 3600.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_in: Option<u64>,
    /// Seconds until the refresh token expires if it is not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_expires_in: Option<u64>,
    /// Seconds until the session ends in any case: the user has to log in again then.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_expires_in: Option<u64>,
    /// Always `true`; absent otherwise. The service answered without its store: the token lives at most 15 minutes, and
    /// `refresh_token` may be the one that was presented, sealed again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(value_type = Option<bool>)]
    degraded: bool,
}

impl<'a> From<&'a Issued> for TokenAnswer<'a> {
    fn from(issued: &'a Issued) -> Self {
        let refresh = issued.refresh.as_ref();
        let seconds_until = |time: UnixMillis| time.since(issued.now).as_secs();
        Self {
            status: "success",
            token: issued.token.expose(),
            token_expires: issued.expires,
            refresh_token: refresh.map(|refresh| refresh.token.expose()),
            refresh_from: refresh.map(|refresh| refresh.from),
            refresh_expires: refresh.map(|refresh| refresh.expires),
            server_time: issued.now,
            expires_in: seconds_until(issued.expires),
            refresh_in: refresh.map(|refresh| seconds_until(refresh.from)),
            refresh_expires_in: refresh.map(|refresh| seconds_until(refresh.expires)),
            session_expires_in: refresh.map(|refresh| seconds_until(refresh.session_expires)),
            degraded: issued.degraded,
        }
    }
}

impl IntoResponse for Issued {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&TokenAnswer::from(&self))
            .unwrap_or_else(|_| unreachable!("strings and numbers always serialise"));
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
    }
}
