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

use super::{
    emsa,
    pace::{LANES, Meter, Times, measure, processor_time},
    signer::PrivateKey,
};
use crate::{
    domain::jws::Signature,
    telemetry::{Alarm, Metrics},
};

/// Number of wrong signatures after which batches are switched off: one may be a cosmic ray, three are a broken
/// processor.
const TOLERATED_FAULTS: u32 = 3;

/// Least number of signatures in a batch that was not measured.
const UNMEASURED_LEAST: usize = 3;

const WRONG: &str = "a signature does not verify";

/// Use of batches: `custody.batch` in the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Batch {
    /// Batches where this build and this processor can, the key passes its test, and its measured batches are quicker.
    #[default]
    Auto,
    /// As `Auto`, without the measurement: three waiting signatures or more are computed together, quicker or not.
    On,
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
    library: String,
    /// False where the choice is made already: [`Batch::On`].
    measures: bool,
    meter: Meter,
    faults: Arc<Faults>,
    make: fn(&pkcs1::RsaPrivateKeyRef<'_>) -> Result<Box<dyn Lanes>, String>,
}

impl Provider {
    /// Finds the provider of this build and processor. Returns `None`, and logs the reason, where there is none or it
    /// is switched off.
    pub(super) fn find(batch: Batch, metrics: &Arc<Metrics>) -> Option<Self> {
        let found = match batch {
            Batch::Off => Err("custody.batch is off".to_owned()),
            Batch::Auto | Batch::On => available(),
        };
        match found {
            Ok((name, make)) => {
                tracing::info!(
                    library = name,
                    "signatures that wait together are computed together, {LANES} at a time"
                );
                let faults = Arc::new(Faults::new(Arc::clone(metrics)));
                Some(Self { library: name, measures: batch == Batch::Auto, meter: processor_time, faults, make })
            }
            Err(why) => {
                tracing::info!(why, "signatures are computed one by one");
                None
            }
        }
    }

    /// Makes the lanes of a key, tests each (its signature must equal that of `single`), and measures both. Returns
    /// `None`, and logs the reason, where the key signs one by one.
    pub(super) fn key(&self, pkcs1: &[u8], single: &dyn PrivateKey) -> Option<(BatchKey, Times)> {
        let made = pkcs1::RsaPrivateKeyRef::try_from(pkcs1).map_err(|why| why.to_string()).and_then(|key| {
            let lanes = (self.make)(&key)?;
            let length = key.modulus.as_bytes().len();
            let made = BatchKey { lanes, length, least: UNMEASURED_LEAST, faults: Arc::clone(&self.faults) };
            made.prove(single).map(|()| made)
        });
        let made = made.and_then(|key| self.choose(key, single));
        made.inspect_err(|why| tracing::warn!(why, "this key signs one by one")).ok()
    }

    fn choose(&self, mut key: BatchKey, single: &dyn PrivateKey) -> Result<(BatchKey, Times), String> {
        let messages = [b"measurement".as_slice(); LANES];
        let alone = || single.sign(messages[0]).map(drop);
        let together = || if key.sign(&messages).contains(&None) { Err(WRONG.to_owned()) } else { Ok(()) };
        let times = measure(self.meter, alone, together)?;
        match times.least() {
            Some(least) if self.measures => key.least = least,
            None if self.measures => {
                let text = "batches are not quicker for a key of this size on this processor";
                return Err(format!("{text}: {} µs against {} µs", times.each().as_micros(), times.single.as_micros()));
            }
            _ => {}
        }
        Ok((key, times))
    }

    /// Name of the library that computes the batches.
    pub(super) fn library(&self) -> &str {
        &self.library
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
        least: 1,
        faults: Arc::new(Faults::new(Metrics::new())),
    };
    Ok(Box::new(move |messages| key.sign(messages)))
}

/// Key whose signatures are computed together.
pub(super) struct BatchKey {
    lanes: Box<dyn Lanes>,
    /// Length of the modulus and of a signature in bytes.
    length: usize,
    /// Least number of messages that are signed together.
    least: usize,
    faults: Arc<Faults>,
}

impl BatchKey {
    /// True while batches are not switched off.
    pub(super) fn is_sound(&self) -> bool {
        !self.faults.are_too_many()
    }

    /// Least number of messages for which a batch is worth it.
    pub(super) fn least(&self) -> usize {
        self.least
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
                    self.faults.record(WRONG);
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
