//! Admission of private keys: every key is checked here, at import, at generation and at each load.

mod rsa_params;
mod selftest;

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

use super::{
    error::ImportError,
    format::{self, body::Form, pem},
};
use crate::{domain::ids::Kid, secret::Entropy};

/// Public half of a private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicHalf {
    pub kid: Kid,
    /// Length of the modulus in bits.
    pub bits: u32,
    /// SPKI in PEM.
    pub pem: String,
}

/// Key that passed every check and is ready to sign.
pub(super) struct AdmittedKey {
    pub(super) public: PublicHalf,
    pub(super) pair: KeyPair,
}

/// Checks an unencrypted private key without signing with it; takes some milliseconds at most.
///
/// # Errors
/// [`ImportError`] names what is wrong with the key.
pub fn inspect_pem(bytes: &[u8]) -> Result<PublicHalf, ImportError> {
    let pkcs1 = read(bytes, None)?;
    load(&pkcs1).map(|(key, _)| key.public)
}

/// Reads the PKCS#1 from a PEM file.
pub(super) fn read(pem: &[u8], passphrase: Option<&str>) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    format::pkcs8::unwrap(pem::private_key(pem)?, passphrase)
}

/// True for the bytes of an encrypted private key.
pub(super) fn is_encrypted(pem: &[u8]) -> bool {
    pem::private_key(pem).is_ok_and(|block| block.form == Form::EncryptedPkcs8)
}

/// Checks a key, tests it with a signature, and makes it ready to sign.
pub(super) fn admit(pkcs1: &[u8], entropy: &dyn Entropy) -> Result<AdmittedKey, ImportError> {
    let (key, public) = load(pkcs1)?;
    selftest::prove(&key.pair, &public, entropy)?;
    Ok(key)
}

fn load(pkcs1: &[u8]) -> Result<(AdmittedKey, pkcs1::RsaPublicKeyRef<'_>), ImportError> {
    let key = pkcs1::RsaPrivateKeyRef::from_der(pkcs1).map_err(|_| ImportError::Malformed)?;
    rsa_params::check(&key)?;
    let pair = KeyPair::from_der(pkcs1).map_err(|_| ImportError::Refused)?;
    let public = pkcs1::RsaPublicKey { modulus: key.modulus, public_exponent: key.public_exponent };
    Ok((AdmittedKey { public: public_half(&pair, &public)?, pair }, public))
}

fn public_half(pair: &KeyPair, public: &pkcs1::RsaPublicKeyRef<'_>) -> Result<PublicHalf, ImportError> {
    let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| ImportError::Refused)?;
    let pem = encode_string("PUBLIC KEY", LineEnding::LF, spki.as_ref()).map_err(|_| ImportError::Refused)?;
    let (n, e) = (public.modulus.as_bytes(), public.public_exponent.as_bytes());
    // `rsa_params::check` admits only sizes of whole bytes without leading zeros.
    let bits = u32::try_from(n.len() * 8).unwrap_or(u32::MAX);
    Ok(PublicHalf { kid: thumbprint(n, e), bits, pem })
}

/// Thumbprint of RFC 7638 §3: SHA-256 over the required members in lexicographic order, without white space.
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
