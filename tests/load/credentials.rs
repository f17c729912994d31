//! ID tokens of a loopback provider, for exchanges.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{DecodingKey, jwk::JwkSet};

use super::{
    jwt::{P256, RSA, TestProvider},
    process, raw,
};

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
    pub fn new(provider: &TestProvider, algorithm: Algorithm) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let token = |user: usize| {
            let mut claims = provider.claims(&format!("{algorithm:?}-{user}"), now as i64);
            claims["exp"] = (now + 24 * 3600).into();
            match algorithm {
                Algorithm::Rs256 => RSA.token(&claims),
                Algorithm::Es256 => P256.token(&claims),
            }
        };
        Self { tokens: (0..USERS).map(token).collect(), turns: AtomicUsize::new(0) }
    }

    /// Returns the next user's token.
    pub fn next(&self) -> &str {
        &self.tokens[self.turns.fetch_add(1, Ordering::Relaxed) % USERS]
    }

    /// Measures the CPU time of one verification of the signature alone, in seconds, on the measured processor.
    pub fn raw_verification(&self, keys: &JwkSet) -> f64 {
        let token = self.tokens[0].clone();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
        raw::on_the_measured(move || {
            let (input, signature) = token.rsplit_once('.').unwrap();
            let (begun, mut count) = (process::this_thread_cpu(), 0_u32);
            loop {
                assert!(jsonwebtoken::crypto::verify(signature, input.as_bytes(), &key, header.alg).unwrap());
                count += 1;
                let spent = process::this_thread_cpu().saturating_sub(begun);
                if spent >= Duration::from_millis(50) {
                    return spent.as_secs_f64() / f64::from(count);
                }
            }
        })
    }
}
