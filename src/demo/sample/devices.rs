//! Devices of the sample: each has an app with an SDK and a client, as small as they can be. They reach the service and
//! Braze by their routes, as real ones do.

use std::time::Duration;

use axum::{
    Router,
    http::{HeaderName, Method, header},
};
use serde_json::{Value, json};

use super::{
    super::requests::{Failure, call_json},
    traffic::{DeviceAction, PlannedDevice, SampleApp},
};
use crate::{clock::UnixMillis, domain::api_key::ApiKey};

/// Age at which a client refreshes a token: three quarters of its life.
const REFRESH_AGE: Duration = Duration::from_mins(45);
/// Codes that no other token cures.
const INCURABLE: [i64; 2] = [25, 28];
/// Tries of a request to the service, and the pause between two: a busy machine may need more than one.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// Routes that devices and backends call, and their credentials.
pub(super) struct DeviceEndpoints {
    pub(super) service: Router,
    pub(super) braze: Router,
    pub(super) web: AppCredentials,
    pub(super) ios: AppCredentials,
}

/// Credentials of an app: its SDK's, and its backend's.
pub(super) struct AppCredentials {
    pub(super) sdk_api_key: String,
    pub(super) api_key: ApiKey,
}

impl DeviceEndpoints {
    fn of(&self, app: SampleApp) -> &AppCredentials {
        match app {
            SampleApp::Web => &self.web,
            SampleApp::Ios => &self.ios,
        }
    }

    /// Calls the service; where it asks to come again, the same once more.
    async fn ask(&self, path: &str, headers: &[(HeaderName, &str)], body: &Value) -> Result<Value, Failure> {
        let mut tries = 1;
        loop {
            match call_json(&self.service, Method::POST, path, headers, body).await {
                Err(_) if tries < TRIES => tries += 1,
                answered => return answered,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends an event with a token to Braze; returns the code and the reason of a refusal.
    async fn send(&self, device: &PlannedDevice, token: &str) -> Result<Option<(i64, Value)>, Failure> {
        let key = &*self.of(device.app).sdk_api_key;
        let headers = [
            (HeaderName::from_static("x-braze-api-key"), key),
            (HeaderName::from_static("x-braze-auth-signature"), token),
        ];
        let body = json!({ "api_key": key, "events": [{ "name": "ce", "user_id": device.user }] });
        let answer = call_json(&self.braze, Method::POST, "/api/v3/data/", &headers, &body).await?;
        let refused = &answer["auth_error"];
        Ok(refused["error_code"].as_i64().map(|code| (code, refused["reason"].clone())))
    }
}

/// Device with the tokens that it has.
pub(super) struct Device {
    planned: PlannedDevice,
    tokens: Option<DeviceTokens>,
}

struct DeviceTokens {
    token: String,
    refresh_token: String,
    received: UnixMillis,
}

impl Device {
    /// Device on which nobody is logged in.
    pub(super) fn new(planned: PlannedDevice) -> Self {
        Self { planned, tokens: None }
    }

    /// Does an action.
    pub(super) async fn act(
        &mut self,
        action: DeviceAction,
        endpoints: &DeviceEndpoints,
        now: UnixMillis,
    ) -> Result<(), Failure> {
        match action {
            DeviceAction::Login => self.log_in(endpoints, now).await,
            DeviceAction::Event => {
                if self.tokens.as_ref().is_some_and(|tokens| now.since(tokens.received) >= REFRESH_AGE) {
                    self.refresh(endpoints, None, now).await?;
                }
                self.send_event(endpoints, now).await
            }
            DeviceAction::EventAfterSleep => self.send_event(endpoints, now).await,
        }
    }

    async fn log_in(&mut self, endpoints: &DeviceEndpoints, now: UnixMillis) -> Result<(), Failure> {
        let PlannedDevice { app, user } = &self.planned;
        let bearer = format!("Bearer {}", *endpoints.of(*app).api_key.reveal());
        let headers = [(header::AUTHORIZATION, &*bearer)];
        let body = json!({ "app": app.name(), "user_id": user });
        self.take(&endpoints.ask("/v1/token/generate", &headers, &body).await?, now);
        Ok(())
    }

    /// Sends an event. A refusal is reported: with a refresh and a second try, where another token may cure it.
    async fn send_event(&mut self, endpoints: &DeviceEndpoints, now: UnixMillis) -> Result<(), Failure> {
        let Some(tokens) = &self.tokens else { return Ok(()) };
        let Some((code, reason)) = endpoints.send(&self.planned, &tokens.token).await? else { return Ok(()) };
        let PlannedDevice { app, user } = &self.planned;
        let failure = json!({ "platform": app.name(), "errorCode": code, "reason": reason, "userId": user });
        if INCURABLE.contains(&code) {
            let body = json!({ "refresh_token": tokens.refresh_token, "failure": failure });
            return endpoints.ask("/v1/failures", &[], &body).await.map(drop);
        }
        self.refresh(endpoints, Some(failure), now).await?;
        let Some(tokens) = &self.tokens else { return Ok(()) };
        endpoints.send(&self.planned, &tokens.token).await.map(drop)
    }

    async fn refresh(
        &mut self,
        endpoints: &DeviceEndpoints,
        failure: Option<Value>,
        now: UnixMillis,
    ) -> Result<(), Failure> {
        let Some(tokens) = &self.tokens else { return Ok(()) };
        let mut body = json!({ "refresh_token": tokens.refresh_token });
        if let Some(failure) = failure {
            body["failure"] = failure;
        }
        self.take(&endpoints.ask("/v1/token/refresh", &[], &body).await?, now);
        Ok(())
    }

    fn take(&mut self, answer: &Value, received: UnixMillis) {
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        self.tokens = Some(DeviceTokens { token: text("token"), refresh_token: text("refresh_token"), received });
    }
}
