//! ID tokens of a loopback provider, for exchanges.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{oidc_provider::OidcProvider, process, raw};

/// Number of users. A user has fewer live sessions than the limit, so that an exchange ends none.
const USERS: usize = 4000;

/// Signature algorithms of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Es256,
}

/// ID tokens, one for each user, in turn.
pub struct Credentials {
    tokens: Vec<String>,
    turns: AtomicUsize,
}

impl Credentials {
    pub fn new(provider: &OidcProvider, algorithm: Algorithm) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let token = |user: usize| {
            let mut claims = provider.claims(&format!("{algorithm:?}-{user}"), now as i64);
            claims["exp"] = (now + 24 * 3600).into();
            match algorithm {
                Algorithm::Rs256 => provider.rs256(&claims),
                Algorithm::Es256 => provider.es256(&claims),
            }
        };
        Self { tokens: (0..USERS).map(token).collect(), turns: AtomicUsize::new(0) }
    }

    /// Returns the next user's token.
    pub fn next(&self) -> &str {
        &self.tokens[self.turns.fetch_add(1, Ordering::Relaxed) % USERS]
    }

    /// Measures the CPU time of one verification of the signature alone, in seconds, on the measured processor.
    pub fn raw_verification(&self, key: jsonwebtoken::jwk::Jwk, algorithm: Algorithm) -> f64 {
        let token = self.tokens[0].clone();
        raw::on_the_measured(move || {
            let algorithm = match algorithm {
                Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
                Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            };
            let key = jsonwebtoken::DecodingKey::from_jwk(&key).unwrap();
            let (input, signature) = token.rsplit_once('.').unwrap();
            let (begun, mut count) = (process::this_thread_cpu(), 0_u32);
            loop {
                assert!(jsonwebtoken::crypto::verify(signature, input.as_bytes(), &key, algorithm).unwrap());
                count += 1;
                let spent = process::this_thread_cpu().saturating_sub(begun);
                if spent >= Duration::from_millis(50) {
                    return spent.as_secs_f64() / f64::from(count);
                }
            }
        })
    }
}
