//! Credentials that this program makes: `<prefix><id>_<secret>`. The id, 64 random bits, finds the record; the secret, 256
//! random bits, proves the credential, and the store has its SHA-256 only. A plain hash is enough: the bits cannot be guessed.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Length of an id and of an encoded secret, as text.
const LENGTH: usize = 16 + 1 + 43;

/// Returns an id as text: 16 hexadecimal digits in lower case.
pub(super) fn id_of(id: [u8; 8]) -> Box<str> {
    hex::encode(id).into()
}

/// Checks the text of an id. Records are found by it, so that it has one spelling only.
pub(super) fn parse_id(id: &str) -> Option<Box<str>> {
    let is_hexadecimal = hex::decode_to_slice(id, &mut [0; 8]).is_ok();
    let is_lower_case = !id.bytes().any(|b| b.is_ascii_uppercase());
    (is_hexadecimal && is_lower_case).then(|| id.into())
}

/// Parses a presented credential into its id and its secret.
pub(super) fn parse(prefix: &str, text: &str) -> Option<(Box<str>, SecretBits)> {
    let (id, secret) = text.strip_prefix(prefix)?.split_once('_')?;
    Some((parse_id(id)?, SecretBits::decode(secret)?))
}

/// Whole credential as text.
pub(super) fn reveal(prefix: &str, id: &str, secret: &SecretBits) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(prefix.len() + LENGTH));
    text.push_str(prefix);
    text.push_str(id);
    text.push('_');
    secret.encode_to(&mut text);
    text
}

/// Compares two hashes in constant time.
pub(super) fn are_equal(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

/// Secret of 256 random bits.
pub(super) struct SecretBits(Secret<[u8; 32]>);

impl SecretBits {
    pub(super) fn new(secret: [u8; 32]) -> Self {
        Self(Secret::new(secret))
    }

    /// Decodes a secret; `None` where the text does not have the form of one.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        let mut secret = Secret::new([0; 32]);
        if bytes.len() != 32 {
            return None;
        }
        secret.expose_mut().copy_from_slice(&bytes);
        Some(Self(secret))
    }

    /// Secret as text.
    pub(super) fn encode(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(LENGTH));
        self.encode_to(&mut text);
        text
    }

    fn encode_to(&self, text: &mut String) {
        URL_SAFE_NO_PAD.encode_string(self.0.expose(), text);
    }

    /// SHA-256 of the secret.
    pub(super) fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, self.0.expose()).as_ref());
        hash
    }
}
