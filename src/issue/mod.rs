//! Operations on tokens: [`mint`](Issuer::mint) at login, [`refresh`](Issuer::refresh) from the auth-failure callback,
//! [`revoke`](Issuer::revoke) at logout, [`sign_out`](Issuer::sign_out) at the provider's logout. Mint and refresh share
//! `token` and `refresh_token`; `order` decides whether the signature comes before the session's write, or both run at
//! once; `degraded` answers while the store is out of reach. Each operation counts and logs its own outcome, so that no caller has to.

mod degraded;
mod mint;
mod order;
mod refresh;
mod refresh_token;
mod refusal;
mod revocation;
mod revoke;
mod sign_out;
mod token;

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;

use crate::{
    clock::ClockGuard,
    domain::{
        ids::{AppName, UserHash},
        policy::AppPolicy,
        sealing::{SealingKeys, UserHashKey},
    },
    identity::AppUser,
    keyring::Keyring,
    outage::Outage,
    secret::Entropy,
    store::Store,
    telemetry::Metrics,
};

pub use refresh_token::IssuedRefreshToken;
pub use refusal::Refusal;
pub use revocation::Revocation;
pub use token::Issued;

/// Policies of the apps, by name.
pub type Policies = HashMap<AppName, Arc<AppPolicy>>;

/// Dependencies of an [`Issuer`].
pub struct Parts {
    pub keyring: Arc<Keyring>,
    /// Sessions and opt-outs.
    pub store: Arc<dyn Store>,
    /// Key that hashes user ids for the store.
    pub user_hash: Arc<UserHashKey>,
    pub clock: Arc<ClockGuard>,
    /// Randomness for token ids, session ids, nonces and jitter.
    pub entropy: Arc<dyn Entropy>,
    /// What is answered while the store is out of reach.
    pub outage: Arc<Outage>,
    /// Counters of mints, refreshes and alarms.
    pub metrics: Arc<Metrics>,
}

/// Issuer: mints, refreshes and revokes tokens.
pub struct Issuer {
    parts: Parts,
    sealing: ArcSwap<SealingKeys>,
    policies: ArcSwap<Policies>,
}

impl Issuer {
    /// Makes an issuer with these policies and sealing keys.
    pub fn new(parts: Parts, policies: Policies, sealing: SealingKeys) -> Self {
        Self { parts, sealing: ArcSwap::from_pointee(sealing), policies: ArcSwap::from_pointee(policies) }
    }

    /// Replaces policies and sealing keys. A request in progress may still use the old ones.
    pub fn reload(&self, policies: Policies, sealing: SealingKeys) {
        self.sealing.store(Arc::new(sealing));
        self.policies.store(Arc::new(policies));
    }

    /// Returns the policy of an app, if it is configured.
    pub fn policy(&self, app: &AppName) -> Option<Arc<AppPolicy>> {
        self.policies.load().get(app).cloned()
    }

    /// Returns true where one of these apps lists this origin. A CORS preflight does not name the app.
    pub fn knows_origin(&self, origin: &str, is_one: impl Fn(&AppName) -> bool) -> bool {
        self.policies.load().iter().any(|(app, policy)| policy.allows_origin(origin) && is_one(app))
    }

    /// Returns the hash of a user's id, under which limits and the store know the user.
    pub fn user_hash(&self, app_user: &AppUser) -> UserHash {
        self.parts.user_hash.hash(app_user.user())
    }

    /// Checks that a signature requested now would be ready in time.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`].
    pub fn admit(&self) -> Result<(), Refusal> {
        self.reported(self.parts.keyring.overloaded().map_or(Ok(()), |wait| Err(Refusal::Overloaded(wait))))
    }

    /// Counts a request for a token that is refused, unless no such app is configured: its name is the client's.
    pub fn count_refused(&self, app: &AppName) {
        if self.policy(app).is_some() {
            self.parts.metrics.token_refused(app.as_str());
        }
    }

    /// Counts and logs the refusals that the service causes itself.
    fn reported<T>(&self, outcome: Result<T, Refusal>) -> Result<T, Refusal> {
        outcome.inspect_err(|refusal| match refusal {
            Refusal::Overloaded(wait) => {
                self.parts.metrics.request_shed();
                tracing::info!(wait_ms = wait.as_millis(), "a signature was shed: too many wait");
            }
            Refusal::Unavailable(why) => tracing::error!(why, "a request could not be answered"),
            _ => {}
        })
    }
}
