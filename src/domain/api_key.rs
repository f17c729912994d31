//! A backend's API key: `csk1_<id>_<secret>`, the id to find it by, 256 random bits to prove it.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::ids::{AppName, ClientName};
use crate::{clock::UnixMillis, secret::Secret};

/// What every API key starts with, so that scanners for leaked secrets find it.
pub const PREFIX: &str = "csk1_";

/// The public part of an API key: 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ApiKeyId(Box<str>);

impl ApiKeyId {
    /// The id as text.
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
        // One spelling only: records are found by this text.
        let is_lower_case = !id.bytes().any(|b| b.is_ascii_uppercase());
        if is_hexadecimal && is_lower_case { Ok(Self(id.into())) } else { Err(BadApiKey) }
    }
}

/// Not an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API key id: an id is the 16 hexadecimal digits that `countersign clients list` shows")]
pub struct BadApiKey;

/// An API key as its holder has it. Shown once, when it is made.
pub struct ApiKey {
    /// The part to find it by.
    pub id: ApiKeyId,
    secret: Secret<[u8; 32]>,
}

impl ApiKey {
    /// A new key from random bytes.
    pub fn new(id: [u8; 8], secret: [u8; 32]) -> Self {
        Self { id: ApiKeyId(hex::encode(id).into()), secret: Secret::new(secret) }
    }

    /// Reads a key that somebody presents.
    ///
    /// # Errors
    /// [`BadApiKey`] where it is not of the form.
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

    /// The whole key, for the one time that it is shown.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 16 + 1 + 43));
        text.push_str(PREFIX);
        text.push_str(self.id.as_str());
        text.push('_');
        URL_SAFE_NO_PAD.encode_string(self.secret.expose(), &mut text);
        text
    }

    /// What the store may know of it.
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

/// The SHA-256 of an API key's secret. A plain hash is enough: 256 random bits cannot be guessed.
#[derive(Clone)]
pub struct ApiKeyHash(pub [u8; 32]);

impl ApiKeyHash {
    /// Whether both are the hash of the same secret, in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for ApiKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeyHash")
    }
}

/// What is on record about an API key.
#[derive(Clone, Debug)]
pub struct ApiKeyRecord {
    /// Its id.
    pub id: ApiKeyId,
    /// Who holds it.
    pub client: ClientName,
    /// The apps it may mint for.
    pub apps: Vec<AppName>,
    /// What its secret hashes to.
    pub hash: ApiKeyHash,
    /// When it was made.
    pub created: UnixMillis,
    /// When it stops by itself.
    pub expires: Option<UnixMillis>,
    /// When an operator stopped it.
    pub revoked: Option<UnixMillis>,
}

impl ApiKeyRecord {
    /// Whether it may be used at `now`.
    pub fn is_live(&self, now: UnixMillis) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|end| now < end)
    }
}
