//! A private key in this process.

use aws_lc_rs::rsa::KeyPair;

use super::{
    batch::{BatchKey, LANES, Provider},
    signer::{PrivateKey, SingleKey},
};
use crate::domain::jws::Signature;

/// Signs one by one with `aws-lc-rs`, which verifies each signature before it gives it out, and many at once where it can.
pub(super) struct LocalKey {
    single: SingleKey,
    batch: Option<BatchKey>,
}

impl LocalKey {
    /// The pair, and the PKCS#1 that it was read from.
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
