//! API key of a backend: `csk1_<id>_<secret>`. The id finds the record; the secret, 256 random bits, proves the key.

use std::fmt;

use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{
    as_text::as_text,
    credential::{self, SecretBits},
    ids::{AppName, ClientName},
};
use crate::clock::UnixMillis;

/// Prefix of every API key, so that scanners for leaked secrets find it.
pub const PREFIX: &str = "csk1_";

/// Public part of an API key: 16 hexadecimal digits in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-f]{16}$")]
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
        credential::parse_id(id).map(Self).ok_or(BadApiKey)
    }
}

/// Error for a text that is not an API key, or not the id of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API key id: an id is the 16 hexadecimal digits that `countersign clients list` shows")]
pub struct BadApiKey;

/// API key with its secret. It is shown once, when it is made.
pub struct ApiKey {
    pub id: ApiKeyId,
    secret: SecretBits,
}

impl ApiKey {
    /// Makes a key from random bytes.
    pub fn new(id: [u8; 8], secret: [u8; 32]) -> Self {
        Self { id: ApiKeyId(credential::id_of(id)), secret: SecretBits::new(secret) }
    }

    /// Parses a presented key.
    ///
    /// # Errors
    /// [`BadApiKey`] where the text does not have the form of a key.
    pub fn parse(text: &str) -> Result<Self, BadApiKey> {
        let (id, secret) = credential::parse(PREFIX, text).ok_or(BadApiKey)?;
        Ok(Self { id: ApiKeyId(id), secret })
    }

    /// Whole key, for the one time that it is shown.
    pub fn reveal(&self) -> Zeroizing<String> {
        credential::reveal(PREFIX, self.id.as_str(), &self.secret)
    }

    /// Hash of the secret, for the store.
    pub fn hash(&self) -> ApiKeyHash {
        ApiKeyHash(self.secret.hash())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.id)
    }
}

/// SHA-256 of an API key's secret.
#[derive(Clone)]
pub struct ApiKeyHash(pub [u8; 32]);

impl ApiKeyHash {
    /// Compares two hashes in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        credential::are_equal(&self.0, &other.0)
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
