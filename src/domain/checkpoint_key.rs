//! Ed25519 keys that sign the audit log's checkpoints, and their seeds as the store keeps them:
//! `version (4, big endian) ‖ nonce (12) ‖ AES-256-GCM-SIV(seed of the key ‖ seed of the key before, if any) ‖ tag (16)`.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use super::sealing::{NONCE_BYTES, Resealing, SealingKeys, TAG_BYTES, WrongSealingSecret};
use crate::secret::Secret;

/// Length of a seed in bytes (RFC 8032 §5.1.5).
const SEED_BYTES: usize = 32;

/// Key that signs checkpoints.
pub struct CheckpointKey {
    seed: Secret<[u8; SEED_BYTES]>,
    pair: Ed25519KeyPair,
}

impl CheckpointKey {
    /// Makes the key of this seed.
    pub fn new(seed: Secret<[u8; SEED_BYTES]>) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose())
            .unwrap_or_else(|_| unreachable!("each 32 bytes are a seed of Ed25519"));
        Self { seed, pair }
    }

    /// Public key (RFC 8032 §5.1.5).
    pub fn public(&self) -> [u8; 32] {
        let mut public = [0; 32];
        public.copy_from_slice(self.pair.public_key().as_ref());
        public
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// Keys in use: the one that signs, and the one before it until a checkpoint has the signatures of both.
pub struct CheckpointKeys {
    pub current: CheckpointKey,
    pub previous: Option<CheckpointKey>,
}

impl CheckpointKeys {
    /// First key of an installation.
    pub fn first(key: CheckpointKey) -> Self {
        Self { current: key, previous: None }
    }

    /// Replaces the key that signs. One that still waits for its last checkpoint gets none.
    #[must_use]
    pub fn replaced_by(self, key: CheckpointKey) -> Self {
        Self { current: key, previous: Some(self.current) }
    }

    /// Returns the keys that sign the next checkpoint.
    pub fn all(&self) -> impl Iterator<Item = &CheckpointKey> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    /// Seals the keys for the store.
    pub fn sealed(&self, sealing: &SealingKeys, nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        // Capacity for the tag: a Vec that grows leaves a copy of the seeds in memory.
        let mut contents = Vec::with_capacity(2 * SEED_BYTES + TAG_BYTES);
        for key in self.all() {
            contents.extend_from_slice(key.seed.expose());
        }
        sealing.seal_checkpoint_keys(nonce, &mut contents);
        [&sealing.newest().to_be_bytes()[..], &nonce, &contents].concat()
    }

    /// Opens sealed keys; [`Resealing::Due`] where an older version sealed them.
    ///
    /// # Errors
    /// [`WrongSealingSecret`] where no version opens them.
    pub fn open(sealing: &SealingKeys, sealed: &[u8]) -> Result<(Self, Resealing), WrongSealingSecret> {
        let (version, rest) = sealed.split_first_chunk::<4>().ok_or(WrongSealingSecret)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(WrongSealingSecret)?;
        let version = u32::from_be_bytes(*version);
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let seeds = sealing.open_checkpoint_keys(version, *nonce, &mut sealed).ok_or(WrongSealingSecret)?;
        let (current, rest) = key(seeds).ok_or(WrongSealingSecret)?;
        let previous = if rest.is_empty() { None } else { Some(key(rest).ok_or(WrongSealingSecret)?.0) };
        let resealing = if version == sealing.newest() { Resealing::Current } else { Resealing::Due };
        Ok((Self { current, previous }, resealing))
    }
}

/// Makes the key of the first seed; returns the other bytes, too.
fn key(seeds: &[u8]) -> Option<(CheckpointKey, &[u8])> {
    let (seed, rest) = seeds.split_first_chunk::<SEED_BYTES>()?;
    Some((CheckpointKey::new(Secret::new(*seed)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sealing::SealingSecrets;

    fn sealing(text: &str) -> SealingKeys {
        SealingKeys::derive(&SealingSecrets::parse(text).unwrap())
    }

    fn seed(byte: u8) -> CheckpointKey {
        CheckpointKey::new(Secret::new([byte; 32]))
    }

    #[test]
    fn keys_survive_a_rotation_of_the_sealing_secret() {
        let (one, two) = (format!("1:{}", "01".repeat(16) + &"23".repeat(16)), format!("2:{}", "45".repeat(31) + "67"));
        let kept = CheckpointKeys::first(seed(1)).replaced_by(seed(2)).sealed(&sealing(&one), [1; NONCE_BYTES]);
        let (keys, resealing) = CheckpointKeys::open(&sealing(&format!("{one}\n{two}")), &kept).unwrap();
        assert_eq!(resealing, Resealing::Due);
        let publics: Vec<_> = keys.all().map(CheckpointKey::public).collect();
        assert_eq!(publics, [seed(2).public(), seed(1).public()]);
        let kept = keys.sealed(&sealing(&two), [2; NONCE_BYTES]);
        let (keys, resealing) = CheckpointKeys::open(&sealing(&two), &kept).unwrap();
        assert_eq!((resealing, keys.all().count()), (Resealing::Current, 2));
        assert!(CheckpointKeys::open(&sealing(&one), &kept).is_err());
        assert!(CheckpointKeys::open(&sealing(&two), &kept[..40]).is_err());
    }

    /// RFC 8032 §7.1, test 1.
    #[test]
    fn signatures_are_those_of_the_rfc() {
        let mut seed = [0; 32];
        hex::decode_to_slice("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", &mut seed).unwrap();
        let key = CheckpointKey::new(Secret::new(seed));
        assert_eq!(hex::encode(key.public()), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert!(hex::encode(key.sign(b"")).starts_with("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065"));
    }
}
