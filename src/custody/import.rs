//! Takes a private key in, or says why not: every key goes through here, at import, when made and at every load.

use aws_lc_rs::{
    digest,
    encoding::{AsDer, PublicKeyX509Der},
    rsa::KeyPair,
    signature::KeyPair as _,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use pkcs8::{
    LineEnding,
    der::{Decode, pem::encode_string},
};
use rsa::pkcs1;
use zeroize::Zeroizing;

use super::{envelope, foreign::Foreign, numbers, pem, selftest};
use crate::{domain::ids::Kid, secret::Entropy};

/// A key is not taken. Says what was given and what to do; never shows any of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Something else than the PEM of an RSA private key.
    #[error(transparent)]
    Foreign(#[from] Foreign),
    /// The key is encrypted.
    #[error("the key is encrypted and there is no passphrase: give the one it was encrypted with")]
    PassphraseMissing,
    /// The key is encrypted with another passphrase.
    #[error(
        "the passphrase does not open the key (or the file is damaged): \
         try it with `openssl pkey -in key.pem -noout`, mind a line end in the passphrase file"
    )]
    PassphraseWrong,
    /// PBES1, triple DES or HMAC-SHA-1.
    #[error(
        "the key is encrypted in an outdated way: encrypt it again: openssl pkey -aes256 -in key.pem -out new-key.pem"
    )]
    OldEncryption,
    /// Opening it would take too much memory or time.
    #[error(
        "the key's encryption asks for more than 256 MiB or 10,000,000 rounds: \
         encrypt it again: openssl pkey -aes256 -in key.pem -out new-key.pem"
    )]
    CostlyEncryption,
    /// The lines are there, the key inside is not.
    #[error("the inside of the PEM file is damaged: copy it again, and try it with `openssl pkey -in key.pem -noout`")]
    Malformed,
    /// More than two primes (RFC 8017 §3.2).
    #[error("the key has more than two primes, which Braze's verifiers need not know: {MAKE_ONE}")]
    MultiPrime,
    /// Too weak for RS256 (RFC 7518 §3.3).
    #[error("the key has {bits} bits, RS256 needs 2048 or more (RFC 7518): {MAKE_ONE}")]
    TooShort {
        /// The bits of its modulus.
        bits: usize,
    },
    /// Slow, and long for a request header.
    #[error("the key has {bits} bits, more than 4096 are not supported: {MAKE_ONE}")]
    TooLong {
        /// The bits of its modulus.
        bits: usize,
    },
    /// Not a whole number of bytes.
    #[error("the key has {bits} bits, which is no multiple of 8: {MAKE_ONE}")]
    OddSize {
        /// The bits of its modulus.
        bits: usize,
    },
    /// A public exponent other than 65537.
    #[error("the key's public exponent is not 65537: {MAKE_ONE}")]
    Exponent,
    /// Anybody can compute the private key from the public one.
    #[error("the key is weak: its two primes are so close that the public key gives them away; {MAKE_ONE}")]
    ClosePrimes,
    /// The parts are not of one key.
    #[error("the key's numbers do not belong together: it is damaged or was put together wrongly; {MAKE_ONE}")]
    Mismatch,
    /// The cryptographic library does not load it.
    #[error("the cryptographic library refuses the key: {MAKE_ONE}")]
    Refused,
    /// It does not sign, or nobody can verify it.
    #[error("the key failed its test ({0}): {MAKE_ONE}")]
    SelfTest(&'static str),
    /// The key is fit, but could not be kept.
    #[error("{path}: {why}")]
    Keep {
        /// The file that was to hold it.
        path: String,
        /// What went wrong, and what to do.
        why: String,
    },
}

const MAKE_ONE: &str = "`countersign keys generate` makes a fit one";

/// What may be known of a private key: its public half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicHalf {
    /// The RFC 7638 thumbprint.
    pub kid: Kid,
    /// The bits of the modulus.
    pub bits: u32,
    /// SPKI in PEM.
    pub pem: String,
}

/// A key that passed every check, ready to sign.
pub(super) struct FitKey {
    pub(super) public: PublicHalf,
    pub(super) pair: KeyPair,
}

/// Checks an unencrypted private key without using it; never costs more than some milliseconds.
///
/// # Errors
/// [`ImportError`] says what it is instead.
pub fn inspect_pem(bytes: &[u8]) -> Result<PublicHalf, ImportError> {
    let pkcs1 = read(bytes, None)?;
    load(&pkcs1).map(|(key, _)| key.public)
}

/// The PKCS#1 in a PEM file.
pub(super) fn read(pem: &[u8], passphrase: Option<&str>) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    envelope::unwrap(pem::private_key(pem)?, passphrase)
}

/// Whether these bytes are an encrypted private key.
pub(super) fn is_encrypted(pem: &[u8]) -> bool {
    pem::private_key(pem).is_ok_and(|block| block.form == pem::Form::EncryptedPkcs8)
}

/// Makes the key ready to sign, after every check and a signature.
pub(super) fn admit(pkcs1: &[u8], entropy: &dyn Entropy) -> Result<FitKey, ImportError> {
    let (key, public) = load(pkcs1)?;
    selftest::prove(&key.pair, &public, entropy)?;
    Ok(key)
}

fn load(pkcs1: &[u8]) -> Result<(FitKey, pkcs1::RsaPublicKey<'_>), ImportError> {
    let key = pkcs1::RsaPrivateKey::from_der(pkcs1).map_err(|_| ImportError::Malformed)?;
    numbers::check(&key)?;
    let pair = KeyPair::from_der(pkcs1).map_err(|_| ImportError::Refused)?;
    let public = public_half(&pair, key.public_key())?;
    Ok((FitKey { public, pair }, key.public_key()))
}

fn public_half(pair: &KeyPair, public: pkcs1::RsaPublicKey<'_>) -> Result<PublicHalf, ImportError> {
    let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| ImportError::Refused)?;
    let pem = encode_string("PUBLIC KEY", LineEnding::LF, spki.as_ref()).map_err(|_| ImportError::Refused)?;
    let (n, e) = (public.modulus.as_bytes(), public.public_exponent.as_bytes());
    // Whole bytes without leading zeros: numbers::check refuses other sizes.
    let bits = u32::try_from(n.len() * 8).unwrap_or(u32::MAX);
    Ok(PublicHalf { kid: thumbprint(n, e), bits, pem })
}

/// The RFC 7638 §3 thumbprint: SHA-256 over the required members in lexicographic order, without white space.
fn thumbprint(n: &[u8], e: &[u8]) -> Kid {
    let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
    let jwk = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, jwk.as_bytes()).as_ref());
    Kid::from_thumbprint(&hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638_section_3_1() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiF\
                 V4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9\
                 c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1\
                 jF44-csFCur-kEgU8awapJzKnqDKgw";
        let n = URL_SAFE_NO_PAD.decode(n).unwrap();
        let e = URL_SAFE_NO_PAD.decode("AQAB").unwrap();
        assert_eq!(thumbprint(&n, &e).as_str(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }
}
