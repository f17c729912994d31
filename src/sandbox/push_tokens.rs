//! Push tokens on record, each with the user whom its pushes are for.
//!
//! A browser has one push token, and a token one user: the last who registered it (Braze, "Push registration"). The Web
//! SDK registers a token as attributes of its user, withdraws it by the attribute `push_token: null`, and unregisters it
//! at logout by `/push/unregister` (source of 6.13.0).

use serde::Serialize;

/// Number of push tokens that are kept; the oldest are dropped.
const KEPT: usize = 10_000;

/// A push token on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PushToken {
    pub(super) app: String,
    /// Address of the browser at its push service, as the SDK sends it.
    pub(super) token: String,
    /// User whom pushes are for; `None` if nobody had logged in yet.
    pub(super) user_id: Option<String>,
    pub(super) device_id: Option<String>,
}

/// Push tokens of all apps, in memory.
#[derive(Debug, Default)]
pub(super) struct PushTokens(Vec<PushToken>);

impl PushTokens {
    /// Registers a token, in place of another one of its browser, and of its former user.
    pub(super) fn register(&mut self, token: PushToken) {
        self.unregister(&token.app, &token.token);
        self.withdraw(&token.app, token.device_id.as_deref());
        if self.0.len() == KEPT {
            self.0.remove(0);
        }
        self.0.push(token);
    }

    /// Deletes a token.
    pub(super) fn unregister(&mut self, app: &str, token: &str) {
        self.0.retain(|known| known.app != app || known.token != token);
    }

    /// Deletes the token of a browser.
    pub(super) fn withdraw(&mut self, app: &str, device_id: Option<&str>) {
        self.0.retain(|known| known.app != app || device_id.is_none() || known.device_id.as_deref() != device_id);
    }

    /// Returns the user whom pushes to a token are for; `None` also for a token that is not on record.
    pub(super) fn user_of(&self, app: &str, token: &str) -> Option<&str> {
        self.0.iter().find(|known| known.app == app && known.token == token)?.user_id.as_deref()
    }

    /// Returns every token on record, in the order of registration.
    pub(super) fn list(&self) -> &[PushToken] {
        &self.0
    }
}
