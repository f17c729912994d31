//! Compact serialisation of a token (RFC 7515 §3.1): [`Claims`] → [`SigningInput`] → [`SignedToken`]. Each step
//! consumes its input, so that nothing is signed twice.

use std::{fmt, sync::LazyLock, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{claims::Claims, ids::Kid};

/// Header of every token, byte for byte: Braze requires `alg` = `RS256` and `typ` = `JWT`.
pub const HEADER: &str = r#"{"alg":"RS256","typ":"JWT"}"#;

/// [`HEADER`] in base64url, encoded once because nearly all tokens have it.
static ENCODED_HEADER: LazyLock<String> = LazyLock::new(|| URL_SAFE_NO_PAD.encode(HEADER));

/// Maximal length of a token in bytes: apps send it in a request header.
pub const MAX_TOKEN_BYTES: usize = 4096;

/// Input of the signature: `base64url(header) "." base64url(claims)` (RFC 7515 §5.1).
pub struct SigningInput(String);

impl SigningInput {
    /// Encodes header and claims, with `kid` in the header where it is given.
    pub fn new(claims: &Claims<'_>, kid: Option<&Kid>) -> Self {
        let claims =
            serde_json::to_vec(claims).unwrap_or_else(|_| unreachable!("strings and integers always serialise"));
        let mut input = String::with_capacity(MAX_TOKEN_BYTES / 2);
        match kid {
            None => input.push_str(&ENCODED_HEADER),
            // A key id is base64url and needs no escaping in JSON.
            Some(kid) => {
                URL_SAFE_NO_PAD.encode_string(format!(r#"{{"alg":"RS256","typ":"JWT","kid":"{kid}"}}"#), &mut input);
            }
        }
        input.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut input);
        Self(input)
    }

    /// Bytes to sign.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Appends the signature (RFC 7515 §7.1).
    pub fn signed(mut self, signature: &Signature) -> SignedToken {
        self.0.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature.0, &mut self.0);
        SignedToken(self.0)
    }
}

/// RSASSA-PKCS1-v1_5 signature with SHA-256 (RFC 7518 §3.3), as long as the key's modulus.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature(pub Vec<u8>);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({} bytes)", self.0.len())
    }
}

/// Signed token. `Debug` hides it: to Braze its holder is that user until it expires.
pub struct SignedToken(String);

impl SignedToken {
    /// Token as text, for the answer that carries it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SignedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token]")
    }
}

/// Reason why there is no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Too many signatures wait already.
    #[error("too many signatures are waiting")]
    Overloaded {
        /// Time after which the client should ask again.
        retry_after: Duration,
    },
    /// The key cannot sign.
    #[error("the key cannot sign: {0}")]
    Unavailable(String),
}
