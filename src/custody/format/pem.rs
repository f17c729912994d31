//! Parser of PEM files (RFC 7468, read leniently as its §3 advises): finds the private key, or names what else is
//! there.

use base64::{Engine, engine::general_purpose::STANDARD};
use pkcs8::{
    ObjectIdentifier, PrivateKeyInfoRef, SubjectPublicKeyInfoRef,
    der::{Decode, SliceReader, asn1::AnyRef},
};
use rsa::pkcs1;
use zeroize::Zeroizing;

use super::unsupported::UnsupportedKey;

/// Maximal size of a key file in bytes; an RSA key of 4096 bits has some 3,300 bytes in PEM.
pub(in crate::custody) const MAX_BYTES: usize = 64 * 1024;

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";

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
    fn name(self) -> &'static str {
        match self {
            Self::Pkcs1 => "a private key (PKCS#1)",
            Self::Pkcs8 => "a private key (PKCS#8)",
            Self::EncryptedPkcs8 => "an encrypted private key (PKCS#8)",
        }
    }
}

/// Private key of a PEM file, decoded from base64.
pub(in crate::custody) struct Block {
    pub(in crate::custody) form: Form,
    pub(in crate::custody) der: Zeroizing<Vec<u8>>,
}

/// Names what these bytes are, e.g. `a public key` or `a private key (PKCS#8)`; shows nothing of them.
pub fn describe(bytes: &[u8]) -> &'static str {
    match private_key(bytes) {
        Ok(block) => block.form.name(),
        Err(unsupported) => unsupported.name(),
    }
}

/// Returns the private key of a PEM file that holds nothing else.
pub(in crate::custody) fn private_key(bytes: &[u8]) -> Result<Block, UnsupportedKey> {
    if bytes.len() > MAX_BYTES {
        return Err(UnsupportedKey::TooLarge);
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii();
    if find(bytes, BEGIN).is_none() || bytes.starts_with(b"{") {
        return Err(without_pem(bytes));
    }
    let (form, body) = only_key(&blocks(bytes)?)?;
    let der = decode(body)?;
    if form == Form::Pkcs8 {
        check_algorithm(&der)?;
    }
    Ok(Block { form, der })
}

/// PEM block in base64.
struct EncodedBlock<'a> {
    label: &'a [u8],
    body: &'a [u8],
}

fn blocks(mut rest: &[u8]) -> Result<Vec<EncodedBlock<'_>>, UnsupportedKey> {
    let mut found = Vec::new();
    while let Some(start) = find(rest, BEGIN) {
        let (label, after) = split_once(&rest[start + BEGIN.len()..], DASHES)?;
        // A label with a line end has no closing dashes of its own; those found belong to the next line.
        if label.len() > 64 || label.contains(&b'\n') {
            return Err(UnsupportedKey::Truncated);
        }
        let (body, after) = split_once(after, &[b"-----END ", label, DASHES].concat())?;
        found.push(EncodedBlock { label, body });
        rest = after;
    }
    Ok(found)
}

fn split_once<'a>(bytes: &'a [u8], at: &[u8]) -> Result<(&'a [u8], &'a [u8]), UnsupportedKey> {
    let middle = find(bytes, at).ok_or(UnsupportedKey::Truncated)?;
    Ok((&bytes[..middle], &bytes[middle + at.len()..]))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Returns the private key, where it is the only block.
fn only_key<'a>(blocks: &[EncodedBlock<'a>]) -> Result<(Form, &'a [u8]), UnsupportedKey> {
    // `openssl ecparam -genkey` writes the curve as a block of its own before the key.
    let mut kinds = blocks.iter().filter(|block| !block.label.ends_with(b"PARAMETERS")).map(kind_of);
    let first = kinds.next().unwrap_or(Err(UnsupportedKey::OtherPem));
    for other in kinds {
        match (first, other) {
            // A chain of certificates counts as one certificate.
            (Err(one), Err(other)) if one == other => {}
            _ => return Err(UnsupportedKey::Several),
        }
    }
    first
}

fn kind_of<'a>(block: &EncodedBlock<'a>) -> Result<(Form, &'a [u8]), UnsupportedKey> {
    let form = match block.label {
        b"RSA PRIVATE KEY" if find(block.body, b"Proc-Type:").is_some() => Err(UnsupportedKey::LegacyEncrypted),
        b"RSA PRIVATE KEY" => Ok(Form::Pkcs1),
        b"PRIVATE KEY" => Ok(Form::Pkcs8),
        b"ENCRYPTED PRIVATE KEY" => Ok(Form::EncryptedPkcs8),
        b"PUBLIC KEY" | b"RSA PUBLIC KEY" => Err(UnsupportedKey::PublicKey),
        b"CERTIFICATE" | b"X509 CERTIFICATE" | b"TRUSTED CERTIFICATE" => Err(UnsupportedKey::Certificate),
        b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => Err(UnsupportedKey::CertificateRequest),
        b"EC PRIVATE KEY" => Err(UnsupportedKey::EcKey),
        b"DSA PRIVATE KEY" => Err(UnsupportedKey::DsaKey),
        b"OPENSSH PRIVATE KEY" => Err(UnsupportedKey::OpenSsh),
        label if label.starts_with(b"PGP ") => Err(UnsupportedKey::Pgp),
        _ => Err(UnsupportedKey::OtherPem),
    };
    form.map(|form| (form, block.body))
}

/// Decodes base64. Both buffers are allocated at full size, so that growing leaves no copy in memory.
fn decode(body: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnsupportedKey> {
    let mut dense = Zeroizing::new(Vec::with_capacity(body.len()));
    dense.extend(body.iter().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; dense.len() / 4 * 3 + 3]);
    let len = STANDARD.decode_slice(&*dense, &mut der).map_err(|_| {
        // The key was copied from an environment variable or a JSON file.
        if find(body, b"\\n").is_some() { UnsupportedKey::EscapedNewlines } else { UnsupportedKey::BadBase64 }
    })?;
    der.truncate(len);
    Ok(der)
}

/// Checks that PKCS#8 names the RSA algorithm (RFC 8017 §A.1); names other algorithms in the error.
pub(in crate::custody) fn check_algorithm(pkcs8: &[u8]) -> Result<(), UnsupportedKey> {
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

/// Identifies bytes without a BEGIN line.
fn without_pem(bytes: &[u8]) -> UnsupportedKey {
    let starts = |with: &[u8]| bytes.starts_with(with);
    match bytes {
        [] => UnsupportedKey::Empty,
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [_, 0, ..] => UnsupportedKey::Utf16,
        [0xFE, 0xED, 0xFE, 0xED, ..] => UnsupportedKey::JavaKeystore,
        [b'{', ..] => UnsupportedKey::Json,
        [0x30, ..] => der(bytes).unwrap_or(UnsupportedKey::Unknown),
        _ if starts(b"ssh-") || starts(b"ecdsa-") => UnsupportedKey::PublicKey,
        _ if starts(b"PuTTY-User-Key-File") => UnsupportedKey::Putty,
        // "-----BEGIN " in base64.
        _ if starts(b"LS0tLS1CRUdJTi") => UnsupportedKey::Base64OfPem,
        // The beginning of any DER SEQUENCE of 256 bytes and more, in base64.
        _ if starts(b"MII") => UnsupportedKey::BareBase64,
        _ => UnsupportedKey::Unknown,
    }
}

/// Identifies a DER SEQUENCE by its first elements.
fn der(bytes: &[u8]) -> Option<UnsupportedKey> {
    let content = sequence(bytes)?;
    if SubjectPublicKeyInfoRef::from_der(bytes).is_ok() || pkcs1::RsaPublicKeyRef::from_der(bytes).is_ok() {
        return Some(UnsupportedKey::PublicKey);
    }
    match content {
        // PFX ::= SEQUENCE { version INTEGER {v3(3)}, … } (RFC 7292 §4); a private key's version is 0 or 1.
        [2, 1, 3, ..] => Some(UnsupportedKey::Pkcs12),
        [0x30, ..] => match first_sequence(content)? {
            // The certificate's explicitly tagged version (RFC 5280 §4.1), the request's plain one (RFC 2986 §4.1).
            [0xA0, ..] => Some(UnsupportedKey::Certificate),
            [2, ..] => Some(UnsupportedKey::CertificateRequest),
            _ => Some(UnsupportedKey::Der),
        },
        _ => Some(UnsupportedKey::Der),
    }
}

fn sequence(bytes: &[u8]) -> Option<&[u8]> {
    AnyRef::from_der(bytes).ok().map(AnyRef::value)
}

fn first_sequence(content: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(content).ok()?;
    AnyRef::decode(&mut reader).ok().map(AnyRef::value)
}
