//! Kind of a DER body, by its structure.

use pkcs8::{
    AlgorithmIdentifierRef, ObjectIdentifier, PrivateKeyInfoRef, SubjectPublicKeyInfoRef,
    der::{
        Decode, Reader, SliceReader,
        asn1::{AnyRef, OctetStringRef},
    },
};
use rsa::pkcs1;

use super::unsupported::UnsupportedKey;

/// Supported form of a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::custody) enum Form {
    /// `RSA PRIVATE KEY` (RFC 8017 §A.1.2).
    Pkcs1,
    /// `PRIVATE KEY` (RFC 5958), of algorithm rsaEncryption.
    Pkcs8,
    /// `ENCRYPTED PRIVATE KEY` (RFC 5958 §3).
    EncryptedPkcs8,
}

impl Form {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pkcs1 => "a private key (PKCS#1)",
            Self::Pkcs8 => "a private key (PKCS#8)",
            Self::EncryptedPkcs8 => "an encrypted private key (PKCS#8)",
        }
    }
}

/// Returns the form of a private RSA key, or names what else the body is; `None` where its structure is of no known
/// kind.
pub(super) fn identify(der: &[u8]) -> Option<Result<Form, UnsupportedKey>> {
    if PrivateKeyInfoRef::from_der(der).is_ok() {
        return Some(check_algorithm(der).map(|()| Form::Pkcs8));
    }
    if pkcs1::RsaPrivateKeyRef::from_der(der).is_ok() {
        return Some(Ok(Form::Pkcs1));
    }
    if is_encrypted(der) {
        return Some(Ok(Form::EncryptedPkcs8));
    }
    other(der).map(Err)
}

/// Returns true for bytes that are a DER SEQUENCE.
pub(super) fn is_sequence(der: &[u8]) -> bool {
    sequence(der).is_some()
}

/// Returns true for the structure of encrypted PKCS#8 (RFC 5958 §3), under any algorithm.
pub(super) fn is_encrypted(der: &[u8]) -> bool {
    SliceReader::new(der)
        .and_then(|mut reader| {
            let parts = reader.sequence(|inside| {
                Ok::<_, pkcs8::der::Error>((
                    AlgorithmIdentifierRef::decode(inside)?,
                    <&OctetStringRef>::decode(inside)?,
                ))
            })?;
            reader.finish()?;
            Ok(parts)
        })
        .is_ok()
}

/// Checks that PKCS#8 names the RSA algorithm (RFC 8017 §A.1); names other algorithms in the error.
pub(super) fn check_algorithm(pkcs8: &[u8]) -> Result<(), UnsupportedKey> {
    const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
    const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");
    const PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
    // RFC 8410 §3: X25519 to Ed448 are .110 to .113 of this arc.
    const EDWARDS: &str = "1.3.101.11";

    // The parser refuses bytes that are not PKCS#8.
    let Ok(info) = PrivateKeyInfoRef::from_der(pkcs8) else { return Ok(()) };
    match info.algorithm.oid {
        pkcs1::ALGORITHM_OID => Ok(()),
        EC => Err(UnsupportedKey::EcKey),
        DSA => Err(UnsupportedKey::DsaKey),
        PSS => Err(UnsupportedKey::RsaPss),
        oid if oid.to_string().starts_with(EDWARDS) => Err(UnsupportedKey::EdwardsKey),
        _ => Err(UnsupportedKey::OtherAlgorithm),
    }
}

/// Identifies a DER SEQUENCE that is no RSA private key by its first elements.
fn other(der: &[u8]) -> Option<UnsupportedKey> {
    let content = sequence(der)?;
    if SubjectPublicKeyInfoRef::from_der(der).is_ok() || pkcs1::RsaPublicKeyRef::from_der(der).is_ok() {
        return Some(UnsupportedKey::PublicKey);
    }
    match content {
        // PFX ::= SEQUENCE { version INTEGER {v3(3)}, … } (RFC 7292 §4); a private key's version is 0 or 1.
        [2, 1, 3, ..] => Some(UnsupportedKey::Pkcs12),
        // ECPrivateKey ::= SEQUENCE { version INTEGER {1}, privateKey OCTET STRING, … } (RFC 5915 §3).
        [2, 1, 1, 4, ..] => Some(UnsupportedKey::EcKey),
        [0x30, ..] => match first_sequence(content)? {
            // The certificate's explicitly tagged version (RFC 5280 §4.1), the request's plain one (RFC 2986 §4.1).
            [0xA0, ..] => Some(UnsupportedKey::Certificate),
            [2, ..] => Some(UnsupportedKey::CertificateRequest),
            _ => None,
        },
        _ => None,
    }
}

fn sequence(bytes: &[u8]) -> Option<&[u8]> {
    AnyRef::from_der(bytes).ok().map(AnyRef::value)
}

fn first_sequence(content: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(content).ok()?;
    AnyRef::decode(&mut reader).ok().map(AnyRef::value)
}
