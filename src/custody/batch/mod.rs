//! Batches: eight signatures of one key are computed at once, on processors that can. Each is verified before it is
//! used: one wrong RSA-CRT signature reveals the key ("On the Importance of Checking Cryptographic Protocols for
//! Faults", EUROCRYPT 1997; Lenstra showed that one is enough), and the batch library does not verify its own.

#[cfg(feature = "crypto-mb")]
mod crypto_mb;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use rsa::pkcs1;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{emsa, signer::PrivateKey};
use crate::{
    domain::jws::Signature,
    telemetry::{Alarm, Metrics},
};

/// Number of signatures that are computed at once.
pub(super) const LANES: usize = 8;

/// Number of wrong signatures after which batches are switched off: one may be a cosmic ray, three are a broken
/// processor.
const TOLERATED_FAULTS: u32 = 3;

/// Use of batches: `custody.batch` in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Batch {
    /// Batches where this build and this processor can, and the key passes its test.
    #[default]
    Auto,
    /// Signatures are computed one by one.
    Off,
}

/// Raw RSA operations with one key. Buffers hold [`LANES`] numbers, big-endian, each as long as the modulus.
pub(super) trait Lanes: Send + Sync {
    /// Raises each number to the private exponent. The result must be verified.
    fn private(&self, from: &[u8], to: &mut [u8]) -> Result<(), String>;

    /// Raises each number to the public exponent.
    fn public(&self, from: &[u8], to: &mut [u8]) -> Result<(), String>;
}

/// Provider of [`Lanes`] for keys. All its keys share one count of faults.
pub(super) struct Provider {
    faults: Arc<Faults>,
    make: fn(&pkcs1::RsaPrivateKeyRef<'_>) -> Result<Box<dyn Lanes>, String>,
}

impl Provider {
    /// Finds the provider of this build and processor. Returns `None`, and logs the reason, where there is none or it
    /// is switched off.
    pub(super) fn find(batch: Batch, metrics: &Arc<Metrics>) -> Option<Self> {
        let found = match batch {
            Batch::Off => Err("custody.batch is off".to_owned()),
            Batch::Auto => available(),
        };
        match found {
            Ok((name, make)) => {
                tracing::info!(
                    library = name,
                    "signatures that wait together are computed together, {LANES} at a time"
                );
                Some(Self { faults: Arc::new(Faults::new(Arc::clone(metrics))), make })
            }
            Err(why) => {
                tracing::info!(why, "signatures are computed one by one");
                None
            }
        }
    }

    /// Makes the lanes of a key and tests each: its signature must equal that of `single`. Returns `None`, and logs the
    /// reason, where the key must sign one by one.
    pub(super) fn key(&self, pkcs1: &[u8], single: &dyn PrivateKey) -> Option<BatchKey> {
        let made = pkcs1::RsaPrivateKeyRef::try_from(pkcs1).map_err(|why| why.to_string()).and_then(|key| {
            let lanes = (self.make)(&key)?;
            let made = BatchKey { lanes, length: key.modulus.as_bytes().len(), faults: Arc::clone(&self.faults) };
            made.prove(single).map(|()| made)
        });
        made.inspect_err(|why| tracing::warn!(why, "this key signs one by one")).ok()
    }
}

type Found = (String, fn(&pkcs1::RsaPrivateKeyRef<'_>) -> Result<Box<dyn Lanes>, String>);

#[cfg(feature = "crypto-mb")]
fn available() -> Result<Found, String> {
    crypto_mb::available().map(|name| (name, crypto_mb::lanes as _))
}

#[cfg(not(feature = "crypto-mb"))]
fn available() -> Result<Found, String> {
    Err("this build has no batch library (feature crypto-mb)".to_owned())
}

/// Function that signs 1 to 8 messages; `None` stands for a wrong signature.
#[cfg(feature = "crypto-mb")]
pub type SignTogether = Box<dyn Fn(&[&[u8]]) -> Vec<Option<Signature>>>;

/// Makes a batch signer of a key in PKCS#8, without an engine, to measure its cost. Each signature is verified.
///
/// # Errors
/// The reason, as text, where this processor has no batches or the key does not fit.
#[cfg(feature = "crypto-mb")]
pub fn batch_signer(pkcs8: &[u8]) -> Result<SignTogether, String> {
    available()?;
    let pkcs1 = super::format::pkcs8::from_pkcs8(pkcs8).map_err(|why| why.to_string())?;
    let key = pkcs1::RsaPrivateKeyRef::try_from(pkcs1.as_slice()).map_err(|why| why.to_string())?;
    let key = BatchKey {
        lanes: crypto_mb::lanes(&key)?,
        length: key.modulus.as_bytes().len(),
        faults: Arc::new(Faults::new(Metrics::new())),
    };
    Ok(Box::new(move |messages| key.sign(messages)))
}

/// Key whose signatures are computed together.
pub(super) struct BatchKey {
    lanes: Box<dyn Lanes>,
    /// Length of the modulus and of a signature in bytes.
    length: usize,
    faults: Arc<Faults>,
}

impl BatchKey {
    /// True while batches are not switched off.
    pub(super) fn is_sound(&self) -> bool {
        !self.faults.are_too_many()
    }

    /// Signs 1 to [`LANES`] messages; `None` stands for a wrong signature, which is discarded.
    pub(super) fn sign(&self, messages: &[&[u8]]) -> Vec<Option<Signature>> {
        let encoded = self.encode(messages);
        // A wrong signature must not stay in memory.
        let mut signatures = Zeroizing::new(vec![0; encoded.len()]);
        let mut verified = vec![0; encoded.len()];
        let computed =
            self.lanes.private(&encoded, &mut signatures).and_then(|()| self.lanes.public(&signatures, &mut verified));
        if let Err(why) = computed {
            self.faults.record(&why);
            return vec![None; messages.len()];
        }
        let lanes = encoded.chunks(self.length).zip(verified.chunks(self.length)).zip(signatures.chunks(self.length));
        lanes
            .take(messages.len())
            .map(|((encoded, verified), signature)| {
                let right = encoded == verified;
                if !right {
                    self.faults.record("a signature does not verify");
                }
                right.then(|| Signature(signature.to_vec()))
            })
            .collect()
    }

    /// Encodes one message for each lane. Unused lanes get the first message, because the library refuses an empty
    /// lane.
    fn encode(&self, messages: &[&[u8]]) -> Vec<u8> {
        let mut encoded = vec![0; LANES * self.length];
        for (lane, to) in encoded.chunks_mut(self.length).enumerate() {
            emsa::encode(messages.get(lane).unwrap_or(&messages[0]), to);
        }
        encoded
    }

    /// Tests each lane with a message of its own against `single`: the scheme is deterministic.
    fn prove(&self, single: &dyn PrivateKey) -> Result<(), String> {
        let messages: [[u8; 16]; LANES] = std::array::from_fn(|lane| [u8::try_from(lane).unwrap_or(u8::MAX); 16]);
        let together = self.sign(&messages.each_ref().map(<[u8; 16]>::as_slice));
        for (lane, (message, signature)) in messages.iter().zip(together).enumerate() {
            if signature != Some(single.sign(message)?) {
                return Err(format!("lane {lane} of the batch library failed its test"));
            }
        }
        Ok(())
    }
}

/// Count of wrong signatures in this process.
struct Faults {
    count: AtomicU32,
    metrics: Arc<Metrics>,
}

impl Faults {
    fn new(metrics: Arc<Metrics>) -> Self {
        Self { count: AtomicU32::new(0), metrics }
    }

    fn are_too_many(&self) -> bool {
        self.count.load(Relaxed) >= TOLERATED_FAULTS
    }

    fn record(&self, why: &str) {
        let count = self.count.fetch_add(1, Relaxed).saturating_add(1);
        self.metrics.signature_fault();
        tracing::warn!(
            why,
            count,
            "a batch signature was wrong: it is discarded, and the message is signed again singly"
        );
        if count == TOLERATED_FAULTS {
            self.metrics.alarm(Alarm::SignatureFaults);
            tracing::error!(
                "batch signing is off until the next start: this processor or its library computes wrongly"
            );
        }
    }
}

#[cfg(test)]
mod tests;
