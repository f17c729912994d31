//! Sealing secrets, and the keys that are derived from them (HKDF, RFC 5869), one for each purpose.
//!
//! Secrets have versions: the newest seals, every one opens. An operator rotates the secret by adding a version, and
//! removes an old version when nothing that it sealed is needed any more.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf, hmac,
};
use zeroize::{Zeroize, Zeroizing};

use super::ids::{UserHash, UserId};
use crate::secret::Secret;

/// Sealing secrets by version, as the operator gave them.
pub struct SealingSecrets(BTreeMap<u32, Secret<[u8; 32]>>);

impl SealingSecrets {
    /// Parses entries `<version>:<64 hexadecimal digits>`, separated by white space or commas; `#` starts a comment
    /// line.
    ///
    /// # Errors
    /// [`BadSealingSecret`] names the entry, never its contents.
    pub fn parse(text: &str) -> Result<Self, BadSealingSecret> {
        // Text from the environment may have the byte order mark of the file that it was read from.
        let lines = text.trim_start_matches('\u{FEFF}').lines().filter(|line| !line.trim_start().starts_with('#'));
        let entries = lines.flat_map(|line| line.split([',', ' ', '\t', '\r'])).filter(|entry| !entry.is_empty());
        let mut secrets = BTreeMap::new();
        for (index, entry) in entries.enumerate() {
            if entry.contains(QUOTES) {
                return Err(BadSealingSecret::Quotes { entry: index + 1 });
            }
            let (version, digits) = entry.split_once(':').ok_or(BadSealingSecret::Form { entry: index + 1 })?;
            let version: u32 = version.parse().map_err(|_| BadSealingSecret::Form { entry: index + 1 })?;
            let secret = from_hex(digits).ok_or(BadSealingSecret::Form { entry: index + 1 })?;
            if secret.expose().iter().all(|&byte| byte == secret.expose()[0]) {
                return Err(BadSealingSecret::Guessable { version });
            }
            if secrets.insert(version, secret).is_some() {
                return Err(BadSealingSecret::Twice { version });
            }
        }
        if secrets.is_empty() { Err(BadSealingSecret::Empty) } else { Ok(Self(secrets)) }
    }

    /// Secrets with one version, for a service whose sessions end with its process.
    pub fn single(secret: [u8; 32]) -> Self {
        Self(BTreeMap::from([(1, Secret::new(secret))]))
    }

    /// Line of a new secret file; zeroed on drop.
    pub fn line(version: u32, secret: &Secret<[u8; 32]>) -> Zeroizing<String> {
        let mut digits = Zeroizing::new([0; 64]);
        hex::encode_to_slice(secret.expose(), &mut *digits)
            .unwrap_or_else(|_| unreachable!("32 bytes are 64 hexadecimal digits"));
        // Capacity for the whole line: a String that grows leaves a copy in memory.
        let mut line = Zeroizing::new(String::with_capacity(80));
        line.push_str(&version.to_string());
        line.push(':');
        line.extend(digits.iter().map(|&digit| char::from(digit)));
        line.push('\n');
        line
    }
}

/// Quotes of shells, editors and word processors.
const QUOTES: [char; 7] = ['"', '\'', '`', '\u{2018}', '\u{2019}', '\u{201C}', '\u{201D}'];

fn from_hex(digits: &str) -> Option<Secret<[u8; 32]>> {
    let mut secret = Secret::new([0; 32]);
    hex::decode_to_slice(digits, secret.expose_mut()).ok()?;
    Some(secret)
}

/// Error of a sealing secret that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSealingSecret {
    /// The text has no entry.
    #[error(
        "holds no secret: restore it from the backup; a new installation writes `1:<64 hexadecimal digits>`, e.g. with \
         `echo \"1:$(openssl rand -hex 32)\"`"
    )]
    Empty,
    /// Entry without the form `<version>:<64 hexadecimal digits>`.
    #[error(
        "entry {entry} is not `<version>:<64 hexadecimal digits>`: correct it, or restore it from the backup; with a new \
         secret every user has to log in again"
    )]
    Form {
        /// Number of the entry, from 1.
        entry: usize,
    },
    /// Entry in quotes.
    #[error("entry {entry} has quotes: take them away, and leave the rest as it is")]
    Quotes {
        /// Number of the entry, from 1.
        entry: usize,
    },
    /// Secret of one repeated byte.
    #[error("version {version} is one byte repeated, not a secret; make one with `openssl rand -hex 32`")]
    Guessable { version: u32 },
    /// Version with two entries.
    #[error("version {version} is given twice: give a new secret the next version")]
    Twice { version: u32 },
}

/// Purpose of a sealing key; contents sealed for one purpose do not open for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    RefreshToken,
    UserHashKey,
    PrivateKey,
    CheckpointKey,
}

impl Purpose {
    /// HKDF `info` (RFC 5869 §3.2). It must never change: everything sealed with the old one would be lost.
    fn info(self) -> &'static [u8] {
        match self {
            Self::RefreshToken => b"countersign/refresh-token/1",
            Self::UserHashKey => b"countersign/user-hash-key/1",
            Self::PrivateKey => b"countersign/private-key/1",
            Self::CheckpointKey => b"countersign/checkpoint-key/1",
        }
    }
}

/// Keys of one version.
struct Version {
    refresh_token: LessSafeKey,
    user_hash_key: LessSafeKey,
    private_key: LessSafeKey,
    checkpoint_key: LessSafeKey,
}

/// Derived sealing keys: AES-256-GCM-SIV (RFC 8452), which stays safe where a nonce repeats.
pub struct SealingKeys {
    versions: BTreeMap<u32, Version>,
    newest: u32,
}

/// Length of a nonce in bytes.
pub const NONCE_BYTES: usize = 12;

/// Length in bytes of the tag that sealing appends to the contents.
pub const TAG_BYTES: usize = 16;

impl SealingKeys {
    /// Derives the keys of every version.
    pub fn derive(secrets: &SealingSecrets) -> Self {
        let versions: BTreeMap<u32, Version> =
            secrets.0.iter().map(|(&id, secret)| (id, Version::derive(secret))).collect();
        let newest = versions.keys().next_back().copied().unwrap_or_default();
        Self { versions, newest }
    }

    /// Version that seals.
    pub fn newest(&self) -> u32 {
        self.newest
    }

    /// Seals a refresh token's contents in place with the newest version; `aad` is authenticated, not encrypted.
    pub(super) fn seal_refresh_token(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], contents: &mut Vec<u8>) {
        self.seal(Purpose::RefreshToken, nonce, aad, contents);
    }

    /// Opens a refresh token's contents in place; `None` where version, purpose, `aad` or any bit differs from what was
    /// sealed.
    pub(super) fn open_refresh_token<'a>(
        &self,
        version: u32,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        sealed: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        self.open(Purpose::RefreshToken, version, nonce, aad, sealed)
    }

    /// Seals a private key in place with the newest version, as [`Self::seal_refresh_token`] does.
    pub(super) fn seal_private_key(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], contents: &mut Vec<u8>) {
        self.seal(Purpose::PrivateKey, nonce, aad, contents);
    }

    /// Opens a private key in place, as [`Self::open_refresh_token`] does.
    pub(super) fn open_private_key<'a>(
        &self,
        version: u32,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        sealed: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        self.open(Purpose::PrivateKey, version, nonce, aad, sealed)
    }

    /// Seals the seeds of checkpoint keys in place, as [`Self::seal_refresh_token`] does.
    pub(super) fn seal_checkpoint_keys(&self, nonce: [u8; NONCE_BYTES], seeds: &mut Vec<u8>) {
        self.seal(Purpose::CheckpointKey, nonce, b"", seeds);
    }

    /// Opens the seeds of checkpoint keys in place, as [`Self::open_refresh_token`] does.
    pub(super) fn open_checkpoint_keys<'a>(
        &self,
        version: u32,
        nonce: [u8; NONCE_BYTES],
        sealed: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        self.open(Purpose::CheckpointKey, version, nonce, b"", sealed)
    }

    /// True for a version that is among the secrets.
    pub(super) fn has(&self, version: u32) -> bool {
        self.versions.contains_key(&version)
    }

    fn seal(&self, purpose: Purpose, nonce: [u8; NONCE_BYTES], aad: &[u8], contents: &mut Vec<u8>) {
        let key = self.versions[&self.newest].key(purpose);
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), contents)
            .unwrap_or_else(|_| unreachable!("a few thousand bytes are within AES-GCM-SIV's limits"));
    }

    fn open<'a>(
        &self,
        purpose: Purpose,
        version: u32,
        nonce: [u8; NONCE_BYTES],
        aad: &[u8],
        sealed: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        let key = self.versions.get(&version)?.key(purpose);
        let opened = key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), sealed).ok()?;
        Some(opened)
    }
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKeys(versions {:?})", self.versions.keys().collect::<Vec<_>>())
    }
}

impl Version {
    fn derive(secret: &Secret<[u8; 32]>) -> Self {
        let expander = hkdf::Salt::new(hkdf::HKDF_SHA256, b"countersign").extract(secret.expose());
        let key = |purpose: Purpose| {
            let info = [purpose.info()];
            let okm = expander.expand(&info, &AES_256_GCM_SIV);
            let okm = okm.unwrap_or_else(|_| unreachable!("32 bytes are within HKDF-SHA-256's limit of 8,160"));
            LessSafeKey::new(UnboundKey::from(okm))
        };
        Self {
            refresh_token: key(Purpose::RefreshToken),
            user_hash_key: key(Purpose::UserHashKey),
            private_key: key(Purpose::PrivateKey),
            checkpoint_key: key(Purpose::CheckpointKey),
        }
    }

    fn key(&self, purpose: Purpose) -> &LessSafeKey {
        match purpose {
            Purpose::RefreshToken => &self.refresh_token,
            Purpose::UserHashKey => &self.user_hash_key,
            Purpose::PrivateKey => &self.private_key,
            Purpose::CheckpointKey => &self.checkpoint_key,
        }
    }
}

/// Key with which user ids are hashed for the store (HMAC-SHA-256).
///
/// It is random, made once and kept sealed in the store. It therefore survives rotations of the sealing secret, and a
/// stolen store reveals no user id without that secret.
pub struct UserHashKey {
    bytes: Secret<[u8; 32]>,
    mac: hmac::Key,
}

impl UserHashKey {
    /// Makes the key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self { mac: hmac::Key::new(hmac::HMAC_SHA256, &bytes), bytes: Secret::new(bytes) }
    }

    /// Hashes a user id.
    pub fn hash(&self, user: &UserId) -> UserHash {
        let tag = hmac::sign(&self.mac, user.as_str().as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(tag.as_ref());
        UserHash(hash)
    }

    /// Key of other hashes that must not be reversible without the sealing secret.
    pub(super) fn mac(&self) -> &hmac::Key {
        &self.mac
    }

    /// Seals the key for the store: `version (4, big endian) ‖ nonce (12) ‖ ciphertext and tag (48)`.
    pub fn sealed(&self, keys: &SealingKeys, nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        let mut contents = self.bytes.expose().to_vec();
        keys.seal(Purpose::UserHashKey, nonce, b"", &mut contents);
        [&keys.newest.to_be_bytes()[..], &nonce, &contents].concat()
    }

    /// Opens a sealed key; [`Resealing::Due`] where an older version sealed it.
    ///
    /// # Errors
    /// [`WrongSealingSecret`] where no version opens it.
    pub fn open(keys: &SealingKeys, sealed: &[u8]) -> Result<(Self, Resealing), WrongSealingSecret> {
        let (version, rest) = sealed.split_first_chunk::<4>().ok_or(WrongSealingSecret)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(WrongSealingSecret)?;
        let version = u32::from_be_bytes(*version);
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let opened = keys.open(Purpose::UserHashKey, version, *nonce, b"", &mut sealed).ok_or(WrongSealingSecret)?;
        let mut bytes: [u8; 32] = opened.try_into().map_err(|_| WrongSealingSecret)?;
        let key = Self::new(bytes);
        bytes.zeroize();
        Ok((key, if version == keys.newest { Resealing::Current } else { Resealing::Due }))
    }
}

/// Need to seal a stored key again with the newest version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resealing {
    /// The newest version sealed it.
    Current,
    /// An older version sealed it.
    Due,
}

/// Error of a sealing secret that does not open the store.
#[derive(Debug, thiserror::Error)]
#[error(
    "the sealing secret does not open this store: it was made with another one, \
     or with a version that is gone from the file"
)]
pub struct WrongSealingSecret;

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> SealingKeys {
        SealingKeys::derive(&SealingSecrets::parse(text).unwrap())
    }

    fn one() -> String {
        format!("1:{}", "0123456789abcdef".repeat(4))
    }

    fn two() -> String {
        format!("2:{}", "fedcba9876543210".repeat(4))
    }

    #[test]
    fn a_malformed_secret_is_refused_without_showing_it() {
        let refused = |text: &str| SealingSecrets::parse(text).err().unwrap();
        assert_eq!(refused("# nothing\n"), BadSealingSecret::Empty);
        assert_eq!(refused("secret"), BadSealingSecret::Form { entry: 1 });
        assert_eq!(refused(&format!("{},2:abc", one())), BadSealingSecret::Form { entry: 2 });
        assert_eq!(refused(&format!("1:{}", "00".repeat(32))), BadSealingSecret::Guessable { version: 1 });
        assert_eq!(refused(&format!("{}\n{}", one(), one())), BadSealingSecret::Twice { version: 1 });
    }

    #[test]
    fn a_line_is_read_back_in_lower_and_in_upper_case() {
        let secret: [u8; 32] = std::array::from_fn(|i| u8::try_from(i * 8).unwrap());
        let line = SealingSecrets::line(7, &Secret::new(secret));
        assert_eq!(*line, "7:0008101820283038404850586068707880889098a0a8b0b8c0c8d0d8e0e8f0f8\n");
        for text in [line.to_string(), line.to_uppercase()] {
            assert_eq!(SealingSecrets::parse(&text).unwrap().0[&7].expose(), &secret);
        }
        assert!(SealingSecrets::parse(&line.replace("00", "+0")).is_err());
    }

    #[test]
    fn the_user_hash_key_survives_a_rotation_of_the_sealing_secret() {
        let kept = UserHashKey::new([7; 32]).sealed(&keys(&one()), [1; NONCE_BYTES]);
        let both = keys(&format!("{}\n{}", one(), two()));
        let (key, resealing) = UserHashKey::open(&both, &kept).unwrap();
        assert_eq!(resealing, Resealing::Due);
        let kept = key.sealed(&both, [2; NONCE_BYTES]);
        let (key, resealing) = UserHashKey::open(&keys(&two()), &kept).unwrap();
        assert_eq!(resealing, Resealing::Current);
        let user = UserId::already_checked("u-1");
        assert_eq!(key.hash(&user), UserHashKey::new([7; 32]).hash(&user));
    }

    #[test]
    fn a_secret_opens_only_what_was_sealed_for_that_purpose() {
        let kept = UserHashKey::new([7; 32]).sealed(&keys(&one()), [1; NONCE_BYTES]);
        assert!(UserHashKey::open(&keys(&two()), &kept).is_err());
        let mut sealed = kept[16..].to_vec();
        assert!(keys(&one()).open_refresh_token(1, [1; NONCE_BYTES], b"", &mut sealed).is_none());
    }
}
