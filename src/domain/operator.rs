//! Operators of the operators' API and the console: their names, roles and tokens, `cso1_<id>_<secret>`, and their
//! sessions of the console.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::ids::{BadName, is_name, name};
use crate::{clock::UnixMillis, secret::Secret};

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
    fn of(secret: &[u8; 32]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, secret).as_ref());
        Self(hash)
    }

    /// Compares two hashes in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash")
    }
}

/// Public part of an operator token: 16 hexadecimal digits in lower case. It finds the record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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
        let is_hexadecimal = hex::decode_to_slice(id, &mut [0; 8]).is_ok();
        let is_lower_case = !id.bytes().any(|b| b.is_ascii_uppercase());
        if is_hexadecimal && is_lower_case { Ok(Self(id.into())) } else { Err(BadOperatorToken) }
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
    secret: Secret<[u8; 32]>,
}

impl OperatorToken {
    /// Makes a token from random bytes.
    pub fn new(id: [u8; 8], secret: [u8; 32]) -> Self {
        Self { id: OperatorTokenId(hex::encode(id).into()), secret: Secret::new(secret) }
    }

    /// Parses a presented token.
    ///
    /// # Errors
    /// [`BadOperatorToken`] where the text does not have the form of one.
    pub fn parse(text: &str) -> Result<Self, BadOperatorToken> {
        let (id, encoded) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(BadOperatorToken)?;
        Ok(Self { id: id.parse()?, secret: secret_of(encoded).ok_or(BadOperatorToken)? })
    }

    /// Whole token, for the one time that it is shown.
    pub fn reveal(&self) -> Zeroizing<String> {
        let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(self.secret.expose()));
        Zeroizing::new(format!("{PREFIX}{}_{}", self.id, *encoded))
    }

    /// Hash of the secret, for the store.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(self.secret.expose())
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorToken({})", self.id)
    }
}

/// Decodes a secret of 256 bits.
fn secret_of(encoded: &str) -> Option<Secret<[u8; 32]>> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).ok()?);
    let mut secret = Secret::new([0; 32]);
    if bytes.len() != 32 {
        return None;
    }
    secret.expose_mut().copy_from_slice(&bytes);
    Some(secret)
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
pub struct ConsoleSecret(Secret<[u8; 32]>);

impl ConsoleSecret {
    /// Makes a secret from random bytes.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(Secret::new(secret))
    }

    /// Parses the value of a cookie; `None` where it does not have the form.
    pub fn parse(text: &str) -> Option<Self> {
        secret_of(text).map(Self)
    }

    /// Value of the cookie.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0.expose()))
    }

    /// Hash, for the store.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(self.0.expose())
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
