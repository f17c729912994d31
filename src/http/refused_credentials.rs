//! Log of refused credentials: at most one line a minute for each kind of refusal and network, in bounded memory.

use std::{hash::Hash, net::IpAddr, num::NonZeroU32, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use strum::IntoStaticStr;

use crate::{
    address::client_network,
    domain::{api_key::ApiKeyId, ids::AppName},
    identity::{CredentialRefusal, RefusedCredential, RuleName},
};

/// Shortest time between two lines of one kind and one network.
const INTERVAL: Duration = Duration::from_mins(1);

/// Maximal number of pairs of kind and network. While there are as many, refusals of other pairs have no line.
const MAX_PAIRS: usize = 1024;

/// Kinds of refusal, each with the network of the client, that had a line in the last minute.
pub struct RefusalLog<K: Hash + Eq + Clone>(DefaultKeyedRateLimiter<(K, IpAddr)>);

/// Log of refused API keys, by the key's id where the credential has one.
pub type RefusedKeys = RefusalLog<Option<ApiKeyId>>;

/// Log of refused sign-ins and sign-outs, by the app where it is configured, what was presented, the reason and the rule.
pub type RefusedSignIns = RefusalLog<(Option<AppName>, Presented, RefusedCredential, Option<RuleName>)>;

/// Token that a provider's user or a provider presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
pub enum Presented {
    #[strum(serialize = "credential")]
    Credential,
    #[strum(serialize = "logout token")]
    LogoutToken,
}

impl<K: Hash + Eq + Clone> Default for RefusalLog<K> {
    fn default() -> Self {
        let once = Quota::with_period(INTERVAL).unwrap_or(Quota::per_minute(NonZeroU32::MIN));
        Self(RateLimiter::dashmap(once.allow_burst(NonZeroU32::MIN)))
    }
}

impl<K: Hash + Eq + Clone> RefusalLog<K> {
    fn admits(&self, kind: K, address: IpAddr) -> bool {
        self.0.len() < MAX_PAIRS && self.0.check_key(&(kind, client_network(address))).is_ok()
    }

    /// Removes the pairs that may have a line again. Call it periodically.
    pub fn evict_idle(&self) {
        self.0.retain_recent();
    }
}

impl RefusedKeys {
    /// Logs that a credential from this address was refused. Of the credential, only the key's id is logged.
    pub(super) fn log(&self, presented: &str, address: IpAddr) {
        let id = ApiKeyId::of_presented(presented);
        if self.admits(id.clone(), address) {
            let key = id.as_ref().map(tracing::field::display);
            tracing::warn!(%address, key, "an API key was refused (one line a minute for each key and address)");
        }
    }
}

impl RefusedSignIns {
    /// Logs the reason for which a token from this address was refused. Nothing of the token is logged.
    pub(super) fn log(&self, app: Option<&AppName>, token: Presented, refusal: &CredentialRefusal, address: IpAddr) {
        let CredentialRefusal { reason, rule, detail: _ } = refusal;
        if self.admits((app.cloned(), token, *reason, rule.clone()), address) {
            let why = match (app, token) {
                (Some(_), _) => reason.to_string(),
                (None, Presented::Credential) => "no app of this name is configured".to_owned(),
                (None, Presented::LogoutToken) => "no app of this name has a sign_in".to_owned(),
            };
            let hint =
                if app.is_some() && token == Presented::Credential { "try `countersign sign-in test`; " } else { "" };
            let (reason, token): (_, &str) = (reason.as_str(), token.into());
            let rule = rule.as_ref().map(RuleName::as_str);
            tracing::warn!(
                %address,
                reason,
                rule,
                "a {token} was refused: {why} ({hint}one line a minute for each app, reason, rule and address)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_line_and_pairs_are_bounded() {
        let refused = RefusedKeys::default();
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        assert!(refused.admits(None, address(0)) && !refused.admits(None, address(0)));
        let admitted = (0..5000).filter(|n| refused.admits(None, address(*n))).count();
        assert_eq!((admitted, refused.0.len()), (MAX_PAIRS - 1, MAX_PAIRS));
    }
}
