//! A token's outside: RFC 7515 compact serialisation. What is signed once cannot be signed again, by type:
//! [`Claims`] → [`SigningInput`] → [`SignedToken`].

use std::{fmt, sync::LazyLock, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{claims::Claims, ids::Kid};

/// The header of every token, byte for byte: Braze requires `RS256` and wants `typ` to be `JWT`.
pub const HEADER: &str = r#"{"alg":"RS256","typ":"JWT"}"#;

/// [`HEADER`] as it stands in a token: nearly all have it, so that it is encoded once.
static ENCODED_HEADER: LazyLock<String> = LazyLock::new(|| URL_SAFE_NO_PAD.encode(HEADER));

/// The longest token there may be: it travels in a request header.
pub const MAX_TOKEN_BYTES: usize = 4096;

/// What the key signs: `base64url(header) "." base64url(claims)` (RFC 7515 §5.1).
pub struct SigningInput(String);

impl SigningInput {
    /// Writes header and claims; `kid` only where the app asks for it.
    pub fn new(claims: &Claims<'_>, kid: Option<&Kid>) -> Self {
        let claims =
            serde_json::to_vec(claims).unwrap_or_else(|_| unreachable!("strings and integers always serialise"));
        let mut input = String::with_capacity(MAX_TOKEN_BYTES / 2);
        match kid {
            None => input.push_str(&ENCODED_HEADER),
            // A key id is base64url, so that it needs no escaping.
            Some(kid) => {
                URL_SAFE_NO_PAD.encode_string(format!(r#"{{"alg":"RS256","typ":"JWT","kid":"{kid}"}}"#), &mut input);
            }
        }
        input.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut input);
        Self(input)
    }

    /// The bytes to sign.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Joins the signature (RFC 7515 §7.1).
    pub fn signed(mut self, signature: &Signature) -> SignedToken {
        self.0.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature.0, &mut self.0);
        SignedToken(self.0)
    }
}

/// An RSASSA-PKCS1-v1_5 signature with SHA-256 (RFC 7518 §3.3), as long as its key's modulus.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature(pub Vec<u8>);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({} bytes)", self.0.len())
    }
}

/// A finished token. `Debug` hides it: whoever has it is that user to Braze, until it expires.
pub struct SignedToken(String);

impl SignedToken {
    /// The token, for the answer it is sent in.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SignedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token]")
    }
}

/// Why there is no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Too much is waiting already.
    #[error("too many signatures are waiting")]
    Overloaded {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The key cannot sign.
    #[error("the key cannot sign: {0}")]
    Unavailable(String),
}
