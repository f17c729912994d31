//! Tokens that nobody may accept: forged ones, and odd ones that the provider's own key signed.

mod claims;
mod form;
mod header;
mod signature;

use serde_json::Value;

use super::TestProvider;

/// A token, and the reason why it must be refused.
pub struct Forged {
    pub name: String,
    pub token: String,
}

/// Parties of an attack.
pub struct Target<'a> {
    /// Provider that is attacked; it publishes [`super::published`].
    pub provider: &'a TestProvider,
    /// Provider of the same app whose keys are the attacker's.
    pub attacker: &'a TestProvider,
    /// URL of a server that must never be asked.
    pub canary: &'a str,
    pub now_seconds: i64,
}

impl Target<'_> {
    /// Claims that are accepted in an honest token.
    pub fn claims(&self) -> Value {
        self.provider.claims("u-victim", self.now_seconds)
    }

    /// Every forged token.
    pub fn forgeries(&self) -> Vec<Forged> {
        let lists = [header::forged(self), header::keys(self), signature::forged(self), form::forged(self)];
        let claims = [claims::times(self), claims::parties(self), claims::users(self), claims::payloads(self)];
        lists.into_iter().chain(claims).flatten().collect()
    }
}

fn forged(name: impl Into<String>, token: impl Into<String>) -> Forged {
    Forged { name: name.into(), token: token.into() }
}
