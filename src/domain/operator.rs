//! Operators of the operators' API and the console: their names, roles and tokens, `cso1_<id>_<secret>`, and their
//! sessions of the console.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{
    credential::{self, SecretBits},
    ids::{BadName, is_name, name},
};
use crate::clock::UnixMillis;

/// Prefix of every operator token, so that scanners for leaked secrets find it.
pub const PREFIX: &str = "cso1_";

name! {
    /// Name of an operator of the operators' API and the console.
    OperatorName
}

/// Rights of an operator.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// Reads everything, and changes nothing.
    Viewer,
    /// Does everything.
    Operator,
}

impl Role {
    /// Name of the role in the store and on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// SHA-256 of 256 random bits, which cannot be guessed: of an operator token's secret, or of a console session's.
#[derive(Clone, Copy)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// Compares two hashes in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        credential::are_equal(&self.0, &other.0)
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash")
    }
}

/// Public part of an operator token: 16 hexadecimal digits in lower case. It finds the record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[0-9a-f]{16}$")]
pub struct OperatorTokenId(Box<str>);

impl OperatorTokenId {
    /// Id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OperatorTokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for OperatorTokenId {
    type Err = BadOperatorToken;

    fn from_str(id: &str) -> Result<Self, BadOperatorToken> {
        credential::parse_id(id).map(Self).ok_or(BadOperatorToken)
    }
}

impl TryFrom<String> for OperatorTokenId {
    type Error = BadOperatorToken;

    fn try_from(id: String) -> Result<Self, BadOperatorToken> {
        id.parse()
    }
}

impl From<OperatorTokenId> for String {
    fn from(id: OperatorTokenId) -> Self {
        id.0.into()
    }
}

/// Error for a text that is not an operator token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an operator token: `countersign operators create` prints one, which begins with {PREFIX}")]
pub struct BadOperatorToken;

/// Operator token with its secret. It is shown once, when it is made.
pub struct OperatorToken {
    pub id: OperatorTokenId,
    secret: SecretBits,
}

impl OperatorToken {
    /// Makes a token from random bytes.
    pub fn new(id: [u8; 8], secret: [u8; 32]) -> Self {
        Self { id: OperatorTokenId(credential::id_of(id)), secret: SecretBits::new(secret) }
    }

    /// Parses a presented token.
    ///
    /// # Errors
    /// [`BadOperatorToken`] where the text does not have the form of one.
    pub fn parse(text: &str) -> Result<Self, BadOperatorToken> {
        let (id, secret) = credential::parse(PREFIX, text).ok_or(BadOperatorToken)?;
        Ok(Self { id: OperatorTokenId(id), secret })
    }

    /// Whole token, for the one time that it is shown.
    pub fn reveal(&self) -> Zeroizing<String> {
        credential::reveal(PREFIX, self.id.as_str(), &self.secret)
    }

    /// Hash of the secret, for the store.
    pub fn hash(&self) -> SecretHash {
        SecretHash(self.secret.hash())
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorToken({})", self.id)
    }
}

/// Record of an operator in the store. A name has one live record at most.
#[derive(Clone, Debug)]
pub struct OperatorRecord {
    pub name: OperatorName,
    pub role: Role,
    pub token: OperatorTokenId,
    pub hash: SecretHash,
    pub created: UnixMillis,
    /// First instant at which the token is not accepted any more; `None`: it does not expire.
    pub expires: Option<UnixMillis>,
    /// Time at which the operator was revoked.
    pub revoked: Option<UnixMillis>,
}

impl OperatorRecord {
    /// True where the token is accepted at `now`: neither revoked nor expired.
    pub fn is_live(&self, now: UnixMillis) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|end| now < end)
    }
}

/// Secret of a session of the console: the value of its cookie.
pub struct ConsoleSecret(SecretBits);

impl ConsoleSecret {
    /// Makes a secret from random bytes.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(SecretBits::new(secret))
    }

    /// Parses the value of a cookie; `None` where it does not have the form.
    pub fn parse(text: &str) -> Option<Self> {
        SecretBits::decode(text).map(Self)
    }

    /// Value of the cookie.
    pub fn reveal(&self) -> Zeroizing<String> {
        self.0.encode()
    }

    /// Hash, for the store.
    pub fn hash(&self) -> SecretHash {
        SecretHash(self.0.hash())
    }
}

/// Record of a session of the console.
#[derive(Clone, Debug)]
pub struct ConsoleSession {
    pub hash: SecretHash,
    /// Token of the operator who logged in: the session ends with it.
    pub token: OperatorTokenId,
    pub created: UnixMillis,
    /// Time of the last use, to the minute.
    pub used: UnixMillis,
}
