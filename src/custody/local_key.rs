//! Private key in the memory of this process.

use std::ops::RangeInclusive;

use aws_lc_rs::rsa::KeyPair;

use super::{
    batch::{BatchKey, Provider},
    pace::{BatchPace, LANES, Pace, measure_single, processor_time},
    signer::{PrivateKey, SingleKey},
};
use crate::domain::jws::Signature;

/// Private key that signs one message with `aws-lc-rs`, and several at once where that is quicker.
pub(super) struct LocalKey {
    single: SingleKey,
    batch: Option<BatchKey>,
    pace: Pace,
}

impl LocalKey {
    /// Makes the key from a pair and the PKCS#1 that the pair was read from, and measures its signatures.
    ///
    /// # Errors
    /// The library refuses to sign with this key.
    pub(super) fn new(pair: KeyPair, pkcs1: &[u8], provider: Option<&Provider>) -> Result<Self, String> {
        let single = SingleKey::new(pair);
        if let Some(provider) = provider
            && let Some((batch, times)) = provider.key(pkcs1, &single)
        {
            let library = provider.library().to_owned();
            let together = BatchPace { library, least: batch.least(), each: times.each() };
            let pace = Pace { single: times.single, batch: Some(together) };
            return Ok(Self { single, batch: Some(batch), pace });
        }
        let time = measure_single(processor_time, || single.sign(b"measurement").map(drop))?;
        Ok(Self { single, batch: None, pace: Pace { single: time, batch: None } })
    }
}

impl PrivateKey for LocalKey {
    fn sign(&self, message: &[u8]) -> Result<Signature, String> {
        self.single.sign(message)
    }

    fn pace(&self) -> Option<&Pace> {
        Some(&self.pace)
    }

    fn together(&self) -> RangeInclusive<usize> {
        match &self.batch {
            Some(batch) if batch.is_sound() => batch.least()..=LANES,
            _ => 1..=1,
        }
    }

    fn sign_together(&self, messages: &[&[u8]]) -> Vec<Option<Signature>> {
        self.batch.as_ref().map_or_else(|| vec![None; messages.len()], |batch| batch.sign(messages))
    }
}
