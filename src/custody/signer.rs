//! The signer: what a loaded key can do for a token, and the private operation itself.

use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::{rand::SystemRandom, rsa::KeyPair, signature};

use crate::domain::{
    ids::Kid,
    jws::{SignError, Signature, SignedToken, SigningInput},
};

/// A loaded key. It has signed and verified before it got here.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The key's id.
    fn kid(&self) -> &Kid;

    /// Signs (RS256: RSASSA-PKCS1-v1_5 with SHA-256, RFC 7518 §3.3).
    async fn sign(&self, input: SigningInput) -> Result<SignedToken, SignError>;

    /// How long to stay away, where a signature asked for now would have to wait too long; costs next to nothing, so
    /// that a request can be refused before any work is done for it.
    fn overloaded(&self) -> Option<Duration>;
}

/// The private operation.
pub(super) trait PrivateKey: Send + Sync {
    /// The signature, or why there is none.
    fn sign(&self, message: &[u8]) -> Result<Signature, String>;

    /// How many messages this key can sign together now; 1 where it cannot.
    fn lanes(&self) -> usize {
        1
    }

    /// Signs at most [`Self::lanes`] messages together; `None` for one that must be signed singly.
    fn sign_together(&self, messages: &[&[u8]]) -> Vec<Option<Signature>> {
        vec![None; messages.len()]
    }
}

/// An RSA key of this process that signs one message at a time with `aws-lc-rs`, which verifies each signature before it
/// gives it out.
pub(super) struct SingleKey(KeyPair);

impl SingleKey {
    pub(super) fn new(pair: KeyPair) -> Self {
        Self(pair)
    }
}

impl PrivateKey for SingleKey {
    fn sign(&self, message: &[u8]) -> Result<Signature, String> {
        sign(&self.0, message).map(Signature).map_err(|_| "the cryptographic library refused".to_owned())
    }
}

/// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2.1).
pub(super) fn sign(key: &KeyPair, message: &[u8]) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)?;
    Ok(signature)
}
