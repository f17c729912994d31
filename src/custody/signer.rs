//! Traits of a loaded key ([`Signer`] for requests, [`PrivateKey`] for the signing threads), and the private operation.

use std::{ops::RangeInclusive, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::{rand::SystemRandom, rsa::KeyPair, signature};
use tokio::sync::oneshot;

use super::pace::Pace;
use crate::domain::{
    ids::Kid,
    jws::{SignError, Signature, SignedToken, SigningInput},
};

/// Loaded key. It passed a test signature when it was loaded.
#[async_trait]
pub trait Signer: Send + Sync {
    /// Id of the key.
    fn kid(&self) -> &Kid;

    /// Signs with RS256 (RSASSA-PKCS1-v1_5 with SHA-256, RFC 7518 §3.3).
    async fn sign(&self, input: SigningInput) -> Result<SignedToken, SignError>;

    /// Signs, and tells `begun` once the signature is being computed in this process and none waits for it: then
    /// nothing but the key itself can fail it. Where that is not so, `begun` hears nothing: a key elsewhere may be out
    /// of reach.
    async fn sign_telling(&self, input: SigningInput, begun: oneshot::Sender<()>) -> Result<SignedToken, SignError> {
        drop(begun);
        self.sign(input).await
    }

    /// Time after which a client should ask again, where a new signature would wait too long. The call costs next to
    /// nothing, so that a request can be refused before any work is done for it.
    fn overloaded(&self) -> Option<Duration>;

    /// Measured times of its signatures; `None` for a key that signs elsewhere.
    fn pace(&self) -> Option<&Pace> {
        None
    }
}

/// Private operation of a key; runs on a signing thread.
pub(super) trait PrivateKey: Send + Sync {
    /// Signs one message.
    ///
    /// # Errors
    /// The reason, as text.
    fn sign(&self, message: &[u8]) -> Result<Signature, String>;

    /// Measured times of its signatures, where they were measured.
    fn pace(&self) -> Option<&Pace> {
        None
    }

    /// Numbers of messages that this key signs together now; 1 alone where it signs one by one.
    fn together(&self) -> RangeInclusive<usize> {
        1..=1
    }

    /// Signs as many messages together as [`Self::together`] has at most; `None` for a message that must be signed alone.
    fn sign_together(&self, messages: &[&[u8]]) -> Vec<Option<Signature>> {
        vec![None; messages.len()]
    }
}

/// RSA key that signs one message at a time with `aws-lc-rs`, which verifies each signature before it returns it.
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
