//! API key of a backend: `csk1_<id>_<secret>`. The id finds the record; the secret, 256 random bits, proves the key.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    as_text::as_text,
    ids::{AppName, ClientName},
};
use crate::{clock::UnixMillis, secret::Secret};

/// Prefix of every API key, so that scanners for leaked secrets find it.
pub const PREFIX: &str = "csk1_";

/// Public part of an API key: 16 hexadecimal digits in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId(Box<str>);

as_text!(ApiKeyId);

impl ApiKeyId {
    /// Returns the id in a presented credential, even if the rest of it is malformed.
    pub fn of_presented(text: &str) -> Option<Self> {
        text.strip_prefix(PREFIX)?.split('_').next()?.parse().ok()
    }

    /// Id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for ApiKeyId {
    type Err = BadApiKey;

    fn from_str(id: &str) -> Result<Self, BadApiKey> {
        let is_hexadecimal = hex::decode_to_slice(id, &mut [0; 8]).is_ok();
        // Records are found by this text, so that it has one spelling only.
        let is_lower_case = !id.bytes().any(|b| b.is_ascii_uppercase());
        if is_hexadecimal && is_lower_case { Ok(Self(id.into())) } else { Err(BadApiKey) }
    }
}

/// Error for a text that is not an API key, or not the id of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API key id: an id is the 16 hexadecimal digits that `countersign clients list` shows")]
pub struct BadApiKey;

/// API key with its secret. It is shown once, when it is made.
pub struct ApiKey {
    pub id: ApiKeyId,
    secret: Secret<[u8; 32]>,
}

impl ApiKey {
    /// Makes a key from random bytes.
    pub fn new(id: [u8; 8], secret: [u8; 32]) -> Self {
        Self { id: ApiKeyId(hex::encode(id).into()), secret: Secret::new(secret) }
    }

    /// Parses a presented key.
    ///
    /// # Errors
    /// [`BadApiKey`] where the text does not have the form of a key.
    pub fn parse(text: &str) -> Result<Self, BadApiKey> {
        let (id, encoded) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(BadApiKey)?;
        let mut secret = Secret::new([0; 32]);
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| BadApiKey)?);
        if bytes.len() != 32 {
            return Err(BadApiKey);
        }
        secret.expose_mut().copy_from_slice(&bytes);
        Ok(Self { id: id.parse()?, secret })
    }

    /// Whole key, for the one time that it is shown.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 16 + 1 + 43));
        text.push_str(PREFIX);
        text.push_str(self.id.as_str());
        text.push('_');
        URL_SAFE_NO_PAD.encode_string(self.secret.expose(), &mut text);
        text
    }

    /// Hash of the secret, for the store.
    pub fn hash(&self) -> ApiKeyHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, self.secret.expose()).as_ref());
        ApiKeyHash(hash)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.id)
    }
}

/// SHA-256 of an API key's secret. A plain hash is enough: 256 random bits cannot be guessed.
#[derive(Clone)]
pub struct ApiKeyHash(pub [u8; 32]);

impl ApiKeyHash {
    /// Compares two hashes in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for ApiKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeyHash")
    }
}

/// Record of an API key in the store.
#[derive(Clone, Debug)]
pub struct ApiKeyRecord {
    pub id: ApiKeyId,
    pub client: ClientName,
    /// Apps that the key may mint tokens for.
    pub apps: Vec<AppName>,
    pub hash: ApiKeyHash,
    pub created: UnixMillis,
    /// First instant at which the key is not accepted any more; `None`: it does not expire.
    pub expires: Option<UnixMillis>,
    /// Time at which an operator revoked the key.
    pub revoked: Option<UnixMillis>,
    /// Time of the last use, to the minute; `None`: it was never used.
    pub last_used: Option<UnixMillis>,
}

impl ApiKeyRecord {
    /// True where the key is accepted at `now`: neither revoked nor expired.
    pub fn is_live(&self, now: UnixMillis) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|end| now < end)
    }
}
