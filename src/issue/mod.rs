//! The service's verbs: [`mint`](Issuer::mint) at login, [`refresh`](Issuer::refresh) from the auth-failure callback,
//! [`revoke`](Issuer::revoke) at logout; what operators do to users ([`users`]) and to API keys ([`clients`]).

pub mod clients;
mod mint;
mod refresh;
mod refusal;
mod revoke;
pub mod users;

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use crate::{
    clock::{Clock, UnixMillis},
    domain::{
        ids::AppName,
        jws::SignedToken,
        policy::AppPolicy,
        refresh_token::{self, Contents, Presented, RefreshToken},
        sealing::{SealingKeys, UserHashKey},
    },
    keyring::Keyring,
    secret::{Entropy, random},
    store::Store,
};

pub use refresh::{Refreshed, Unrefreshed};
pub use refusal::Refusal;

/// The apps' policies, by name.
pub type Policies = HashMap<AppName, Arc<AppPolicy>>;

/// What an [`Issuer`] works with.
pub struct Parts {
    /// Each ring's signing key.
    pub keyring: Arc<Keyring>,
    /// Sessions and opt-outs.
    pub store: Arc<dyn Store>,
    /// How users are named in the store.
    pub user_hash: Arc<UserHashKey>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for token ids, session ids, nonces and jitter.
    pub entropy: Arc<dyn Entropy>,
}

/// Mints, refreshes and revokes.
pub struct Issuer {
    parts: Parts,
    sealing: ArcSwap<SealingKeys>,
    policies: ArcSwap<Policies>,
}

/// A token for the app, and what it needs to know of the next one.
#[derive(Debug)]
pub struct Issued {
    /// The token.
    pub token: SignedToken,
    /// The time by this service's clock.
    pub now: UnixMillis,
    /// When the token expires.
    pub expires: UnixMillis,
    /// How it is refreshed, where the app's policy has it so.
    pub refresh: Option<Refresh>,
}

/// The refresh token that goes with a token.
#[derive(Debug)]
pub struct Refresh {
    /// The refresh token.
    pub token: RefreshToken,
    /// From when on it is good manners to use it: some time before the token expires, different for each.
    pub from: UnixMillis,
    /// Until when it can be used.
    pub expires: UnixMillis,
}

impl Issuer {
    /// An issuer with these policies and sealing keys.
    pub fn new(parts: Parts, policies: Policies, sealing: SealingKeys) -> Self {
        Self { parts, sealing: ArcSwap::from_pointee(sealing), policies: ArcSwap::from_pointee(policies) }
    }

    /// Goes on with other policies and sealing keys; requests under way end with those they began with.
    pub fn reload(&self, policies: Policies, sealing: SealingKeys) {
        self.sealing.store(Arc::new(sealing));
        self.policies.store(Arc::new(policies));
    }

    /// The policy of an app, if it is configured.
    pub fn policy(&self, app: &AppName) -> Option<Arc<AppPolicy>> {
        self.policies.load().get(app).cloned()
    }

    /// Whether any app lists this origin; a browser asks before it is known for which app.
    pub fn knows_origin(&self, origin: &str) -> bool {
        self.policies.load().values().any(|policy| policy.allowed_origins.iter().any(|allowed| allowed == origin))
    }

    /// How long a new request should stay away, where it could not be signed in time.
    pub fn overloaded(&self) -> Option<Duration> {
        self.parts.keyring.overloaded()
    }

    /// Opens a refresh token that an app presents. Asks nobody: junk costs next to nothing.
    ///
    /// # Errors
    /// [`Refusal::InvalidToken`] where it is forged, mistyped, or of an app that is not configured (any more).
    pub fn unseal(&self, token: &str) -> Result<Presented, Refusal> {
        let presented = refresh_token::unseal(token, &self.sealing.load()).map_err(|_| Refusal::InvalidToken)?;
        if self.policies.load().contains_key(&presented.app) { Ok(presented) } else { Err(Refusal::InvalidToken) }
    }

    fn seal(&self, contents: &Contents) -> Result<RefreshToken, Refusal> {
        let nonce = random(&*self.parts.entropy)?;
        Ok(RefreshToken::seal(contents, &self.sealing.load(), nonce))
    }

    /// When a token that lives `lifetime` from `now` should be refreshed: somewhere between half and three quarters of
    /// its life, so that apps which logged in together do not come back together.
    fn refresh_from(&self, now: UnixMillis, lifetime: Duration) -> Result<UnixMillis, Refusal> {
        let dice = u16::from_be_bytes(random(&*self.parts.entropy)?);
        let share = 0.5 + 0.25 * f64::from(dice) / f64::from(u16::MAX);
        Ok(now.plus(lifetime.mul_f64(share)))
    }
}
