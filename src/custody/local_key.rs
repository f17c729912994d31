//! Private key in the memory of this process.

use aws_lc_rs::rsa::KeyPair;

use super::{
    batch::{BatchKey, LANES, Provider},
    signer::{PrivateKey, SingleKey},
};
use crate::domain::jws::Signature;

/// Private key that signs one message with `aws-lc-rs`, and several at once where this build and processor can.
pub(super) struct LocalKey {
    single: SingleKey,
    batch: Option<BatchKey>,
}

impl LocalKey {
    /// Makes the key from a pair and the PKCS#1 that the pair was read from.
    pub(super) fn new(pair: KeyPair, pkcs1: &[u8], provider: Option<&Provider>) -> Self {
        let single = SingleKey::new(pair);
        let batch = provider.and_then(|provider| provider.key(pkcs1, &single));
        Self { single, batch }
    }
}

impl PrivateKey for LocalKey {
    fn sign(&self, message: &[u8]) -> Result<Signature, String> {
        self.single.sign(message)
    }

    fn lanes(&self) -> usize {
        if self.batch.as_ref().is_some_and(BatchKey::is_sound) { LANES } else { 1 }
    }

    fn sign_together(&self, messages: &[&[u8]]) -> Vec<Option<Signature>> {
        self.batch.as_ref().map_or_else(|| vec![None; messages.len()], |batch| batch.sign(messages))
    }
}
